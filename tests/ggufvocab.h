/* ggufvocab.h - the lists of a GGUF's vocabulary, to stand under a tree that a test writes. */
#ifndef TESTS_GGUFVOCAB_H
#define TESTS_GGUFVOCAB_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "model/tokenizer.h"

struct ggufvocab {
    struct buf file; /* what the texts point into */
    struct tokenizer_text *tokens;
    size_t n_tokens;
    struct tokenizer_text *merges;
    size_t n_merges;
    float *scores;  /* [n_tokens] or NULL; -INFINITY for what is not normal */
    int32_t *types; /* [n_tokens] enum gguf_token */
};

/* name: "llama-spm" is ggml-vocab-llama-spm.gguf.xz of the shared test data. */
void ggufvocab_read(struct ggufvocab *g, const char *name);
void ggufvocab_fini(struct ggufvocab *g);

/* All that a command prints when it is given a file of the shared test data. */
void ggufvocab_command(struct buf *out, const char *command, const char *file);

#endif
