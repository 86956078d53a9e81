/* encoder.h - the way of a text to ids: cut at added tokens (added), normalized (normal), cut into
 * words (pretoken), each word spelled in first ids and joined (bpe).
 *
 * Threads    any number may run at once: each call borrows a desk (scratch memory and a word cache)
 *            and puts it back; MAX_IDLE of them are kept for the next calls.
 * Ownership  encoder_open/encoder_close; the parts are borrowed and must outlive it.
 * Errors     ERR_FORMAT: a character that has no token; ERR_NOMEM.
 *
 * E1  what a word's ids are depends on the word alone, so a cache changes nothing.
 * E2  in a SentencePiece-style vocabulary where no merge makes a token with a mark (U+2581) behind
 *     another character, a word is cut before its marks: merges never cross there.
 */
#ifndef MODEL_ENCODER_H
#define MODEL_ENCODER_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "model/added.h"
#include "model/merges.h"
#include "model/normal.h"
#include "model/pretoken.h"
#include "model/tokenizer.h"
#include "model/vocab.h"

struct encoder;

struct encoder_parts {
    const struct vocab *vocab;
    const struct merges *merges;
    const struct added *added;
    const struct normal *normal;
    const struct pretoken *pretoken;
};

/* model: the object of that name in tokenizer.json, for its small fields. */
int encoder_open(struct encoder **out, const struct encoder_parts *parts, const json_t *model,
                 struct errmsg *e) MUSTCHECK;
void encoder_close(struct encoder **en);

/* Appends the ids of valid UTF-8 text; with `specials`, special tokens in it are read as such. */
int encoder_run(struct encoder *en, const char *text, size_t len, bool specials, struct ids *out,
                struct errmsg *e) MUSTCHECK;

#endif
