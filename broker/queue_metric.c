/* queue_metric.c - instances' metrics, and how they are thinned with age.
 *
 * A level has cells of a fixed width, aligned to the clock.  Once a cell is old enough, each
 * instance's rows in it become one.  A level walks forward, a cell at a time and in it some
 * instances at a time; where it stands is forgotten with the connection, and found again by walking
 * over what is thin already.
 */
#include "broker/queue_db.h"

#define THIN_ROWS      4000 /* looked at in one call, about */
#define THIN_INSTANCES 64   /* merged in one go */

static const struct {
    int64_t age_ms, width_ms;
} LEVELS[2] = {{3600 * 1000, 60 * 1000}, {24 * 3600 * 1000, 600 * 1000}};

int queue_put_metric(struct queue *q, const struct metric_row *m, int64_t now_ms, struct errmsg *e)
{
    return queue_run(q,
                     BOUND(q, ST_METRIC_ADD, m->instance_id, now_ms, m->span_ms, m->rows,
                           m->prompt_tokens, m->output_tokens, m->steps, m->step_ms, m->running,
                           m->waiting, m->kv_blocks, m->kv_free, m->cached_tokens, m->leased_rows,
                           m->leased_tokens, m->queued_tokens, m->memory_bytes, m->power_mw,
                           m->clock_mhz, m->others),
                     e);
}

/* The next instances of the cell at hand; ERR_EMPTY: none is left.  *rows were looked at. */
static int thin_cell(struct queue *q, struct thin_level *l, int64_t end_ms, int64_t *rows,
                     int64_t *gone, struct errmsg *e)
{
    int64_t v[2];
    int rc = queue_first(
        q, BOUND(q, ST_METRIC_CELL, l->at_ms, end_ms, l->instance_id, THIN_INSTANCES), 2, v, e);

    if (rc) return rc;
    rc = queue_run(q, BOUND(q, ST_METRIC_MERGE, l->at_ms, end_ms, l->instance_id, v[1]), e);
    if (rc) return rc;
    rc = queue_run(q, BOUND(q, ST_METRIC_DROP, l->at_ms, end_ms, l->instance_id, v[1]), e);
    *gone += sqlite3_changes64(q->db);
    *rows += v[0];
    l->instance_id = v[1];
    return rc;
}

/* Thins what this level may, until the budget is used up; then *more. */
static int thin_level(struct queue *q, int i, int64_t now_ms, int64_t *rows, int64_t *gone,
                      bool *more, struct errmsg *e)
{
    struct thin_level *l = &q->thin[i];
    const int64_t width = LEVELS[i].width_ms;
    const int64_t limit = (now_ms - LEVELS[i].age_ms) / width * width;

    while (*rows < THIN_ROWS) {
        int64_t first;
        int rc;

        if (!l->instance_id) { /* a new cell: the one of the next row */
            rc = queue_first(q, BOUND(q, ST_METRIC_FIRST, l->at_ms), 1, &first, e);
            if (rc == ERR_EMPTY) return ERR_OK;
            if (rc) return rc;
            if (first >= limit) return ERR_OK;
            l->at_ms = first / width * width;
        }
        rc = thin_cell(q, l, l->at_ms + width, rows, gone, e);
        if (rc && rc != ERR_EMPTY) return rc;
        if (rc == ERR_EMPTY) *l = (struct thin_level){l->at_ms + width, 0};
    }
    *more = true;
    return ERR_OK;
}

int queue_thin(struct queue *q, int64_t now_ms, int64_t *n, bool *more, struct errmsg *e)
{
    int64_t rows = 0;
    int rc;

    *n = 0;
    *more = false;
    rc = queue_run(q, BOUND(q, ST_EVENT_DROP, EVENTS_KEPT, THIN_ROWS), e);
    if (rc) return rc;
    *n = sqlite3_changes64(q->db);
    *more = *n >= THIN_ROWS;
    for (int i = 0; !rc && i < 2; i++)
        rc = thin_level(q, i, now_ms, &rows, n, more, e);
    return rc;
}
