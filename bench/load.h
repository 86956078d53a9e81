/* load.h - instances that answer at once: what a broker is measured with.
 *
 * A process of its own speaks schema/wire.h as a worker does (hello, want, lease, results,
 * heartbeat), computes nothing, and answers each row with the same TEXT bytes.
 *
 * Units    seconds and milliseconds of the monotonic clock.
 * Threads  the caller must hold no ZeroMQ context: the process is forked from it.
 * Errors   end the benchmark (report_fail).
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_TEXT_BYTES 200 /* of an answer */

struct load {
    const char *address;
    int instances;
    int hold;        /* leases that one instance holds without an answer, at most */
    int per_message; /* rows it asks for, and answers, in one message, at most */
    bool until_ack;  /* a lease counts as held until its ack came, not until its answer went */
    double per_s;    /* answers a second of all instances together; 0: at once */
    int64_t rows;    /* answers so many, and ends when they are acked */
};

struct load_times {
    double seconds;        /* from the first lease to the last ack */
    double p50_ms, p99_ms; /* from an answer sent to its ack */
    double max_ms;
    int64_t n_acked, n_messages; /* results messages */
};

void load_run(const struct load *l, struct load_times *t);

/* From now until a broker that is just starting has answered a ping, and has sent a lease (lease_s
 * may be NULL: it is not asked for one). */
void load_first(const char *address, double *pong_s, double *lease_s);

#endif
