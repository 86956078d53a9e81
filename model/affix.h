/* affix.h - the post-processor of tokenizer.json, for one text: the ids in front and behind.
 *
 * Known: null, TemplateProcessing (its single form), ByteLevel (which changes no id), and a
 * Sequence of these with at most one template.
 *
 * Errors  ERR_UNSUPPORTED names the type and the list of what is known.
 */
#ifndef MODEL_AFFIX_H
#define MODEL_AFFIX_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

#define AFFIX_MAX 16

struct affix {
    int n_front, n_back;
    int32_t front[AFFIX_MAX];
    int32_t back[AFFIX_MAX];
};

/* Every id it gives is below size. */
int affix_read(struct affix *a, const json_t *spec, int size, struct errmsg *e) MUSTCHECK;

#endif
