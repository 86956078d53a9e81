/* pretoken.h - the pre-tokenizer of tokenizer.json: a text cut into words that merges never cross.
 *
 * Known: null, Sequence, Split, Digits, Punctuation, Metaspace, ByteLevel.  That the bytes are
 * written as letters behind ByteLevel is the caller's work; a Split or Digits there (Falcon has
 * them) looks at the letters.
 *
 * Threads    immutable after open; words are the caller's.
 * Ownership  pretoken_open/pretoken_close; words: zero it, words_fini it.
 * Errors     ERR_UNSUPPORTED names the type or option and the list of what is known.
 *
 * P1  what is cut keeps its order, and without Removed, Metaspace and a prefix space every byte of
 * the text is in exactly one word.
 */
#ifndef MODEL_PRETOKEN_H
#define MODEL_PRETOKEN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/scanner.h"

struct span {
    size_t at, len;
};

struct words {
    struct buf text; /* what the spans point into */
    struct span *at;
    size_t n, cap;
    struct span *spare; /* the next step's spans */
    size_t spare_n, spare_cap;
};
void words_fini(struct words *w);

struct pretoken;

int pretoken_open(struct pretoken **out, const json_t *spec, struct errmsg *e) MUSTCHECK;
void pretoken_close(struct pretoken **p);
bool pretoken_is_byte_level(const struct pretoken *p);

/* The scanner that cuts as all the steps together do; NULL when there is none. */
scanner *pretoken_scanner(const struct pretoken *p);

/* Cuts w->text; `first` is true when it is the beginning of the whole text. */
int pretoken_cut(const struct pretoken *p, struct words *w, bool first, struct errmsg *e) MUSTCHECK;

#endif
