/* test_ready.c - the window over what the database holds: what is read, and in which order. */
#include <stdlib.h>
#include <string.h>

#include "tests/ahead.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define change(sql) process_change(ahead.db, sql)

START_TEST(jobs_come_with_all_that_a_lease_needs)
{
    struct ready_job *j;
    int64_t b;

    ahead_open();
    b = rows_batch(ahead.q, "b", "m", 0);
    rows_add(ahead.q, b, "row", 3);
    change("UPDATE batch SET generation=4; UPDATE job SET generation=2 WHERE job_id=1");
    ck_assert(ahead_look());
    ck_assert_ptr_nonnull(j = ahead_pop_job());
    ck_assert_int_eq(j->job_id, 1);
    ck_assert_int_eq(j->batch_id, b);
    ck_assert_int_eq(j->generation, 6); /* the batch's and its own */
    ck_assert_int_eq(j->est_tokens, 4 / 4 + 64 + 1);
    ck_assert_uint_eq(j->body_len, 4);
    ck_assert_mem_eq(j->body, "row0", 4);
    free(j);
    ck_assert_int_eq(ahead_pop(), 2);
    ck_assert_int_eq(ahead_pop(), 3);
    ck_assert_int_eq(ahead_pop(), 0);
    ck_assert_uint_eq(ready_count(ahead.win), 0);
    ahead_close();
}
END_TEST

START_TEST(a_job_is_in_the_window_once)
{
    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 4);
    ahead_look();
    ck_assert_int_eq(ahead_pop(), 1);
    ahead.known = 1;
    ready_stir(ahead.win, 0, INT64_MAX); /* what the cursor has passed may be ready again */
    ck_assert_int_eq(ahead_pop(), 2);
    ahead.known = 2;
    ready_remove(ahead.win, 3);
    ready_remove(ahead.win, 3);
    ck_assert_uint_eq(ready_count(ahead.win), 1);
    ck_assert_int_eq(ahead_pop(), 4); /* W1 */
    ahead.known = 0;
    ck_assert_int_eq(ahead_pop(), 1); /* nobody has them: it starts over, once */
    ck_assert_int_eq(ahead_pop(), 2);
    ck_assert_int_eq(ahead_pop(), 3);
    ck_assert_int_eq(ahead_pop(), 4);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead_close();
}
END_TEST

START_TEST(known_jobs_are_passed_over)
{
    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 5);
    ahead_look();
    ahead.known = 3;
    ck_assert_int_eq(ahead_pop(), 4); /* W1 */
    ck_assert_int_eq(ahead_pop(), 5);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead_close();
}
END_TEST

START_TEST(the_window_is_bounded_and_every_row_comes)
{
    const int n = READY_ROWS + READY_CHUNK + 7;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", n);
    ahead_look();
    ck_assert_int_eq(ready_depth(ahead.win), 0); /* nothing is told of, and there is more behind */
    for (int i = 1; i <= READY_ROWS; i++)
        ck_assert_int_eq(ahead_tell(), i);
    ck_assert_int_eq(ahead_tell(), 0);
    ck_assert_uint_eq(ready_count(ahead.win), READY_ROWS); /* W2, Q6 */
    ck_assert_int_eq(ready_depth(ahead.win), READY_ROWS);
    for (int i = 1; i <= READY_ROWS; i++)
        free(ready_take(ahead.win, i));
    for (int i = READY_ROWS + 1; i <= n; i++)
        ck_assert_int_eq(ahead_pop(), i);
    ck_assert_int_eq(ahead_pop(), 0);
    ck_assert_int_eq(ready_depth(ahead.win), INT64_MAX);
    ahead_close();
}
END_TEST

START_TEST(reading_goes_on_in_the_next_group_and_the_next_priority) /* W2 */
{
    const int n = READY_CHUNK;
    char sql[256];

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 3 * n);
    snprintf(sql, sizeof sql,
             "UPDATE job SET prefix_group=CASE WHEN job_id>%d THEN 5 ELSE 0 END,"
             " priority=CASE WHEN job_id>%d THEN 1 ELSE 0 END",
             n, 2 * n);
    change(sql);
    ahead_look();
    for (int i = 1; i <= 3 * n; i++)
        ck_assert_int_eq(ahead_pop(), i);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead_close();
}
END_TEST

START_TEST(smaller_priority_numbers_run_first)
{
    int64_t low, high;

    ahead_open();
    low = rows_add(ahead.q, rows_batch(ahead.q, "low", "", 5), "l", 3);
    ahead_look();
    ck_assert_int_eq(ahead_pop(), low);
    high = rows_add(ahead.q, rows_batch(ahead.q, "high", "", -5), "h",
                    2); /* though others are read ahead */
    ahead_look();
    ck_assert_int_eq(ahead_pop(), high);
    ck_assert_int_eq(ahead_pop(), high + 1);
    ck_assert_int_eq(ahead_pop(), low + 1);
    ahead_close();
}
END_TEST

START_TEST(a_rows_own_priority_counts_within_and_between_batches)
{
    int64_t a, b;

    ahead_open();
    a = rows_add(ahead.q, rows_batch(ahead.q, "a", "", 0), "a", 3);
    b = rows_add(ahead.q, rows_batch(ahead.q, "b", "", 1), "b", 3);
    change("UPDATE job SET priority=-1 WHERE job_id IN (3, 5)");
    ahead_look();
    ck_assert_int_eq(ahead_pop(), a + 2);
    ck_assert_int_eq(ahead_pop(), b + 1);
    ck_assert_int_eq(ahead_pop(), a);
    ck_assert_int_eq(ahead_pop(), a + 1);
    ck_assert_int_eq(ahead_pop(), b);
    ahead_close();
}
END_TEST

START_TEST(an_urgent_row_that_is_added_later_overtakes_what_was_read_ahead)
{
    int64_t b;

    ahead_open();
    b = rows_batch(ahead.q, "b", "", 0);
    rows_add(ahead.q, b, "row", 4);
    ahead_look();
    ck_assert_int_eq(ahead_pop(), 1);
    ahead.known = 1;
    rows_add(ahead.q, b, "urgent", 1);
    change("UPDATE job SET priority=-9 WHERE job_id=5");
    ready_stir(ahead.win, b, -9);
    ck_assert_int_eq(ahead_pop(), 5);
    ck_assert_int_eq(ahead_pop(), 2);
    ahead_close();
}
END_TEST

START_TEST(batches_of_one_priority_are_told_in_turn_whatever_their_sizes)
{
    double given[3] = {0};
    int64_t first[3];

    ahead_open();
    first[0] = rows_add(ahead.q, rows_batch(ahead.q, "one", "", 0), "a", 2000);
    first[1] = rows_add(ahead.q, rows_batch(ahead.q, "two", "", 0), "b", 300);
    first[2] = rows_add(ahead.q, rows_batch(ahead.q, "three", "", 0), "c", 300);
    ahead_look();
    for (int i = 0; i < 900; i++) {
        struct ready_job *j = ahead_pop_job();
        int k = j->job_id >= first[2] ? 2 : j->job_id >= first[1] ? 1 : 0;

        given[k] += (double)j->est_tokens;
        for (int a = 0; a < 3; a++) /* W4 */
            ck_assert_double_le(given[k] - given[a], (double)j->est_tokens);
        free(j);
    }
    ahead_close();
}
END_TEST

START_TEST(a_batch_that_comes_later_is_told_in_turn)
{
    int64_t late;
    int n = 0;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "early", "", 0), "a", 400);
    ahead_look();
    for (int i = 0; i < 200; i++)
        ahead_pop();
    late = rows_add(ahead.q, rows_batch(ahead.q, "late", "", 0), "b", 400);
    ahead_look();
    for (int i = 0; i < 100; i++)
        n += ahead_pop() >= late;
    ck_assert_int_ge(n, 49); /* W4: not all of them */
    ck_assert_int_le(n, 51);
    ahead_close();
}
END_TEST

START_TEST(nothing_is_told_while_a_batch_has_still_to_be_read)
{
    int64_t high;
    bool more;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "low", "", 5), "l", READY_CHUNK + 1);
    high = rows_add(ahead.q, rows_batch(ahead.q, "high", "", -5), "h", 2);
    ahead_look();
    ck_assert_int_eq(ready_read(ahead.win, false, &more, &ahead.e), ERR_OK);
    ck_assert(more);
    ck_assert_uint_eq(ready_count(ahead.win), READY_CHUNK); /* a piece */
    ck_assert_ptr_null(ready_tell(ahead.win));              /* W4 */
    ck_assert_int_eq(ahead_tell(), high);
    ahead_close();
}
END_TEST

START_TEST(rows_told_of_that_leave_are_named_once)
{
    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 4);
    ahead_look();
    for (int i = 1; i <= 3; i++)
        ck_assert_int_eq(ahead_tell(), i);
    free(ready_take(ahead.win, 1)); /* it was granted */
    ready_remove(ahead.win, 2);
    ck_assert_int_eq(ready_gone(ahead.win), 2);
    ck_assert_int_eq(ready_gone(ahead.win), 0);
    change("UPDATE batch SET state=3");
    ahead_look();
    ck_assert_ptr_null(ready_take(ahead.win, 3));
    ck_assert_int_eq(ready_gone(ahead.win), 3); /* and not 4, of which nobody heard */
    ck_assert_int_eq(ready_gone(ahead.win), 0);
    ahead_close();
}
END_TEST

START_TEST(whoever_has_forgotten_is_told_again)
{
    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 2);
    ahead_look();
    ck_assert_int_eq(ahead_tell(), 1);
    ck_assert_int_eq(ahead_tell(), 2);
    ck_assert_int_eq(ahead_tell(), 0);
    ready_untell(ahead.win);
    ck_assert_int_eq(ahead_tell(), 1);
    ck_assert_int_eq(ahead_tell(), 2);
    ahead_close();
}
END_TEST

START_TEST(a_row_that_is_pushed_back_is_here_and_one_that_is_returned_is_told_again)
{
    struct ready_job *j;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "", 0), "row", 9);
    ahead_look();
    ck_assert_ptr_nonnull(j = ahead_pop_job());
    ck_assert(ready_push(ahead.win, j)); /* it could not be sent */
    for (int i = 2; i <= 9; i++)
        ck_assert_int_eq(ahead_pop(), i);
    ck_assert_int_eq(ahead_pop(), 0); /* the first is known to all */
    ck_assert_ptr_nonnull(j = ready_take(ahead.win, 1));
    change("UPDATE batch SET state=3");
    ahead_look();
    ck_assert(!ready_push(ahead.win, j));
    change("UPDATE batch SET state=0");
    ahead_look();
    ahead.known = 9;
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.known = 6;
    ahead.taken[8] = ahead.taken[9] = true;
    ready_return(ahead.win, 1, 7); /* its worker is gone */
    ck_assert_int_eq(ahead_pop(), 7);
    ck_assert_int_eq(ahead_pop(), 0);
    ahead.taken[8] = ahead.taken[9] = false;
    ahead_close();
}
END_TEST

START_TEST(a_job_that_somebody_has_can_be_read_once_more)
{
    struct ready_job *j;

    ahead_open();
    rows_add(ahead.q, rows_batch(ahead.q, "b", "m", 0), "row", 1);
    ahead_look();
    ck_assert_int_eq(ahead_pop(), 1);
    ahead.known = 1;
    ck_assert_int_eq(ready_fetch(ahead.win, 1, 1, &j, &ahead.e), ERR_OK);
    ck_assert_int_eq(j->job_id, 1);
    ck_assert_str_eq(j->model, "m");
    free(j);
    ck_assert_int_eq(ready_fetch(ahead.win, 2, 1, &j, &ahead.e), ERR_EMPTY);
    change("UPDATE batch SET state=3");
    ahead_look();
    ck_assert_int_eq(ready_fetch(ahead.win, 1, 1, &j, &ahead.e), ERR_EMPTY); /* W3 */
    ahead_close();
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
    tcase_add_test(t, nothing_is_told_while_a_batch_has_still_to_be_read);
    tcase_add_test(t, rows_told_of_that_leave_are_named_once);
    tcase_add_test(t, whoever_has_forgotten_is_told_again);
    tcase_add_test(t, a_row_that_is_pushed_back_is_here_and_one_that_is_returned_is_told_again);
    tcase_add_test(t, a_job_that_somebody_has_can_be_read_once_more);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
