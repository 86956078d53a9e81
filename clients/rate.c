/* rate.c - how fast a batch moves. */
#include "clients/rate.h"

#define SPAN_MS 10000
#define MIN_MS  100 /* less is noise */

void rate_see(struct rate *r, int64_t now_ms, int64_t tokens, int64_t rows)
{
    r->last = (struct rate_look){now_ms, tokens, rows};
    if (!r->begun) {
        r->begun = true;
        r->old = r->young = r->last;
    }
    if (now_ms - r->young.ms < SPAN_MS) return;
    r->old = r->young;
    r->young = r->last;
}

/* What was added since the old look, for each second; 0 while too little was seen. */
static double each_second(const struct rate *r, int64_t now, int64_t then)
{
    int64_t span_ms = r->last.ms - r->old.ms;

    return span_ms < MIN_MS || now <= then ? 0 : (double)(now - then) * 1000 / (double)span_ms;
}

double rate_tokens_s(const struct rate *r)
{
    return each_second(r, r->last.tokens, r->old.tokens);
}

double rate_eta_s(const struct rate *r, int64_t rows_left)
{
    double rows_s = each_second(r, r->last.rows, r->old.rows);

    return rows_s > 0 && rows_left > 0 ? (double)rows_left / rows_s : -1;
}
