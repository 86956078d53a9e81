/* workload.h - what a file or a batch asks of a model, before anything runs: every row tokenised.
 *
 * Nothing is sampled: each row is read as submit reads it, rendered and tokenised as a worker does,
 * in order, a bounded number of rows at a time.  What cannot be known before, the length of an
 * answer, is the row's max_tokens, or less where more is known (struct workload_opts); of a row
 * that has no limit it is taken as WORKLOAD_ANSWER tokens.
 *
 * Of a prefix that rows share, the first one computes it and the others do not: what is saved is
 * counted in whole keys (prefix.h), so it is told low, never high.
 *
 * Units    tokens, bytes.
 * Threads  the caller's, and for a while as many as it may run on, which render and tokenise.
 * Memory   32 MB, 23 bytes a row for its key, as submit has, and as much for its body's.
 * Errors   what stops the whole file: ERR_IO, ERR_DB, ERR_NOMEM, ERR_INTERRUPTED; ERR_EMPTY: no
 * such batch.  A bad row does not.
 *
 * WL1  the same input gives the same workload, whatever the threads.
 * WL2  rows = those of the lengths + those of bad.
 */
#ifndef CLIENTS_WORKLOAD_H
#define CLIENTS_WORKLOAD_H

#include "base/err.h"
#include "clients/lengths.h"
#include "clients/request.h"
#include "worker/prompt.h"

#define WORKLOAD_ANSWER 256
#define WORKLOAD_CODES  16

struct workload_opts {
    struct prompt_source source;
    int max_len;                /* tokens of prompt and answer together */
    int64_t default_max_tokens; /* as a worker's; 0: the rest of the context */
    int64_t output_tokens;      /* of each answer, at most its max_tokens; 0: not given */
    const struct lengths *like; /* of finished rows like these; NULL: none */
    struct request_format format;
    int signals; /* a descriptor of command_signals, or -1 */
};

struct workload {
    int64_t rows;       /* all */
    int64_t duplicates; /* of them rows whose endpoint and body an earlier one has */
    struct {
        const char *code; /* a constant; of too many kinds the last one is "other" */
        int64_t rows;
    } bad[WORKLOAD_CODES];
    int n_bad;
    int64_t bad_rows;
    int64_t first_bad_line;  /* 0: none is bad */
    char first_bad[256];     /* why */
    int64_t body_bytes;      /* of the good ones */
    int64_t longest;         /* prompt and answer */
    int64_t unlimited;       /* rows that do not say how long their answer may be */
    int64_t shared_tokens;   /* of prompts, that a prefix cache saves */
    int64_t done;            /* rows of a batch that are finished already: not among the rows */
    struct lengths *lengths; /* owned: of the good ones */
};

int workload_of_file(struct workload *w, const char *path, const struct workload_opts *o,
                     struct errmsg *e) MUSTCHECK;
/* Of the rows of a batch that are not finished. */
int workload_of_batch(struct workload *w, const char *db, const char *batch,
                      const struct workload_opts *o, struct errmsg *e) MUSTCHECK;
void workload_fini(struct workload *w);

/* The lengths of a batch's finished rows. */
int workload_finished(struct lengths **out, const char *db, const char *batch,
                      struct errmsg *e) MUSTCHECK;

/* Bytes that the queue file comes to. */
int64_t workload_disk_bytes(const struct workload *w);

#endif
