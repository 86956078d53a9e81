/* test_ready_batch.c - the window over what the database holds: rows that must wait. */
#include <stdlib.h>
#include <string.h>

#include "tests/ahead.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define ANY         INT64_MAX
#define change(sql) process_change(ahead.db, sql)

START_TEST(batches_whose_model_nobody_has_are_not_read)
{
    int64_t any;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b1", "m", 0), "a", 1);
    rows_add(ahead.q, rows_batch(ahead.q, "b2", "other", 0), "b", 1);
    any = rows_add(ahead.q, rows_batch(ahead.q, "b3", "", 0), "c", 1);
    ahead_look();
    ck_assert_int_eq(ahead_tell(), 1);
    ck_assert_int_eq(ahead_tell(), any);
    ck_assert_int_eq(ahead_tell(), 0);
    ck_assert_uint_eq(ready_count(ahead.win), 2);
    ahead.largest = 0; /* the last instance is gone */
    ahead_look();
    ck_assert_uint_eq(ready_count(ahead.win), 0);
    ahead_close();
}
END_TEST

START_TEST(what_a_row_needs_is_remembered_for_its_generation)
{
    const char *model;
    int64_t least;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 3);
    ahead.largest = 899;
    ahead_look();
    ck_assert_int_eq(ready_need(ahead.win, 2, 1, 0, 500), ERR_OK);
    ck_assert_int_eq(ready_need(ahead.win, 2, 1, 0, 900), ERR_OK);
    ck_assert_int_eq(ready_need(ahead.win, 3, 1, 7, 900), ERR_OK); /* of another generation */
    ck_assert_int_eq(ahead_pop(), 1);
    ck_assert_int_eq(ready_next_needy(ahead.win, 0, &model, &least), 1);
    ck_assert_str_eq(model, "");
    ck_assert_int_eq(least, 900);
    ck_assert_int_eq(ready_next_needy(ahead.win, 1, &model, &least), 0);
    ck_assert_int_eq(ahead_pop(), 3);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.largest = 900;
    ahead_look();
    ck_assert_int_eq(ahead_tell(), 2);
    ck_assert_int_eq(ready_next_needy(ahead.win, 0, &model, &least), 0);
    ahead.largest = 899; /* who could hold it has left */
    ahead_look();
    ck_assert_int_eq(ready_gone(ahead.win), 2);
    ck_assert_int_eq(ready_next_needy(ahead.win, 0, &model, &least), 1);
    ahead_close();
}
END_TEST

START_TEST(a_row_that_was_put_back_for_its_need_is_told_when_somebody_has_it)
{
    struct ready_job *j;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 1);
    ahead.largest = 100;
    ahead_look();
    ck_assert_int_eq(ahead_pop(), 1);
    ck_assert_int_eq(ready_need(ahead.win, 1, 1, 0, 500), ERR_OK);
    ready_return(ahead.win, 1, 1);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.largest = 500;
    ahead_look();
    ck_assert_ptr_nonnull(j = ahead_pop_job());
    ck_assert_int_eq(j->need_tokens, 500);
    free(j);
    ahead_close();
}
END_TEST

START_TEST(rows_that_fit_nowhere_cannot_hide_those_that_do)
{
    const int n = READY_CHUNK + 20;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", n + 1);
    for (int i = 1; i <= n; i++)
        ck_assert_int_eq(ready_need(ahead.win, i, 1, 0, 500), ERR_OK);
    ahead.largest = 499;
    ahead_look();
    ck_assert_int_eq(ahead_pop(), n + 1);
    ck_assert_uint_eq(ready_count(ahead.win),
                      0); /* W2, Q6: no body is kept of those that do not fit */
    ahead.taken[n + 1] = true;
    ahead.largest = 500;
    ahead_look();
    for (int i = 1; i <= n; i++) {
        int64_t id = ahead_pop();

        ck_assert_int_ne(id, 0);
        ahead.taken[id] = true;
    }
    ck_assert_int_eq(ahead_pop(), 0);
    memset(ahead.taken, 0, sizeof ahead.taken);
    ahead_close();
}
END_TEST

START_TEST(a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready)
{
    struct ready_job *j;
    int64_t b;

    ahead_open();
    b = rows_batch(ahead.q, "b", "", 0);
    rows_add(ahead.q, b, "row", 1);
    ahead.largest = 499;
    ahead_look();
    ck_assert_int_eq(ready_need(ahead.win, 1, b, 0, 500), ERR_OK);
    ck_assert(!ready_only_needy(ahead.win, b)); /* not read yet */
    ck_assert_int_eq(ahead_pop(), 0);
    ck_assert(ready_only_needy(ahead.win, b));
    rows_add(ahead.q, b, "more", 1); /* ready, though the window does not hold it */
    ahead_look();
    ck_assert(!ready_only_needy(ahead.win, b));
    ck_assert_int_eq(ready_pop_needy(ahead.win, b, &j, &ahead.e), ERR_OK);
    ck_assert_int_eq(j->need_tokens, 500);
    free(j);
    ck_assert_int_eq(ready_pop_needy(ahead.win, b, &j, &ahead.e), ERR_EMPTY);
    ahead_close();
}
END_TEST

START_TEST(delayed_rows_are_not_read_until_they_are_due)
{
    struct failure f = {.job_id = 1, .counts = true};
    enum job_state to;
    int64_t until, n;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 2);
    f.code = f.message = rows_text("x"), f.param = rows_text("");
    ck_assert_int_eq(queue_begin(ahead.q, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_fail(ahead.q, &f, ROWS_NOW, &to, &until, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_commit(ahead.q, &ahead.e), ERR_OK);
    ahead_look();
    ck_assert_int_eq(ahead_pop(), 2);
    ready_return(ahead.win, 1, 1);
    ck_assert_int_eq(ahead_pop(), 0);
    ck_assert_int_eq(queue_begin(ahead.q, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_due(ahead.q, until, &n, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_commit(ahead.q, &ahead.e), ERR_OK);
    ready_stir(ahead.win, 0, INT64_MAX);
    ahead.known = 0;
    ck_assert_int_eq(ahead_pop(), 1);
    ahead_close();
}
END_TEST

START_TEST(a_batch_gives_nothing_before_its_time_or_outside_its_window)
{
    const int64_t minute = 60000, hour = 60 * minute;
    int64_t midnight = ROWS_NOW - ROWS_NOW % (24 * hour);

    setenv("TZ", "UTC", 1);
    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 8);
    change("UPDATE batch SET not_before_ms=1800000000500");
    ck_assert(!ahead_look());
    ck_assert_int_eq(ahead_pop(), 0); /* W3 */
    ck_assert_str_eq(ready_why_not(ahead.win, 1), "window");
    ahead.now_ms = 1800000000500;
    ck_assert(ahead_look());
    ck_assert_int_eq(ahead_pop(), 1);
    change("UPDATE batch SET not_before_ms=0, window_from=1320, window_to=420");
    ahead.now_ms = midnight + 21 * hour + 59 * minute;
    ck_assert(ahead_look());
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.now_ms += minute;
    ck_assert(ahead_look());          /* 22:00 */
    ck_assert_int_eq(ahead_pop(), 1); /* nobody holds it: read again */
    ahead.now_ms += 9 * hour - 1;
    ck_assert(!ahead_look()); /* 06:59:59.999 */
    ck_assert_int_eq(ahead_pop(), 2);
    ahead.now_ms += 1;
    ck_assert(ahead_look());
    ck_assert_int_eq(ahead_pop(), 0); /* though rows were read ahead */
    ahead_close();
}
END_TEST

START_TEST(a_batch_that_is_paused_cancelled_or_expired_gives_nothing)
{
    static const struct {
        const char *sql, *why;
    } CLOSED[] = {{"UPDATE batch SET state=3", "paused"},
                  {"UPDATE batch SET state=4", "cancelled"},
                  {"UPDATE batch SET state=0, deadline_ms=1800000000000", "batch_expired"}};

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 8);
    for (int i = 0; i < 3; i++) {
        change("UPDATE batch SET state=0, deadline_ms=0");
        ck_assert(ahead_look());
        ck_assert_ptr_null(ready_why_not(ahead.win, 1));
        ck_assert_int_eq(ahead_pop(), 1);
        change(CLOSED[i].sql);
        ck_assert(ahead_look());
        ck_assert_str_eq(ready_why_not(ahead.win, 1), CLOSED[i].why);
        ck_assert_int_eq(ahead_pop(), 0); /* W3 */
        ck_assert_int_eq(ready_expired(ahead.win, 0), i == 2);
    }
    ck_assert_str_eq(ready_why_not(ahead.win, 99), "deleted");
    ahead_close();
}
END_TEST

START_TEST(suspects_come_only_when_they_are_asked_for)
{
    struct ready_job *j;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "m", 0), "row", 3);
    change("UPDATE job SET suspect=1 WHERE job_id=2");
    ahead_look();
    ck_assert_int_eq(ready_pop_suspect(ahead.win, "other", ANY, &j, &ahead.e), ERR_EMPTY);
    ck_assert_int_eq(ready_pop_suspect(ahead.win, "m", ANY, &j, &ahead.e), ERR_OK); /* Q8 */
    ck_assert_int_eq(j->job_id, 2);
    ck_assert(j->suspect);
    free(j);
    ck_assert_int_eq(ahead_pop(), 1);
    ck_assert_int_eq(ahead_pop(), 3);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.known = 3;
    ck_assert_int_eq(ready_pop_suspect(ahead.win, "m", ANY, &j, &ahead.e), ERR_EMPTY);
    ahead_close();
}
END_TEST

START_TEST(backlog_and_estimates_follow_the_commits)
{
    struct answer a = {.job_id = 1, .prompt_tokens = 2, .output_tokens = 6, .body_bytes = 6};
    struct ready_job *j;
    int64_t tokens;

    ahead_open();
    ahead_look();
    ck_assert_int_eq(ready_backlog(ahead.win, &tokens), 0);
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 3);
    ahead_look();
    ck_assert_int_eq(ready_backlog(ahead.win, &tokens), 3);
    ck_assert_int_eq(tokens, 3 * 64);
    ahead.held = 2;
    ck_assert_int_eq(ready_backlog(ahead.win, &tokens), 1);
    ck_assert_int_eq(ahead_tell(), 1);
    ck_assert_int_eq(ready_backlog(ahead.win, &tokens),
                     0); /* all has been read, whoever holds what */
    a.instance_id = rows_instance(ahead.q, "u");
    a.finish_reason = a.text = a.choices = rows_text("x");
    ck_assert_int_eq(queue_begin(ahead.q, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_finish(ahead.q, &a, ROWS_NOW, &ahead.e), ERR_OK);
    ck_assert_int_eq(queue_commit(ahead.q, &ahead.e), ERR_OK);
    ahead_look();
    ready_drop(ahead.win, 1);
    ck_assert_ptr_nonnull(j = ahead_pop_job());
    ck_assert_int_eq(j->est_tokens, 4 / 3 + 6 + 1); /* three bytes a token, six tokens an answer */
    ck_assert_int_eq(j->prompt_tokens, 4 / 3);
    free(j);
    ahead_close();
}
END_TEST

START_TEST(a_job_is_looked_up_as_it_stands)
{
    struct ready_state now;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 1);
    change("UPDATE batch SET generation=1; UPDATE job SET generation=1, suspect=1");
    ck_assert_int_eq(ready_look_up(ahead.win, 1, &now, &ahead.e), ERR_OK);
    ck_assert_int_eq(now.batch_id, 1);
    ck_assert_int_eq(now.generation, 2);
    ck_assert(now.ready && now.suspect);
    change("UPDATE batch SET state=4");
    ck_assert_int_eq(ready_look_up(ahead.win, 1, &now, &ahead.e), ERR_OK);
    ck_assert(!now.ready);
    ck_assert_int_eq(ready_look_up(ahead.win, 2, &now, &ahead.e), ERR_EMPTY);
    ahead_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ready_batch");
    TCase *t = tcase_create("ready_batch");

    tcase_add_test(t, batches_whose_model_nobody_has_are_not_read);
    tcase_add_test(t, what_a_row_needs_is_remembered_for_its_generation);
    tcase_add_test(t, a_row_that_was_put_back_for_its_need_is_told_when_somebody_has_it);
    tcase_add_test(t, rows_that_fit_nowhere_cannot_hide_those_that_do);
    tcase_add_test(t, a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready);
    tcase_add_test(t, delayed_rows_are_not_read_until_they_are_due);
    tcase_add_test(t, a_batch_gives_nothing_before_its_time_or_outside_its_window);
    tcase_add_test(t, a_batch_that_is_paused_cancelled_or_expired_gives_nothing);
    tcase_add_test(t, suspects_come_only_when_they_are_asked_for);
    tcase_add_test(t, backlog_and_estimates_follow_the_commits);
    tcase_add_test(t, a_job_is_looked_up_as_it_stands);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
