/* test_ready.c - the window over what the database holds. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/ready.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define ANY INT64_MAX

static struct errmsg e;
static char db[512];
static struct queue *q;
static struct ready *win;

static int64_t known;  /* jobs up to this one are somebody's */
static int64_t now_ms; /* on the wall */

static bool taken[2 * READY_ROWS]; /* those that were popped, when a test wants them held */

static int64_t held;    /* of each batch */
static int64_t largest; /* of every instance of model m, and of those of any; others: nobody's */

static bool is_known(void *arg, int64_t job_id)
{
    return job_id <= *(int64_t *)arg || taken[job_id];
}

static int64_t n_held(void *arg, int64_t batch_id)
{
    (void)arg, (void)batch_id;
    return held;
}

static int64_t largest_of(void *arg, const char *model)
{
    (void)arg;
    return !model[0] || !strcmp(model, "m") ? largest : 0;
}

static void open_both(void)
{
    snprintf(db, sizeof db, "%s", test_path("r.db"));
    q = rows_open(db);
    known = held = 0;
    largest = ANY;
    now_ms = ROWS_NOW;
    ck_assert_msg(
        !ready_open(&win, db, &(struct ready_world){&known, is_known, n_held, largest_of}, &e),
        "%s", e.text);
}

static void close_both(void)
{
    ready_close(&win);
    ck_assert_ptr_null(win);
    queue_close(&q);
}

static bool look(void)
{
    bool changed;

    ck_assert_msg(!ready_refresh(win, now_ms, &changed, &e), "%s", e.text);
    return changed;
}

/* Reads all that there is to be read now. */
static void read_all(void)
{
    bool more = true;

    while (ready_gone(win))
        ;
    while (more)
        ck_assert_msg(!ready_read(win, true, &more, &e), "%s", e.text);
}

/* The next row that is told of; 0: none. */
static int64_t tell(void)
{
    const struct ready_job *j;

    read_all();
    j = ready_tell(win);
    return j ? j->job_id : 0;
}

/* The same, taken. */
static struct ready_job *pop_job(void)
{
    const int64_t job_id = tell();

    return job_id ? ready_take(win, job_id) : NULL;
}

/* Its id, or 0. */
static int64_t pop(void)
{
    struct ready_job *j = pop_job();
    int64_t id = j ? j->job_id : 0;

    free(j);
    return id;
}

#define change(sql) process_change(db, sql)

START_TEST(jobs_come_with_all_that_a_lease_needs)
{
    struct ready_job *j;
    int64_t b;

    open_both();
    b = rows_batch(q, "b", "m", 0);
    rows_add(q, b, "row", 3);
    change("UPDATE batch SET generation=4; UPDATE job SET generation=2 WHERE job_id=1");
    ck_assert(look());
    ck_assert_ptr_nonnull(j = pop_job());
    ck_assert_int_eq(j->job_id, 1);
    ck_assert_int_eq(j->batch_id, b);
    ck_assert_int_eq(j->generation, 6); /* the batch's and its own */
    ck_assert_int_eq(j->est_tokens, 4 / 4 + 64 + 1);
    ck_assert_uint_eq(j->body_len, 4);
    ck_assert_mem_eq(j->body, "row0", 4);
    free(j);
    ck_assert_int_eq(pop(), 2);
    ck_assert_int_eq(pop(), 3);
    ck_assert_int_eq(pop(), 0);
    ck_assert_uint_eq(ready_count(win), 0);
    close_both();
}
END_TEST

START_TEST(a_job_is_in_the_window_once)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 4);
    look();
    ck_assert_int_eq(pop(), 1);
    known = 1;
    ready_stir(win, 0, INT64_MAX); /* what the cursor has passed may be ready again */
    ck_assert_int_eq(pop(), 2);
    known = 2;
    ready_remove(win, 3);
    ready_remove(win, 3);
    ck_assert_uint_eq(ready_count(win), 1);
    ck_assert_int_eq(pop(), 4); /* W1 */
    known = 0;
    ck_assert_int_eq(pop(), 1); /* nobody has them: it starts over, once */
    ck_assert_int_eq(pop(), 2);
    ck_assert_int_eq(pop(), 3);
    ck_assert_int_eq(pop(), 4);
    ck_assert_int_eq(pop(), 0);
    close_both();
}
END_TEST

START_TEST(known_jobs_are_passed_over)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 5);
    look();
    known = 3;
    ck_assert_int_eq(pop(), 4); /* W1 */
    ck_assert_int_eq(pop(), 5);
    ck_assert_int_eq(pop(), 0);
    close_both();
}
END_TEST

START_TEST(the_window_is_bounded_and_every_row_comes)
{
    const int n = READY_ROWS + READY_CHUNK + 7;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", n);
    look();
    ck_assert_int_eq(ready_depth(win), 0); /* nothing is told of, and there is more behind */
    for (int i = 1; i <= READY_ROWS; i++)
        ck_assert_int_eq(tell(), i);
    ck_assert_int_eq(tell(), 0);
    ck_assert_uint_eq(ready_count(win), READY_ROWS); /* W2, Q6 */
    ck_assert_int_eq(ready_depth(win), READY_ROWS);
    for (int i = 1; i <= READY_ROWS; i++)
        free(ready_take(win, i));
    for (int i = READY_ROWS + 1; i <= n; i++)
        ck_assert_int_eq(pop(), i);
    ck_assert_int_eq(pop(), 0);
    ck_assert_int_eq(ready_depth(win), INT64_MAX);
    close_both();
}
END_TEST

START_TEST(reading_goes_on_in_the_next_group_and_the_next_priority) /* W2 */
{
    const int n = READY_CHUNK;
    char sql[256];

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 3 * n);
    snprintf(sql, sizeof sql,
             "UPDATE job SET prefix_group=CASE WHEN job_id>%d THEN 5 ELSE 0 END,"
             " priority=CASE WHEN job_id>%d THEN 1 ELSE 0 END",
             n, 2 * n);
    change(sql);
    look();
    for (int i = 1; i <= 3 * n; i++)
        ck_assert_int_eq(pop(), i);
    ck_assert_int_eq(pop(), 0);
    close_both();
}
END_TEST

START_TEST(smaller_priority_numbers_run_first)
{
    int64_t low, high;

    open_both();
    low = rows_add(q, rows_batch(q, "low", "", 5), "l", 3);
    look();
    ck_assert_int_eq(pop(), low);
    high = rows_add(q, rows_batch(q, "high", "", -5), "h", 2); /* though others are read ahead */
    look();
    ck_assert_int_eq(pop(), high);
    ck_assert_int_eq(pop(), high + 1);
    ck_assert_int_eq(pop(), low + 1);
    close_both();
}
END_TEST

START_TEST(a_rows_own_priority_counts_within_and_between_batches)
{
    int64_t a, b;

    open_both();
    a = rows_add(q, rows_batch(q, "a", "", 0), "a", 3);
    b = rows_add(q, rows_batch(q, "b", "", 1), "b", 3);
    change("UPDATE job SET priority=-1 WHERE job_id IN (3, 5)");
    look();
    ck_assert_int_eq(pop(), a + 2);
    ck_assert_int_eq(pop(), b + 1);
    ck_assert_int_eq(pop(), a);
    ck_assert_int_eq(pop(), a + 1);
    ck_assert_int_eq(pop(), b);
    close_both();
}
END_TEST

START_TEST(an_urgent_row_that_is_added_later_overtakes_what_was_read_ahead)
{
    int64_t b;

    open_both();
    b = rows_batch(q, "b", "", 0);
    rows_add(q, b, "row", 4);
    look();
    ck_assert_int_eq(pop(), 1);
    known = 1;
    rows_add(q, b, "urgent", 1);
    change("UPDATE job SET priority=-9 WHERE job_id=5");
    ready_stir(win, b, -9);
    ck_assert_int_eq(pop(), 5);
    ck_assert_int_eq(pop(), 2);
    close_both();
}
END_TEST

START_TEST(batches_of_one_priority_are_told_in_turn_whatever_their_sizes)
{
    double given[3] = {0};
    int64_t first[3];

    open_both();
    first[0] = rows_add(q, rows_batch(q, "one", "", 0), "a", 2000);
    first[1] = rows_add(q, rows_batch(q, "two", "", 0), "b", 300);
    first[2] = rows_add(q, rows_batch(q, "three", "", 0), "c", 300);
    look();
    for (int i = 0; i < 900; i++) {
        struct ready_job *j = pop_job();
        int k = j->job_id >= first[2] ? 2 : j->job_id >= first[1] ? 1 : 0;

        given[k] += (double)j->est_tokens;
        for (int a = 0; a < 3; a++) /* W4 */
            ck_assert_double_le(given[k] - given[a], (double)j->est_tokens);
        free(j);
    }
    close_both();
}
END_TEST

START_TEST(a_batch_that_comes_later_is_told_in_turn)
{
    int64_t late;
    int n = 0;

    open_both();
    rows_add(q, rows_batch(q, "early", "", 0), "a", 400);
    look();
    for (int i = 0; i < 200; i++)
        pop();
    late = rows_add(q, rows_batch(q, "late", "", 0), "b", 400);
    look();
    for (int i = 0; i < 100; i++)
        n += pop() >= late;
    ck_assert_int_ge(n, 49); /* W4: not all of them */
    ck_assert_int_le(n, 51);
    close_both();
}
END_TEST

START_TEST(nothing_is_told_while_a_batch_has_still_to_be_read)
{
    int64_t high;
    bool more;

    open_both();
    rows_add(q, rows_batch(q, "low", "", 5), "l", READY_CHUNK + 1);
    high = rows_add(q, rows_batch(q, "high", "", -5), "h", 2);
    look();
    ck_assert_int_eq(ready_read(win, false, &more, &e), ERR_OK);
    ck_assert(more);
    ck_assert_uint_eq(ready_count(win), READY_CHUNK); /* a piece */
    ck_assert_ptr_null(ready_tell(win));              /* W4 */
    ck_assert_int_eq(tell(), high);
    close_both();
}
END_TEST

START_TEST(batches_whose_model_nobody_has_are_not_read)
{
    int64_t any;

    open_both();
    rows_add(q, rows_batch(q, "b1", "m", 0), "a", 1);
    rows_add(q, rows_batch(q, "b2", "other", 0), "b", 1);
    any = rows_add(q, rows_batch(q, "b3", "", 0), "c", 1);
    look();
    ck_assert_int_eq(tell(), 1);
    ck_assert_int_eq(tell(), any);
    ck_assert_int_eq(tell(), 0);
    ck_assert_uint_eq(ready_count(win), 2);
    largest = 0; /* the last instance is gone */
    look();
    ck_assert_uint_eq(ready_count(win), 0);
    close_both();
}
END_TEST

START_TEST(rows_told_of_that_leave_are_named_once)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 4);
    look();
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(tell(), i);
    free(ready_take(win, 1)); /* it was granted */
    ready_remove(win, 2);
    ck_assert_int_eq(ready_gone(win), 2);
    ck_assert_int_eq(ready_gone(win), 0);
    change("UPDATE batch SET state=3");
    look();
    ck_assert_ptr_null(ready_take(win, 3));
    ck_assert_int_eq(ready_gone(win), 3); /* and not 4, of which nobody heard */
    ck_assert_int_eq(ready_gone(win), 0);
    close_both();
}
END_TEST

START_TEST(whoever_has_forgotten_is_told_again)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 2);
    look();
    ck_assert_int_eq(tell(), 1);
    ck_assert_int_eq(tell(), 2);
    ck_assert_int_eq(tell(), 0);
    ready_untell(win);
    ck_assert_int_eq(tell(), 1);
    ck_assert_int_eq(tell(), 2);
    close_both();
}
END_TEST

START_TEST(what_a_row_needs_is_remembered_for_its_generation)
{
    const char *model;
    int64_t least;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 3);
    largest = 899;
    look();
    ck_assert_int_eq(ready_need(win, 2, 1, 0, 500), ERR_OK);
    ck_assert_int_eq(ready_need(win, 2, 1, 0, 900), ERR_OK);
    ck_assert_int_eq(ready_need(win, 3, 1, 7, 900), ERR_OK); /* of another generation */
    ck_assert_int_eq(pop(), 1);
    ck_assert_int_eq(ready_next_needy(win, 0, &model, &least), 1);
    ck_assert_str_eq(model, "");
    ck_assert_int_eq(least, 900);
    ck_assert_int_eq(ready_next_needy(win, 1, &model, &least), 0);
    ck_assert_int_eq(pop(), 3);
    ck_assert_int_eq(pop(), 0);
    largest = 900;
    look();
    ck_assert_int_eq(tell(), 2);
    ck_assert_int_eq(ready_next_needy(win, 0, &model, &least), 0);
    largest = 899; /* who could hold it has left */
    look();
    ck_assert_int_eq(ready_gone(win), 2);
    ck_assert_int_eq(ready_next_needy(win, 0, &model, &least), 1);
    close_both();
}
END_TEST

START_TEST(a_row_that_was_put_back_for_its_need_is_told_when_somebody_has_it)
{
    struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 1);
    largest = 100;
    look();
    ck_assert_int_eq(pop(), 1);
    ck_assert_int_eq(ready_need(win, 1, 1, 0, 500), ERR_OK);
    ready_return(win, 1, 1);
    ck_assert_int_eq(pop(), 0);
    largest = 500;
    look();
    ck_assert_ptr_nonnull(j = pop_job());
    ck_assert_int_eq(j->need_tokens, 500);
    free(j);
    close_both();
}
END_TEST

START_TEST(rows_that_fit_nowhere_cannot_hide_those_that_do)
{
    const int n = READY_CHUNK + 20;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", n + 1);
    for (int i = 1; i <= n; i++)
        ck_assert_int_eq(ready_need(win, i, 1, 0, 500), ERR_OK);
    largest = 499;
    look();
    ck_assert_int_eq(pop(), n + 1);
    ck_assert_uint_eq(ready_count(win), 0); /* W2, Q6: no body is kept of those that do not fit */
    taken[n + 1] = true;
    largest = 500;
    look();
    for (int i = 1; i <= n; i++) {
        int64_t id = pop();

        ck_assert_int_ne(id, 0);
        taken[id] = true;
    }
    ck_assert_int_eq(pop(), 0);
    memset(taken, 0, sizeof taken);
    close_both();
}
END_TEST

START_TEST(a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready)
{
    struct ready_job *j;
    int64_t b;

    open_both();
    b = rows_batch(q, "b", "", 0);
    rows_add(q, b, "row", 1);
    largest = 499;
    look();
    ck_assert_int_eq(ready_need(win, 1, b, 0, 500), ERR_OK);
    ck_assert(!ready_only_needy(win, b)); /* not read yet */
    ck_assert_int_eq(pop(), 0);
    ck_assert(ready_only_needy(win, b));
    rows_add(q, b, "more", 1); /* ready, though the window does not hold it */
    look();
    ck_assert(!ready_only_needy(win, b));
    ck_assert_int_eq(ready_pop_needy(win, b, &j, &e), ERR_OK);
    ck_assert_int_eq(j->need_tokens, 500);
    free(j);
    ck_assert_int_eq(ready_pop_needy(win, b, &j, &e), ERR_EMPTY);
    close_both();
}
END_TEST

START_TEST(delayed_rows_are_not_read_until_they_are_due)
{
    struct failure f = {.job_id = 1, .counts = true};
    enum job_state to;
    int64_t until, n;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 2);
    f.code = f.message = rows_text("x"), f.param = rows_text("");
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_fail(q, &f, ROWS_NOW, &to, &until, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    look();
    ck_assert_int_eq(pop(), 2);
    ready_return(win, 1, 1);
    ck_assert_int_eq(pop(), 0);
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_due(q, until, &n, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    ready_stir(win, 0, INT64_MAX);
    known = 0;
    ck_assert_int_eq(pop(), 1);
    close_both();
}
END_TEST

START_TEST(a_row_that_is_pushed_back_is_here_and_one_that_is_returned_is_told_again)
{
    struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 9);
    look();
    ck_assert_ptr_nonnull(j = pop_job());
    ck_assert(ready_push(win, j)); /* it could not be sent */
    for (int i = 2; i <= 9; i++)
        ck_assert_int_eq(pop(), i);
    ck_assert_int_eq(pop(), 0); /* the first is known to all */
    ck_assert_ptr_nonnull(j = ready_take(win, 1));
    change("UPDATE batch SET state=3");
    look();
    ck_assert(!ready_push(win, j));
    change("UPDATE batch SET state=0");
    look();
    known = 9;
    ck_assert_int_eq(pop(), 0);
    known = 6;
    taken[8] = taken[9] = true;
    ready_return(win, 1, 7); /* its worker is gone */
    ck_assert_int_eq(pop(), 7);
    ck_assert_int_eq(pop(), 0);
    taken[8] = taken[9] = false;
    close_both();
}
END_TEST

START_TEST(a_job_that_somebody_has_can_be_read_once_more)
{
    struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "m", 0), "row", 1);
    look();
    ck_assert_int_eq(pop(), 1);
    known = 1;
    ck_assert_int_eq(ready_fetch(win, 1, 1, &j, &e), ERR_OK);
    ck_assert_int_eq(j->job_id, 1);
    ck_assert_str_eq(j->model, "m");
    free(j);
    ck_assert_int_eq(ready_fetch(win, 2, 1, &j, &e), ERR_EMPTY);
    change("UPDATE batch SET state=3");
    look();
    ck_assert_int_eq(ready_fetch(win, 1, 1, &j, &e), ERR_EMPTY); /* W3 */
    close_both();
}
END_TEST

START_TEST(a_batch_gives_nothing_before_its_time_or_outside_its_window)
{
    const int64_t minute = 60000, hour = 60 * minute;
    int64_t midnight = ROWS_NOW - ROWS_NOW % (24 * hour);

    setenv("TZ", "UTC", 1);
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 8);
    change("UPDATE batch SET not_before_ms=1800000000500");
    ck_assert(!look());
    ck_assert_int_eq(pop(), 0); /* W3 */
    ck_assert_str_eq(ready_why_not(win, 1), "window");
    now_ms = 1800000000500;
    ck_assert(look());
    ck_assert_int_eq(pop(), 1);
    change("UPDATE batch SET not_before_ms=0, window_from=1320, window_to=420");
    now_ms = midnight + 21 * hour + 59 * minute;
    ck_assert(look());
    ck_assert_int_eq(pop(), 0);
    now_ms += minute;
    ck_assert(look());          /* 22:00 */
    ck_assert_int_eq(pop(), 1); /* nobody holds it: read again */
    now_ms += 9 * hour - 1;
    ck_assert(!look()); /* 06:59:59.999 */
    ck_assert_int_eq(pop(), 2);
    now_ms += 1;
    ck_assert(look());
    ck_assert_int_eq(pop(), 0); /* though rows were read ahead */
    close_both();
}
END_TEST

START_TEST(a_batch_that_is_paused_cancelled_or_expired_gives_nothing)
{
    static const struct {
        const char *sql, *why;
    } CLOSED[] = {{"UPDATE batch SET state=3", "paused"},
                  {"UPDATE batch SET state=4", "cancelled"},
                  {"UPDATE batch SET state=0, deadline_ms=1800000000000", "batch_expired"}};

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 8);
    for (int i = 0; i < 3; i++) {
        change("UPDATE batch SET state=0, deadline_ms=0");
        ck_assert(look());
        ck_assert_ptr_null(ready_why_not(win, 1));
        ck_assert_int_eq(pop(), 1);
        change(CLOSED[i].sql);
        ck_assert(look());
        ck_assert_str_eq(ready_why_not(win, 1), CLOSED[i].why);
        ck_assert_int_eq(pop(), 0); /* W3 */
        ck_assert_int_eq(ready_expired(win, 0), i == 2);
    }
    ck_assert_str_eq(ready_why_not(win, 99), "deleted");
    close_both();
}
END_TEST

START_TEST(suspects_come_only_when_they_are_asked_for)
{
    struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "m", 0), "row", 3);
    change("UPDATE job SET suspect=1 WHERE job_id=2");
    look();
    ck_assert_int_eq(ready_pop_suspect(win, "other", ANY, &j, &e), ERR_EMPTY);
    ck_assert_int_eq(ready_pop_suspect(win, "m", ANY, &j, &e), ERR_OK); /* Q8 */
    ck_assert_int_eq(j->job_id, 2);
    ck_assert(j->suspect);
    free(j);
    ck_assert_int_eq(pop(), 1);
    ck_assert_int_eq(pop(), 3);
    ck_assert_int_eq(pop(), 0);
    known = 3;
    ck_assert_int_eq(ready_pop_suspect(win, "m", ANY, &j, &e), ERR_EMPTY);
    close_both();
}
END_TEST

START_TEST(backlog_and_estimates_follow_the_commits)
{
    struct answer a = {.job_id = 1, .prompt_tokens = 2, .output_tokens = 6, .body_bytes = 6};
    struct ready_job *j;
    int64_t tokens;

    open_both();
    look();
    ck_assert_int_eq(ready_backlog(win, &tokens), 0);
    rows_add(q, rows_batch(q, "b", "", 0), "row", 3);
    look();
    ck_assert_int_eq(ready_backlog(win, &tokens), 3);
    ck_assert_int_eq(tokens, 3 * 64);
    held = 2;
    ck_assert_int_eq(ready_backlog(win, &tokens), 1);
    ck_assert_int_eq(tell(), 1);
    ck_assert_int_eq(ready_backlog(win, &tokens), 0); /* all has been read, whoever holds what */
    a.instance_id = rows_instance(q, "u");
    a.finish_reason = a.text = a.choices = rows_text("x");
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_finish(q, &a, ROWS_NOW, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    look();
    ready_drop(win, 1);
    ck_assert_ptr_nonnull(j = pop_job());
    ck_assert_int_eq(j->est_tokens, 4 / 3 + 6 + 1); /* three bytes a token, six tokens an answer */
    ck_assert_int_eq(j->prompt_tokens, 4 / 3);
    free(j);
    close_both();
}
END_TEST

START_TEST(a_job_is_looked_up_as_it_stands)
{
    struct ready_state now;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 1);
    change("UPDATE batch SET generation=1; UPDATE job SET generation=1, suspect=1");
    ck_assert_int_eq(ready_look_up(win, 1, &now, &e), ERR_OK);
    ck_assert_int_eq(now.batch_id, 1);
    ck_assert_int_eq(now.generation, 2);
    ck_assert(now.ready && now.suspect);
    change("UPDATE batch SET state=4");
    ck_assert_int_eq(ready_look_up(win, 1, &now, &e), ERR_OK);
    ck_assert(!now.ready);
    ck_assert_int_eq(ready_look_up(win, 2, &now, &e), ERR_EMPTY);
    close_both();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ready");
    TCase *t = tcase_create("ready");

    tcase_add_test(t, jobs_come_with_all_that_a_lease_needs);
    tcase_add_test(t, a_job_is_in_the_window_once);
    tcase_add_test(t, known_jobs_are_passed_over);
    tcase_add_test(t, the_window_is_bounded_and_every_row_comes);
    tcase_add_test(t, reading_goes_on_in_the_next_group_and_the_next_priority);
    tcase_add_test(t, smaller_priority_numbers_run_first);
    tcase_add_test(t, a_rows_own_priority_counts_within_and_between_batches);
    tcase_add_test(t, an_urgent_row_that_is_added_later_overtakes_what_was_read_ahead);
    tcase_add_test(t, batches_of_one_priority_are_told_in_turn_whatever_their_sizes);
    tcase_add_test(t, a_batch_that_comes_later_is_told_in_turn);
    tcase_add_test(t, batches_whose_model_nobody_has_are_not_read);
    tcase_add_test(t, what_a_row_needs_is_remembered_for_its_generation);
    tcase_add_test(t, a_row_that_was_put_back_for_its_need_is_told_when_somebody_has_it);
    tcase_add_test(t, rows_that_fit_nowhere_cannot_hide_those_that_do);
    tcase_add_test(t, a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready);
    tcase_add_test(t, delayed_rows_are_not_read_until_they_are_due);
    tcase_add_test(t, a_row_that_is_pushed_back_is_here_and_one_that_is_returned_is_told_again);
    tcase_add_test(t, a_batch_gives_nothing_before_its_time_or_outside_its_window);
    tcase_add_test(t, a_batch_that_is_paused_cancelled_or_expired_gives_nothing);
    tcase_add_test(t, suspects_come_only_when_they_are_asked_for);
    tcase_add_test(t, backlog_and_estimates_follow_the_commits);
    tcase_add_test(t, a_job_is_looked_up_as_it_stands);
    tcase_add_test(t, nothing_is_told_while_a_batch_has_still_to_be_read);
    tcase_add_test(t, rows_told_of_that_leave_are_named_once);
    tcase_add_test(t, whoever_has_forgotten_is_told_again);
    tcase_add_test(t, a_job_that_somebody_has_can_be_read_once_more);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
