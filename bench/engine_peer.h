/* engine_peer.h - libllama on the rows of engine_run, through llama_driver.py.
 *
 * The driver loads a model once and is asked for one run at a time, so that the two take turns.
 *
 * Errors  end the benchmark (report_fail); engine_peer_open says whether there is a peer at all.
 */
#ifndef BENCH_ENGINE_PEER_H
#define BENCH_ENGINE_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "bench/engine_run.h"

struct engine_peer {
    FILE *to, *from;
    pid_t pid;
};

/* What its users turn to make it fast. */
struct peer_setting {
    int ubatch;  /* tokens of a call of llama_decode, and of its physical batch */
    int flash;   /* flash attention */
    int unified; /* one KV buffer for all sequences */
};

struct peer_times {
    double prefill_s, decode_s, argmax_s; /* argmax: within decode */
    int32_t ids[ENGINE_RUN_MAX_ANSWER];   /* of the first row */
};

/* Makes the virtual environment beside the benchmark if it is not there; false: it cannot be had.
 */
bool engine_peer_install(const char *folder);
void engine_peer_open(struct engine_peer *p, const char *folder, const char *gguf);
void engine_peer_close(struct engine_peer *p);

void engine_peer_run(struct engine_peer *p, const struct engine_load *l,
                     const struct peer_setting *s, struct peer_times *out);

#endif
