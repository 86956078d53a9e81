/* simfile.h - the file that says what a simulated instance pretends to be (docs/sim.md).
 *
 * Units      ms, tokens, bytes.
 * Errors     ERR_IO; ERR_FORMAT names the key and its limits; a key that is not known is refused.
 */
#ifndef WORKER_SIMFILE_H
#define WORKER_SIMFILE_H

#include <stdint.h>

#include "base/err.h"
#include "schema/perf.h"

#define SIMFILE_QUANTILES 32

struct simfile {
    char name[48], model[256], model_hash[40];
    struct perf perf;
    int kv_tokens, max_model_len, max_num_seqs, max_batched_tokens;
    int instances;          /* in one process */
    double time_scale;      /* 0: no waiting at all */
    double bytes_per_token; /* of a prompt's text */
    /* Answer lengths: tokens at ascending shares of the rows, 0 to 1; none: as max_tokens. */
    int n_quantiles;
    struct {
        double share;
        int tokens;
    } quantiles[SIMFILE_QUANTILES];
    char poison[128];        /* a body that holds this ends the process; "": none */
    int64_t hang_after_rows; /* 0: never */
    char trace[512];         /* a line for each finished row is appended here; "": none */
};

int simfile_read(struct simfile *out, const char *path, struct errmsg *e) MUSTCHECK;

/* The answer length at a share of the rows, between two quantiles in proportion; 0: as max_tokens.
 */
int simfile_output_tokens(const struct simfile *f, double share);

#endif
