/* rate.h - how fast a batch moves, from what was seen of it.
 *
 * Over the last ten to twenty seconds, or since the first look while it is younger.
 *
 * Units  *_ms on CLOCK_MONOTONIC, passed in; tokens and rows are counts since any beginning.
 */
#ifndef CLIENTS_RATE_H
#define CLIENTS_RATE_H

#include <stdbool.h>
#include <stdint.h>

struct rate { /* zero is new */
    struct rate_look {
        int64_t ms, tokens, rows;
    } old, young, last;
    bool begun;
};

void rate_see(struct rate *r, int64_t now_ms, int64_t tokens, int64_t rows);

double rate_tokens_s(const struct rate *r);                 /* 0: not known yet */
double rate_eta_s(const struct rate *r, int64_t rows_left); /* negative: unknown, or none left */

#endif
