/* affix.c - the post-processor of tokenizer.json, for one text. */
#include "model/affix.h"

#include <stdbool.h>
#include <string.h>

#define MAX_DEPTH 8
#define KNOWN     "Sequence, TemplateProcessing, ByteLevel"

static int add_ids(int32_t list[AFFIX_MAX], int *n, const json_t *ids, int size, struct errmsg *e)
{
    if (!json_array_size(ids))
        return err_set(e, ERR_FORMAT, "post_processor: a special token without ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        json_int_t id = json_integer_value(json_array_get(ids, i));

        if (!json_is_integer(json_array_get(ids, i)) || id < 0 || id >= size)
            return err_set(e, ERR_FORMAT, "post_processor: id %lld is not in [0, %d]",
                           (long long)id, size - 1);
        if (*n == AFFIX_MAX)
            return err_set(e, ERR_UNSUPPORTED, "post_processor: more than %d ids", AFFIX_MAX);
        list[(*n)++] = (int32_t)id;
    }
    return ERR_OK;
}

static int read_template(struct affix *a, const json_t *spec, int size, struct errmsg *e)
{
    const json_t *single = json_object_get(spec, "single");
    const json_t *tokens = json_object_get(spec, "special_tokens");
    bool seen = false;
    int rc = ERR_OK;

    if (a->n_front || a->n_back)
        return err_set(e, ERR_UNSUPPORTED, "post_processor: two TemplateProcessing");
    for (size_t i = 0; i < json_array_size(single) && !rc; i++) {
        const json_t *item = json_array_get(single, i), *token;
        const char *id;

        if (json_object_get(item, "Sequence")) {
            if (seen) return err_set(e, ERR_UNSUPPORTED, "post_processor: the text twice");
            seen = true;
            continue;
        }
        token = json_object_get(item, "SpecialToken");
        id = json_string_value(json_object_get(token, "id"));
        if (!id) return err_set(e, ERR_FORMAT, "post_processor: item %zu of single", i);
        token = json_object_get(json_object_get(tokens, id), "ids");
        rc = seen ? add_ids(a->back, &a->n_back, token, size, e)
                  : add_ids(a->front, &a->n_front, token, size, e);
    }
    if (!rc && !seen) rc = err_set(e, ERR_FORMAT, "post_processor: single without a Sequence");
    return rc;
}

static int read_spec(struct affix *a, const json_t *spec, int size, int depth, struct errmsg *e)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const json_t *list = json_object_get(spec, "processors");
    int rc = ERR_OK;

    if (!spec || json_is_null(spec)) return ERR_OK;
    if (!type) return err_set(e, ERR_FORMAT, "post_processor: it has no type");
    if (!strcmp(type, "ByteLevel")) return ERR_OK;
    if (!strcmp(type, "TemplateProcessing")) return read_template(a, spec, size, e);
    if (strcmp(type, "Sequence") || depth == MAX_DEPTH)
        return err_set(e, ERR_UNSUPPORTED, "post_processor %.60s; known are " KNOWN, type);
    for (size_t i = 0; i < json_array_size(list) && !rc; i++)
        rc = read_spec(a, json_array_get(list, i), size, depth + 1, e);
    return rc;
}

int affix_read(struct affix *a, const json_t *spec, int size, struct errmsg *e)
{
    memset(a, 0, sizeof *a);
    return read_spec(a, spec, size, 0, e);
}
