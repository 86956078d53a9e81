/* same_request.c - a line read in the short way and in full. */
#include "tests/same_request.h"

#include <assert.h>
#include <string.h>

static bool is_same(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}

static bool is_counted(const struct field_counts *a, const struct field_counts *b)
{
    bool same = a->n == b->n && a->others == b->others;

    for (int i = 0; same && i < a->n; i++)
        same = a->at[i].count == b->at[i].count && !strcmp(a->at[i].name, b->at[i].name);
    return same;
}

int same_request(struct request *q, const struct line *l, const struct request_format *f,
                 struct field_counts *ignored, struct row_error *err)
{
    struct request_format in_full = *f;
    struct field_counts before = {0}, counts;
    struct row_error full_err;
    struct request full = {0};
    int rc, full_rc;

    in_full.in_full = true;
    if (ignored) before = *ignored;
    counts = before;
    full_rc = request_parse(&full, l, &in_full, ignored ? &counts : NULL, &full_err);
    rc = request_parse(q, l, f, ignored, err);
    assert(rc == full_rc);
    assert(q->has_custom_id == full.has_custom_id && is_same(&q->custom_id, &full.custom_id));
    if (rc) {
        assert(!strcmp(err->code, full_err.code) && !strcmp(err->message, full_err.message));
    } else {
        assert(q->endpoint == full.endpoint && is_same(&q->body, &full.body));
        assert(is_same(&q->model, &full.model) && q->is_fixed == full.is_fixed);
        assert(q->has_priority == full.has_priority && q->priority == full.priority);
        assert(!ignored || is_counted(ignored, &counts));
    }
    request_fini(&full);
    return rc;
}
