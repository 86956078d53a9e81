/* test_ready.c - the window over what the database holds. */
#include <stdint.h>
#include <string.h>

#include "broker/ready.h"
#include "tests/rows.h"
#include "tests/test.h"

#define ANY INT64_MAX

static struct errmsg e;
static char db[512];
static struct queue *q;
static struct ready *win;

static void open_both(void)
{
    snprintf(db, sizeof db, "%s", test_path("r.db"));
    q = rows_open(db);
    ck_assert_msg(!ready_open(&win, db, &e), "%s", e.text);
}

static void close_both(void)
{
    ready_close(&win);
    ck_assert_ptr_null(win);
    queue_close(&q);
}

/* Known jobs are those up to *arg. */
static bool is_known(void *arg, int64_t job_id)
{
    return job_id <= *(int64_t *)arg;
}

static int fill_from(const char *model, int64_t known)
{
    int n;

    ck_assert_msg(!ready_fill(win, model, INT64_MAX, is_known, &known, &n, &e), "%s", e.text);
    return n;
}

static int fill(const char *model)
{
    return fill_from(model, 0);
}

/* The next job's id, or 0. */
static int64_t pop(const char *model, int64_t max_tokens)
{
    struct ready_job *j = ready_pop(win, model, max_tokens);
    int64_t id = j ? j->job_id : 0;

    free(j);
    return id;
}

START_TEST(jobs_come_with_all_that_a_lease_needs)
{
    struct ready_job *j;
    int64_t b;

    open_both();
    b = rows_batch(q, "b", "m", 0);
    rows_add(q, b, "row", 3);
    ck_assert_int_eq(fill("m"), 3);
    ck_assert_uint_eq(ready_count(win), 3);
    ck_assert_ptr_nonnull(j = ready_pop(win, "m", ANY));
    ck_assert_int_eq(j->job_id, 1);
    ck_assert_int_eq(j->batch_id, b);
    ck_assert_int_eq(j->generation, 0);
    ck_assert_uint_eq(j->body_len, 4);
    ck_assert_str_eq(j->body, "row0");
    ck_assert_str_eq(j->model, "m");
    free(j);
    ck_assert_int_eq(pop("m", ANY), 2);
    ck_assert_int_eq(pop("m", ANY), 3);
    ck_assert_int_eq(pop("m", ANY), 0);
    ck_assert_uint_eq(ready_count(win), 0);
    close_both();
}
END_TEST

START_TEST(a_job_is_in_the_window_once)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 3);
    ck_assert_int_eq(fill("m"), 3);
    ck_assert_int_eq(fill("m"), 0);
    ready_remove(win, 2);
    ready_remove(win, 2);
    ck_assert_uint_eq(ready_count(win), 2);
    ck_assert_int_eq(fill("m"), 1);
    ck_assert_int_eq(pop("m", ANY), 1);
    ck_assert_int_eq(pop("m", ANY), 3);
    ck_assert_int_eq(pop("m", ANY), 2); /* behind: it came later */
    close_both();
}
END_TEST

START_TEST(known_jobs_are_passed_over)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 5);
    ck_assert_int_eq(fill_from("m", 3), 2);
    ck_assert_int_eq(pop("m", ANY), 4);
    close_both();
}
END_TEST

START_TEST(one_fill_reads_a_part_and_the_window_is_bounded)
{
    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", READY_ROWS + 50);
    ck_assert_int_eq(fill("m"), READY_ROWS / 4 + 1);
    ck_assert(!ready_is_low(win));
    while (!ready_is_full(win))
        ck_assert_int_gt(fill("m"), 0);
    ck_assert_uint_eq(ready_count(win), READY_ROWS); /* Q6 */
    ck_assert_int_eq(fill("m"), 0);
    ready_clear(win);
    ck_assert_uint_eq(ready_count(win), 0);
    ck_assert_int_gt(fill("m"), 0);
    close_both();
}
END_TEST

START_TEST(smaller_priority_numbers_run_first)
{
    int64_t low, high;

    open_both();
    low = rows_add(q, rows_batch(q, "low", "", 5), "l", 2);
    high = rows_add(q, rows_batch(q, "high", "", -5), "h", 2);
    ck_assert_int_eq(fill("m"), 2); /* the other only when this one has no more */
    ck_assert_int_eq(pop("m", ANY), high);
    ck_assert_int_eq(pop("m", ANY), high + 1);
    ck_assert_int_eq(fill_from("m", 0), 2);
    ck_assert_int_eq(pop("m", ANY), high); /* nobody holds it: still ready */
    ready_clear(win);
    rows_add(q, rows_batch(q, "high", "", -5), "more", 1);
    ck_assert_int_eq(fill("m"), 3);
    ready_clear(win);
    (void)low;
    close_both();
}
END_TEST

START_TEST(two_batches_of_one_priority_share_a_fill)
{
    int64_t first, second;
    bool saw_second = false;

    open_both();
    first = rows_add(q, rows_batch(q, "one", "", 0), "a", 3000);
    second = rows_add(q, rows_batch(q, "two", "", 0), "b", 3000);
    ck_assert_int_eq(fill("m"), 2 * (READY_ROWS / 8 + 1));
    ck_assert_int_eq(pop("m", ANY), first);
    for (int64_t id; (id = pop("m", ANY));)
        saw_second |= id >= second;
    ck_assert(saw_second);
    close_both();
}
END_TEST

START_TEST(rows_of_another_model_are_not_read_and_not_given)
{
    int64_t any;

    open_both();
    rows_add(q, rows_batch(q, "b1", "m1", 0), "a", 2);
    rows_add(q, rows_batch(q, "b2", "m2", 0), "b", 2);
    any = rows_add(q, rows_batch(q, "b3", "", 0), "c", 1);
    ck_assert_int_eq(fill("m1"), 3);
    ck_assert(ready_has(win, "m2", ANY)); /* only the one that asks for no model */
    ck_assert_int_eq(pop("m2", ANY), any);
    ck_assert(!ready_has(win, "m2", ANY));
    ck_assert_int_eq(pop("m2", ANY), 0);
    ck_assert_int_eq(fill("m3"), 1);
    close_both();
}
END_TEST

START_TEST(what_a_row_needs_is_remembered_for_its_generation)
{
    const struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 3);
    ck_assert_int_eq(ready_need(win, 2, 1, 0, 500), ERR_OK);
    ck_assert_int_eq(ready_need(win, 2, 1, 0, 900), ERR_OK);
    ck_assert_int_eq(ready_need(win, 3, 1, 7, 900), ERR_OK); /* of another generation */
    ck_assert_int_eq(fill("m"), 3);
    ck_assert_ptr_nonnull(j = ready_needy(win, NULL));
    ck_assert_int_eq(j->job_id, 2);
    ck_assert_int_eq(j->need_tokens, 900);
    ck_assert_ptr_null(ready_needy(win, j));
    ck_assert_int_eq(pop("m", 899), 1);
    ck_assert_int_eq(pop("m", 899), 3);
    ck_assert_int_eq(pop("m", 899), 0);
    ck_assert(!ready_has(win, "m", 899));
    ck_assert_int_eq(pop("m", 900), 2);
    close_both();
}
END_TEST

START_TEST(a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready)
{
    int64_t b;

    open_both();
    b = rows_batch(q, "b", "", 0);
    rows_add(q, b, "row", 1);
    ck_assert_int_eq(ready_need(win, 1, b, 0, 500), ERR_OK);
    ck_assert_int_eq(fill("m"), 1);
    ck_assert(ready_only_larger(win, b, 499));
    ck_assert(!ready_only_larger(win, b, 500));
    rows_add(q, b, "more", 1); /* ready, though the window does not hold it */
    ck_assert(!ready_only_larger(win, b, 499));
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
    ck_assert_int_eq(fill("m"), 1);
    ck_assert_int_eq(pop("m", ANY), 2);
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_due(q, until, &n, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    ck_assert_int_eq(fill_from("m", 0), 2);
    close_both();
}
END_TEST

START_TEST(a_row_that_is_pushed_back_comes_first)
{
    struct ready_job *j;

    open_both();
    rows_add(q, rows_batch(q, "b", "", 0), "row", 2);
    fill("m");
    ck_assert_ptr_nonnull(j = ready_pop(win, "m", ANY));
    ready_push(win, j);
    ck_assert_int_eq(pop("m", ANY), 1);
    ck_assert_ptr_nonnull(j = ready_pop(win, "m", ANY));
    ready_push(win, j); /* into an empty window */
    ck_assert_int_eq(fill("m"), 1);
    ck_assert_int_eq(pop("m", ANY), 2);
    ck_assert_int_eq(pop("m", ANY), 1);
    close_both();
}
END_TEST

START_TEST(backlog_and_rates_follow_the_commits)
{
    struct answer a = {.job_id = 1, .prompt_tokens = 20, .output_tokens = 6, .body_bytes = 60};
    double answer = 64, bytes = 4;
    int64_t b;

    open_both();
    ck_assert_int_eq(ready_backlog(win), 0);
    b = rows_batch(q, "b", "", 0);
    rows_add(q, b, "row", 3);
    ck_assert_int_eq(ready_backlog(win), 3);
    ready_rates(win, b, &answer, &bytes);
    ck_assert_double_eq(answer, 64); /* no answer yet */
    a.instance_id = rows_instance(q, "u");
    a.finish_reason = a.text = a.choices = rows_text("x");
    ck_assert_int_eq(queue_begin(q, &e), ERR_OK);
    ck_assert_int_eq(queue_finish(q, &a, ROWS_NOW, &e), ERR_OK);
    ck_assert_int_eq(queue_commit(q, &e), ERR_OK);
    ck_assert_int_eq(ready_backlog(win), 2);
    ready_rates(win, b, &answer, &bytes);
    ck_assert_double_eq(answer, 6);
    ck_assert_double_eq(bytes, 3);
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
    tcase_add_test(t, one_fill_reads_a_part_and_the_window_is_bounded);
    tcase_add_test(t, smaller_priority_numbers_run_first);
    tcase_add_test(t, two_batches_of_one_priority_share_a_fill);
    tcase_add_test(t, rows_of_another_model_are_not_read_and_not_given);
    tcase_add_test(t, what_a_row_needs_is_remembered_for_its_generation);
    tcase_add_test(t, a_batch_is_down_to_its_large_rows_when_nothing_else_is_ready);
    tcase_add_test(t, delayed_rows_are_not_read_until_they_are_due);
    tcase_add_test(t, a_row_that_is_pushed_back_comes_first);
    tcase_add_test(t, backlog_and_rates_follow_the_commits);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
