/* async_stream.h - the queue of the asynchronous device of the tests; for its own files.
 */
#ifndef TESTS_ASYNC_STREAM_H
#define TESTS_ASYNC_STREAM_H

#include "tests/async_device.h"

/* One piece of work with all that it needs. */
struct work {
    struct work *next;
    const char *name;
    int (*run)(const struct work *w, struct stream *s);
    void *y, *x, *a; /* arrays of the device's */
    const float *w;
    int T, D, n;
    float eps;
    struct product p[3];
    struct weight weights[3], from;
    struct ragged r;
    struct kv_layer kv;
    struct rope_shape rope;
    struct attn_shape attn;
    enum glu glu;
    struct graph *graph;
    struct coll *coll;
    int rc;      /* of the rank, when it came to a collective */
    void *bytes; /* its own copy of something */
    size_t n_bytes;
};

struct list {
    struct work *first, **end;
};

struct graph {
    struct list work;
};

struct memory {
    struct memory *next;
    char *at;
    size_t bytes;
};

struct stream {
    struct list queue;
    struct graph *recording;
    struct memory *memory;
    int index;
    struct step_limits limits;
    struct ragged on; /* its arrays on the device */
    int rc;
    struct errmsg failed;
};

const struct ops *async_ops(enum dtype act);

/* Behind what is in the stream already, or into what is being recorded. */
int later(struct stream *s, struct work w);
void *copy_of(const void *from, size_t bytes);
/* Ends the test when p is no memory of the stream's; NULL is where nothing is asked for. */
void check_here(const struct stream *s, const char *op, const void *p);

#endif
