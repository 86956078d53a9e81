/* params.h - what a request asks of sampling: the fields of its body as struct sampling.
 *
 * The body was checked when it was submitted; it is checked here again, since programs of other
 * versions may have written it.
 *
 * Ownership  what the sampling points to is the params' own, but for the stop strings, which are
 *            the request's: both must live as long as the sampling is used.
 * Errors     ERR_ARG with the refusal filled; ERR_NOMEM.
 */
#ifndef WORKER_PARAMS_H
#define WORKER_PARAMS_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"
#include "schema/endpoint.h"
#include "worker/engine.h"
#include "worker/mask.h"

/* Why a request cannot be answered: the fields of an error result. */
struct refusal {
    const char *code;
    const char *param; /* NULL: none */
    struct errmsg why;
};

/* Sets code and param; ERR_ARG. */
int refuse(struct refusal *f, const char *code, const char *param);

struct params {
    struct sampling sampling;
    int32_t *stop_ids;
    struct bias *biases;
    uint64_t *allowed;
};

struct params_limits {
    int room;                   /* tokens that the context leaves for the answer */
    int own_room;               /* that this instance's KV leaves */
    int64_t default_max_tokens; /* for a chat that does not say; 0: the rest of the context */
    int vocab_size;             /* 0: not known, and token ids are not looked at */
    uint64_t seed;              /* for a request without one */
};

/* *p is zero, or has been read before. */
int params_read(struct params *p, const json_t *request, enum endpoint endpoint,
                const struct params_limits *l, struct refusal *f) MUSTCHECK;
void params_fini(struct params *p);

#endif
