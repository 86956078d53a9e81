/* schedule_rows.c - how many rows an instance is given now. */
#include "broker/schedule.h"

#define HORIZON_S 4.0

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t schedule_rows(const struct schedule_ask *a)
{
    int64_t target, share;

    if (a->want <= 0 || a->backlog <= 0) return 0;
    target = a->rows_per_s > 0 ? (int64_t)(a->rows_per_s * HORIZON_S) : a->step;
    if (target < a->step) target = a->step;
    /* This instance's part of all that is left, its own rows included, by speed. */
    if (a->rows_per_s > 0 && a->total_rows_per_s > 0)
        share = (int64_t)((double)(a->backlog + a->held) * a->rows_per_s / a->total_rows_per_s);
    else
        share = (a->backlog + a->held) / (a->n_instances > 0 ? a->n_instances : 1);
    target = least(target, share);
    if (target < a->held + 1) target = a->held ? a->held : 1; /* an idle instance always gets one */
    return least(least(target - a->held, a->want), a->backlog);
}
