/* tokenlists.h - the two long lists of a tokenizer.json, model.vocab and model.merges, read
 * straight from its text: a JSON tree of half a million strings takes longer to build than to use.
 *
 * This is the short way for the usual form.  Whatever is not usual (an id used twice, a list of
 * another type, bad JSON) it does not judge: it hands over, and the long way says what is wrong.
 *
 * Ownership  lists point into text, which must stay, and into memory of theirs; zero them,
 *            tokenlists_fini them.
 * Errors     ERR_EMPTY: not the usual form: read the file the long way.
 *
 * N1  what the short way takes, the long way takes too, and to the same lists.
 */
#ifndef MODEL_TOKENLISTS_H
#define MODEL_TOKENLISTS_H

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "model/tokenizer.h"

struct tokenlists {
    json_t *tree; /* the rest of the file, the two lists empty */
    struct tokenizer_text *tokens;
    size_t n_tokens, tokens_cap;
    struct tokenizer_text *merges;
    size_t n_merges, merges_cap;
    char *decoded; /* what is spelled otherwise in the file */
};

int tokenlists_read(struct tokenlists *l, const char *text, size_t len, struct errmsg *e) MUSTCHECK;
void tokenlists_fini(struct tokenlists *l);

#endif
