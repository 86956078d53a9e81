/* post.h - messages of a simulation on their way: all take as long, so they arrive in order.
 *
 * Units    seconds of the simulation.
 * Threads  one.
 * Ownership  a list of sequences goes with its message.
 */
#ifndef BENCH_POST_H
#define BENCH_POST_H

#include <stddef.h>

#include "base/err.h"
#include "bench/batching.h"

enum say { SAY_LEASE, SAY_TAKE_BACK, SAY_STOP, SAY_RESULTS };

struct message {
    double at_s; /* when it arrives */
    enum say what;
    int32_t instance;
    struct seq_list list; /* SAY_LEASE, SAY_RESULTS */
    int64_t job_id;       /* SAY_TAKE_BACK, SAY_STOP */
};

struct post {
    struct message *at;
    size_t head, n, cap; /* a power of two */
};

int post_add(struct post *p, const struct message *m) MUSTCHECK; /* 0 or ERR_NOMEM */
struct message *post_last(const struct post *p);                 /* NULL: empty */
double post_due_s(const struct post *p);                         /* INFINITY: empty */
struct message post_take(struct post *p);
void post_fini(struct post *p, struct seqs *s); /* frees the lists too */

#endif
