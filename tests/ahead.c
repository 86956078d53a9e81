/* ahead.c - a window over a queue file. */
#include "tests/ahead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/rows.h"
#include "tests/test.h"

struct ahead ahead;

static bool is_known(void *arg, int64_t job_id)
{
    (void)arg;
    return job_id <= ahead.known || ahead.taken[job_id];
}

static int64_t n_held(void *arg, int64_t batch_id)
{
    (void)arg, (void)batch_id;
    return ahead.held;
}

static int64_t largest_of(void *arg, const char *model)
{
    (void)arg;
    return !model[0] || !strcmp(model, "m") ? ahead.largest : 0;
}

void ahead_open(void)
{
    const struct ready_world w = {NULL, is_known, n_held, largest_of};

    memset(&ahead, 0, sizeof ahead);
    snprintf(ahead.db, sizeof ahead.db, "%s", test_path("r.db"));
    ahead.q = rows_open(ahead.db);
    ahead.largest = INT64_MAX;
    ahead.now_ms = ROWS_NOW;
    ck_assert_msg(!ready_open(&ahead.win, ahead.db, &w, &ahead.e), "%s", ahead.e.text);
}

void ahead_close(void)
{
    ready_close(&ahead.win);
    ck_assert_ptr_null(ahead.win);
    queue_close(&ahead.q);
}

bool ahead_look(void)
{
    bool changed;

    ck_assert_msg(!ready_refresh(ahead.win, ahead.now_ms, &changed, &ahead.e), "%s", ahead.e.text);
    return changed;
}

int64_t ahead_tell(void)
{
    const struct ready_job *j;
    bool more = true;

    while (ready_gone(ahead.win))
        ;
    while (more)
        ck_assert_msg(!ready_read(ahead.win, true, &more, &ahead.e), "%s", ahead.e.text);
    j = ready_tell(ahead.win);
    return j ? j->job_id : 0;
}

struct ready_job *ahead_pop_job(void)
{
    const int64_t job_id = ahead_tell();

    return job_id ? ready_take(ahead.win, job_id) : NULL;
}

int64_t ahead_pop(void)
{
    struct ready_job *j = ahead_pop_job();
    int64_t id = j ? j->job_id : 0;

    free(j);
    return id;
}
