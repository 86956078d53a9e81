/* tokenizer.h - text to token ids and back, as tokenizer.json says.
 *
 * One reader for two sources: a tokenizer.json, and what a GGUF file says, translated into a tree
 * like it (tokenizer_build takes long lists as arrays: a tree of 400,000 strings is slow to make).
 *
 * Known: model BPE, in two styles.  Byte-level (GPT-2's letters for bytes, a regex pre-tokenizer)
 * and SentencePiece-style (characters, byte fallback <0xNN>, the "metaspace" put in by a
 * normalizer).  Whatever else the file asks for (a pre-tokenizer, normalizer, decoder or
 * post-processor that is not known) is refused by name.
 *
 * Text in and out is UTF-8 with lengths; NUL is a character.  Ids are int32_t below tokenizer_size.
 *
 * Threads  immutable after open; any number of threads may encode at once (scratch memory is per
 *          call).
 * Errors   ERR_FORMAT (a lying file, named), ERR_UNSUPPORTED (named), ERR_NOMEM.
 *
 * T1  decode(encode(text)) is text for every valid UTF-8 text, up to what the file's normalizer
 *     changes, and bytes that a byte-level vocabulary has no token for (Falcon lacks some control
 *     characters; ASCII that prints must be there): they are left out.
 * T2  every merge of the file joins two tokens of the vocabulary into a third; ids are unique and
 *     below the size.
 * Source  Sennrich et al. 2016 (BPE); GPT-2's byte letters; the tokenizers library's file format.
 */
#ifndef MODEL_TOKENIZER_H
#define MODEL_TOKENIZER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct tokenizer;

struct ids {
    int32_t *at; /* caller's storage: zero it, ids_fini it */
    size_t n;
    size_t cap;
};
int ids_add(struct ids *v, int32_t id); /* 0 or ERR_NOMEM */
void ids_fini(struct ids *v);

/* What a tokenizer is made of.  All is borrowed, and not needed once the tokenizer is there. */
struct tokenizer_text {
    const char *at; /* NULL: an id that no token has */
    size_t len;
};
struct tokenizer_source {
    json_t *tree;                        /* tokenizer.json, or one like it */
    const struct tokenizer_text *tokens; /* [n_tokens] spellings by id; NULL: model.vocab's */
    size_t n_tokens;
    const struct tokenizer_text *merges; /* [n_merges] "left right" by rank; NULL: model.merges' */
    size_t n_merges;
    const float *scores; /* [n_tokens], with tokens: SentencePiece's, in place of merges: two
                            neighbours are joined into the token of the highest score.  -INFINITY:
                            never joined into (bytes, control tokens).  NULL: there are merges */
};

/* The text of an error begins with `where`, which names the file. */
int tokenizer_build(struct tokenizer **out, const struct tokenizer_source *s, const char *where,
                    struct errmsg *e) MUSTCHECK;
int tokenizer_from_json(struct tokenizer **out, json_t *tree, const char *where,
                        struct errmsg *e) MUSTCHECK;

/* text: the bytes of a tokenizer.json. */
int tokenizer_parse(struct tokenizer **out, const char *text, size_t len, const char *where,
                    struct errmsg *e) MUSTCHECK;

/* dir holds tokenizer.json. */
int tokenizer_open(struct tokenizer **out, const char *dir, struct errmsg *e) MUSTCHECK;
void tokenizer_close(struct tokenizer **t);

/* The tokenizer as an image (image.h), made once and opened in a fraction of the time.  Replaces
 * what is in out; 0 or ERR_NOMEM. */
int tokenizer_save(const struct tokenizer *t, struct buf *out) MUSTCHECK;

/* bytes: an image at a multiple of 16 in memory, as mapped files are.  It is used where it lies:
 * it must stay, unchanged, until tokenizer_close.  ERR_STALE: of another version, make it anew. */
int tokenizer_load(struct tokenizer **out, const void *bytes, size_t len, const char *where,
                   struct errmsg *e) MUSTCHECK;

int tokenizer_size(const struct tokenizer *t); /* largest id + 1 */

enum tokenizer_flags {
    TOKENIZER_SPECIALS = 1, /* read special tokens that are spelled out in the text ("<|user|>"):
                               for rendered chat templates, never for a user's plain text */
    TOKENIZER_BOS = 2       /* put in front (and behind) what the file's post-processor asks for */
};

/* Appends to out. */
int tokenizer_encode(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                     struct ids *out, struct errmsg *e) MUSTCHECK;

/* The id of a token spelled like this, added and special ones included; -1 when there is none. */
int32_t tokenizer_find(const struct tokenizer *t, const char *token);

/* How the file spells an id, added and special ones included; NULL when there is none.  Borrowed.
 */
const char *tokenizer_spelling(const struct tokenizer *t, int32_t id, size_t *len);

/* Is it a special token (one that decoding leaves out)? */
bool tokenizer_is_special(const struct tokenizer *t, int32_t id);

/* Appends the bytes that this id adds after what was decoded before; `first` is true for the first
 * id of a text (some files strip one leading space there).  The bytes may be a part of a UTF-8
 * character. */
int tokenizer_piece(const struct tokenizer *t, int32_t id, bool first, struct buf *out);

/* Appends what the token is written as within a text, special ones too. */
int tokenizer_spell(const struct tokenizer *t, int32_t id, struct buf *out);

/* All ids, special ones left out. */
int tokenizer_decode(const struct tokenizer *t, const int32_t *ids, size_t n, struct buf *out);

#endif
