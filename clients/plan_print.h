/* plan_print.h - what was planned, for people and for programs.
 *
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_PLAN_PRINT_H
#define CLIENTS_PLAN_PRINT_H

#include <jansson.h>

#include "clients/plan_input.h"
#include "clients/workload.h"

struct plan_told {
    const char *rows_of; /* the file's name, or the batch's */
    char answers[128];   /* what their lengths are from: "as max_tokens says" */
    bool is_guessed;     /* nothing is known of them but that */
    const struct plan_input *in;
    const struct workload *w;
    const struct plan_answer *a;
};

/* Tables for a terminal of this width; 0: none. */
int plan_print(const struct plan_told *t, int width, struct buf *out) MUSTCHECK;

/* Seconds that a row is under way in the instance that ends it soonest: as many as run at once,
 * over those that end in a second.  Not finite without instances. */
double plan_row_seconds(const struct plan *p);

/* One object, of the caller's; NULL: out of memory. */
json_t *plan_json(const struct plan_told *t);

#endif
