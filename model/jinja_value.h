/* jinja_value.h - the values of a render: Python's, as far as templates see them.
 *
 * Every value and every byte of text lives until the render ends, in one arena (run_take); so a
 * pointer in hand is valid, and nobody frees one.  Strings of the caller's JSON are borrowed.  Only
 * a namespace, an iterator, a loop, a cycler and a joiner ever change, as in the sandbox that
 * Hugging Face renders in.
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

enum value_kind {
    VALUE_UNDEFINED, /* text: the name that was looked for */
    VALUE_NONE,
    VALUE_BOOL,  /* flag */
    VALUE_INT,   /* i */
    VALUE_FLOAT, /* f */
    VALUE_STR,   /* text; flag: Markup, which is escaped already */
    VALUE_LIST,  /* list, and so the next four */
    VALUE_TUPLE,
    VALUE_RANGE,
    VALUE_VIEW,      /* keys, values or items of a dict; text_name */
    VALUE_ITER,      /* a generator: read once, from list.next on */
    VALUE_DICT,      /* dict */
    VALUE_NAMESPACE, /* dict */
    VALUE_FUNCTION,  /* text: its name */
    VALUE_METHOD,    /* method */
    VALUE_MACRO,     /* macro (jinja_call.h) */
    VALUE_LOOP,      /* loop (jinja_call.h) */
    VALUE_CYCLER,    /* list; next: where it stands */
    VALUE_JOINER     /* text: the separator; flag: it was called */
};

struct value;
struct dict;

struct value {
    enum value_kind kind;
    bool flag;
    const char *name; /* VIEW: "dict_keys"; METHOD: the method's */
    union {
        int64_t i;
        double f;
        struct {
            const char *s;
            size_t len;
        } text;
        struct {
            struct value **at;
            size_t n, next;
        } list;
        struct dict *dict;
        struct value *of; /* METHOD: whose */
        const struct macro *macro;
        struct loop *loop;
    };
};

struct entry {
    struct value *key, *value;
    uint64_t hash;
};
/* In the order of insertion. */
struct dict {
    struct entry *at;
    size_t n, cap;
    uint32_t *slots; /* index + 1 into at, open addressing; NULL while there are few */
    size_t n_slots;
};

struct run {
    int rc;
    struct errmsg *e;
    int line; /* of the node that runs */
    size_t steps, bytes;
    int depth, nesting;
    struct chunk *chunks;
};

void run_init(struct run *r, struct errmsg *e);
void run_fini(struct run *r);

/* Notes the failure with its line, unless there is one; returns NULL. */
void *run_fail(struct run *r, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Counts n steps; false when they are too many, or when the run has failed. */
bool run_work(struct run *r, size_t n);
/* One level deeper into a value; undone by r->nesting--. */
bool run_nest(struct run *r);

void *run_take(struct run *r, size_t n); /* 16-byte aligned, not cleared */

struct value *run_undefined(struct run *r, const char *name);
struct value *run_none(struct run *r);
struct value *run_bool(struct run *r, bool b);
struct value *run_int(struct run *r, int64_t i);
struct value *run_float(struct run *r, double f);
struct value *run_text(struct run *r, const char *s, size_t len); /* a copy */
struct value *run_view(struct run *r, const char *s, size_t len); /* borrowed */
struct value *run_buf(struct run *r, struct buf *b);              /* a copy, and buf_fini */
/* n items, not set. */
struct value *run_list(struct run *r, enum value_kind kind, size_t n);
struct value *run_pair(struct run *r, struct value *a, struct value *b); /* a tuple */
struct value *run_json(struct run *r, const json_t *j); /* its strings are borrowed */

/* Appends to a text under way; counted, so that no text grows without end. */
bool text_add(struct run *r, struct buf *out, const char *s, size_t len);

/* A list that grows. */
struct items {
    struct value **at;
    size_t n, cap;
};
bool items_add(struct run *r, struct items *list, struct value *v); /* false for NULL too */
struct value *run_items(struct run *r, enum value_kind kind, const struct items *list);

struct value *run_dict(struct run *r, enum value_kind kind);
bool dict_set(struct run *r, struct dict *d, struct value *key, struct value *v);
bool dict_put(struct run *r, struct dict *d, const char *name, struct value *v);
struct value *dict_find(struct run *r, const struct dict *d, const struct value *key); /* or NULL */
struct value *dict_get(struct run *r, const struct dict *d, const char *name);         /* or NULL */
/* The keys, the values, or both in tuples. */
struct value *dict_list(struct run *r, const struct dict *d, enum value_kind kind, bool keys,
                        bool values);

bool value_is_list(const struct value *v);   /* LIST, TUPLE, RANGE: has a length and items */
bool value_is_number(const struct value *v); /* INT, FLOAT, BOOL */
double value_number(const struct value *v);
/* An int, or a bool as one. */
bool value_int(const struct value *v, int64_t *out);
bool value_is(const struct value *v, const char *text); /* a str of this text */

bool value_is_true(const struct value *v);
bool value_equal(struct run *r, const struct value *a, const struct value *b);
/* -1, 0, 1 in *order; false after a failure: the two have no order. */
bool value_compare(struct run *r, const struct value *a, const struct value *b, int *order);
/* Is x in the list, the string or the keys? */
struct value *value_contains(struct run *r, struct value *in, const struct value *x);
/* What a loop would see, as a list: the items, a dict's keys, a string's characters. */
struct value *value_items(struct run *r, struct value *v);
/* Items, or characters, without a failure for what has none: false. */
bool value_length(const struct value *v, size_t *n);

/* "a str", as messages name it. */
const char *value_name(const struct value *v);

#endif
