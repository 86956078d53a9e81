/* workload_take.h - rows into a workload, shared by what reads a file and what reads a batch;
 * nobody else includes it.
 */
#ifndef CLIENTS_WORKLOAD_TAKE_H
#define CLIENTS_WORKLOAD_TAKE_H

#include "clients/prefix.h"
#include "clients/rowid.h"
#include "clients/workload.h"

#define TAKE_ROWS  1024
#define TAKE_BYTES (8 << 20) /* of bodies, and one more */

struct take_row {
    enum endpoint endpoint;
    size_t at, len; /* of its body */
    int64_t line;
    /* What tokenising it gives: */
    const char *code; /* NULL: it is good */
    char why[256];
    int64_t prompt, most; /* tokens; of its answers together at most */
    bool unlimited;
};

struct take {
    struct workload *w;
    const struct workload_opts *o;
    struct rowid *bodies;
    struct prefix *prefix;
    struct buf text;       /* the bodies of the rows at hand */
    struct take_row *rows; /* [TAKE_ROWS] */
    int n;
};

/* take_close also when it fails. */
int take_open(struct take *t, struct workload *w, const struct workload_opts *o,
              struct errmsg *e) MUSTCHECK;
void take_close(struct take *t);

/* A row that can be read; take_flush once take_is_full, and at the end. */
int take_good(struct take *t, enum endpoint endpoint, int64_t line, const char *body, size_t len,
              struct errmsg *e) MUSTCHECK;
void take_bad(struct take *t, int64_t line, const char *code, const char *why);
bool take_is_full(const struct take *t);
int take_flush(struct take *t, struct errmsg *e) MUSTCHECK;

#endif
