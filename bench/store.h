/* store.h - two ways to keep a job's rows in SQLite: the queue, and the bare inserts under it.
 *
 * store_queue is broker/queue.h.  store_raw writes the same rows into the same schema, with the
 * same page size, cache and synchronous=FULL, from one thread, and does nothing else: no look for
 * the same id, no hashes, no foreign keys, no generations, no counters.
 *
 * Threads  one store at a time, one thread.
 * Errors   end the benchmark (report_fail).
 */
#ifndef BENCH_STORE_H
#define BENCH_STORE_H

#include <stdint.h>

#include "schema/wire.h"

struct store_row {
    int n;                      /* from 0, in the order of put */
    int64_t id_hash, body_hash; /* as good as any, for store_raw */
    struct wire_text id, body;
};

struct store_answer {
    int n; /* of the row */
    struct wire_text finish_reason, text, choices;
};

struct store {
    const char *name;
    void (*open)(const char *path); /* a file that is not there yet */
    void (*begin)(void);
    void (*commit)(void);
    void (*checkpoint)(void); /* when the log has grown */
    void (*put)(const struct store_row *r);
    void (*finish)(const struct store_answer *a);
    void (*close)(void);
};
extern const struct store STORE_QUEUE, STORE_RAW;

#endif
