/* jinja_value.h - the values of a render: JSON values with Python's manners.
 *
 * A value that is made lives until the end of the loop's round that made it, or of the render
 * (run_keep, run_release); so a pointer in hand is valid, and nobody else frees one.  What outlives
 * its round does so in a namespace, the only value that changes: it holds its own references, and
 * a reader keeps what it read.  What is undefined, and a function that is named but not called, are
 * two values known by their address.
 *
 * Threads  one run per render.
 * Errors   a function that makes a value returns NULL after run_fail; run->rc and run->e say why.
 */
#ifndef MODEL_JINJA_VALUE_H
#define MODEL_JINJA_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct run {
    json_t *undefined;
    json_t *function;
    int rc;
    struct errmsg *e;
    int line; /* of the node that runs */
    size_t steps, bytes;
    int depth;
    json_t **kept;
    size_t n_kept, kept_cap;
};

int run_init(struct run *r, struct errmsg *e);
void run_fini(struct run *r);

/* Notes the failure with its line, unless there is one; returns NULL. */
json_t *run_fail(struct run *r, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Takes the reference; NULL in is no memory. */
json_t *run_keep(struct run *r, json_t *v);
/* Gives back all that was kept since n_kept was `mark`. */
void run_release(struct run *r, size_t mark);

json_t *run_bool(bool b);
json_t *run_int(struct run *r, json_int_t n);
json_t *run_text(struct run *r, const char *s, size_t len);
json_t *run_buf(struct run *r, struct buf *b); /* and buf_fini */

bool value_is_true(const struct run *r, const json_t *v);
bool value_equal(const struct run *r, const json_t *a, const json_t *b);

/* -1, 0, 1 in *order; a failure when the two have no order. */
int value_compare(struct run *r, const json_t *a, const json_t *b, int *order);

/* Is x in the list, the string or the keys?  In *found; returns run->rc. */
int value_contains(struct run *r, const json_t *in, const json_t *x, bool *found);

/* "a str", as messages name it. */
const char *value_kind(const struct run *r, const json_t *v);

/* As {{ v }} prints it.  Returns run->rc. */
int value_print(struct run *r, const json_t *v, struct buf *out);

/* As json.dumps(v, ensure_ascii=False, indent=indent); indent < 0 is None. */
int value_to_json(struct run *r, const json_t *v, int indent, struct buf *out);

size_t text_count(const char *s, size_t len);              /* characters */
size_t text_offset(const char *s, size_t len, size_t nth); /* byte offset of a character */
bool text_is_space(uint32_t cp);                           /* Python's isspace */

#endif
