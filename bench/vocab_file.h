/* vocab_file.h - a vocabulary for a model that a benchmark writes: read from a GGUF file, or made
 * up.
 *
 * The tokens are spelled in the letters of byte-level vocabularies (GPT-2's), as both formats want.
 *
 * Errors  end the program (report_fail).
 */
#ifndef BENCH_VOCAB_FILE_H
#define BENCH_VOCAB_FILE_H

#include "base/buf.h"

enum { VOCAB_NORMAL = 1, VOCAB_CONTROL = 3 }; /* GGUF's token types */

struct vocab_text {
    size_t at, len; /* in text */
};

struct vocab_file {
    struct buf text; /* all spellings, end to end */
    struct vocab_text *tokens, *merges;
    int *types; /* [n_tokens] */
    int n_tokens, n_merges;
    int bos_id, eos_id;
};

/* path: a GGUF file whose tokenizer is byte-level BPE; .xz is unpacked by xz.  NULL: the 256 bytes,
 * an end token, and made-up spellings up to n_tokens. */
void vocab_file_open(struct vocab_file *v, const char *path, int n_tokens);
void vocab_file_close(struct vocab_file *v);

/* tokenizer.json with Llama 3's pre-tokenizer, into the folder; tokenizer_config.json too. */
void vocab_file_write(const struct vocab_file *v, const char *dir);

#endif
