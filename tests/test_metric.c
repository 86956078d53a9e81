/* test_metric.c - instances' metrics and events: what of them is kept, and how long. */
#include <sqlite3.h>
#include <string.h>

#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define MINUTE (INT64_C(60) * 1000)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)
#define BEGIN  ((int64_t)ROWS_NOW / DAY * DAY) /* a midnight */

static struct errmsg e;
static char db[512];
static struct queue *q;

#define OK(call)     ck_assert_msg((call) == ERR_OK, "%s", e.text)
#define NUMBER(text) process_sql(db, text)

static void scene_open(int n_instances)
{
    snprintf(db, sizeof db, "%s", test_path("m.db"));
    q = rows_open(db);
    for (int i = 0; i < n_instances; i++) {
        char uuid[16];

        snprintf(uuid, sizeof uuid, "u%d", i);
        rows_instance(q, uuid);
    }
}

static void put(int64_t instance, int64_t at_ms, int64_t span_ms)
{
    struct metric_row m = {.instance_id = instance, .span_ms = span_ms, .rows = 3, .steps = 40};

    m.prompt_tokens = 1200, m.output_tokens = 900, m.step_ms = span_ms - 10, m.cached_tokens = 100;
    m.running = at_ms / 1000 % 60, m.waiting = 7, m.kv_blocks = 4096, m.kv_free = 1000 + m.running;
    m.leased_rows = 200, m.leased_tokens = 90000, m.queued_tokens = 40000;
    m.memory_bytes = INT64_C(70000000000) + at_ms % 1000, m.power_mw = 650000, m.clock_mhz = 1980;
    OK(queue_put_metric(q, &m, at_ms, &e));
}

/* A row for each instance every step_ms, in one group. */
static void fill(int n_instances, int64_t from_ms, int64_t to_ms, int64_t step_ms)
{
    OK(queue_begin(q, &e));
    for (int64_t at = from_ms; at < to_ms; at += step_ms)
        for (int i = 1; i <= n_instances; i++)
            put(i, at + i, step_ms);
    OK(queue_commit(q, &e));
}

/* Thins until nothing is left to do: calls it took. */
static int thin(int64_t now_ms, int64_t *most)
{
    int calls = 0;
    int64_t n;

    for (bool more = true; more; calls++) {
        OK(queue_begin(q, &e));
        OK(queue_thin(q, now_ms, &n, &more, &e));
        OK(queue_commit(q, &e));
        if (most && n > *most) *most = n;
    }
    return calls;
}

START_TEST(the_last_hour_is_kept_as_it_is)
{
    scene_open(1);
    fill(1, BEGIN, BEGIN + HOUR, 2000);
    thin(BEGIN + HOUR, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 1800);
    queue_close(&q);
}
END_TEST

START_TEST(after_an_hour_a_minute_is_one_row_with_the_same_sums)
{
    scene_open(2);
    fill(2, BEGIN, BEGIN + 2 * MINUTE, 2000);
    thin(BEGIN + MINUTE + HOUR + 59999, NULL); /* the second minute is not over an hour old */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 2 + 60);
    thin(BEGIN + 2 * MINUTE + HOUR, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 4);
    ck_assert_int_eq(
        NUMBER("SELECT count(*) FROM instance_metric WHERE span_ms=60000 AND rows=90 AND"
               " prompt_tokens=36000 AND output_tokens=27000 AND cached_tokens=3000 AND"
               " steps=1200 AND step_ms=59700 AND waiting=7 AND leased_rows=200 AND"
               " leased_tokens=90000 AND queued_tokens=40000 AND kv_blocks=4096 AND"
               " power_mw=650000 AND clock_mhz=1980"),
        4);
    /* The mean of what varies; the least that was free. */
    ck_assert_int_eq(NUMBER("SELECT min(running)*100+max(running) FROM instance_metric"), 2929);
    ck_assert_int_eq(NUMBER("SELECT max(kv_free) FROM instance_metric"), 1000);
    ck_assert_int_eq(NUMBER("SELECT max(tokens_per_s) FROM throughput"), 1050);
    queue_close(&q);
}
END_TEST

START_TEST(after_a_day_ten_minutes_are_one_row)
{
    scene_open(1);
    fill(1, BEGIN, BEGIN + HOUR, 10000);
    thin(BEGIN + DAY + 30 * MINUTE, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 3 + 30);
    thin(BEGIN + DAY + HOUR, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 6);
    ck_assert_int_eq(NUMBER("SELECT sum(rows) FROM instance_metric"), 3 * 360);
    queue_close(&q);
}
END_TEST

START_TEST(what_is_unknown_stays_unknown)
{
    struct metric_row m = {.instance_id = 1, .span_ms = 2000, .steps = 1};

    scene_open(1);
    OK(queue_begin(q, &e));
    OK(queue_put_metric(q, &m, BEGIN, &e));
    OK(queue_put_metric(q, &m, BEGIN + 2000, &e));
    OK(queue_commit(q, &e));
    thin(BEGIN + 2 * HOUR, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric WHERE memory_bytes IS NULL AND"
                            " power_mw IS NULL AND clock_mhz IS NULL AND span_ms=4000"),
                     1);
    queue_close(&q);
}
END_TEST

START_TEST(two_rows_of_one_millisecond_are_both_kept)
{
    scene_open(1);
    OK(queue_begin(q, &e));
    put(1, BEGIN, 2000);
    put(1, BEGIN, 1);
    OK(queue_commit(q, &e));
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 2);
    ck_assert_int_eq(NUMBER("SELECT max(at_ms)-min(at_ms) FROM instance_metric"), 1);
    queue_close(&q);
}
END_TEST

START_TEST(one_call_does_a_bounded_piece)
{
    int64_t most = 0;
    int calls;

    scene_open(300);
    fill(300, BEGIN, BEGIN + 2 * MINUTE, 2000); /* 9,000 rows in each cell */
    calls = thin(BEGIN + 3 * HOUR, &most);
    ck_assert_int_ge(calls, 4);
    ck_assert_int_le(most, 4000 + 64 * 30);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 600);
    ck_assert_int_eq(thin(BEGIN + 3 * HOUR, NULL), 1); /* and then there is nothing to do */
    queue_close(&q);
}
END_TEST

START_TEST(a_group_that_was_rolled_back_is_thinned_again)
{
    bool more;
    int64_t n;

    scene_open(1);
    fill(1, BEGIN, BEGIN + MINUTE, 2000);
    OK(queue_begin(q, &e));
    OK(queue_thin(q, BEGIN + 2 * HOUR, &n, &more, &e));
    ck_assert_int_eq(n, 29);
    queue_rollback(q);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 30);
    thin(BEGIN + 2 * HOUR, NULL);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance_metric"), 1);
    queue_close(&q);
}
END_TEST

START_TEST(a_week_of_a_hundred_instances_stays_under_100_mb)
{
    int64_t rows, bytes;

    /* Two of them, and a row every 20 s instead of 2: what is older than an hour is thinned to the
     * same rows, the hour itself counts ten times. */
    scene_open(2);
    for (int64_t at = BEGIN; at < BEGIN + 7 * DAY; at += 30 * MINUTE) {
        fill(2, at, at + 30 * MINUTE, 20000);
        thin(at + 30 * MINUTE, NULL);
    }
    rows = NUMBER("SELECT count(*) FROM instance_metric");
    ck_assert_int_eq(rows, 2 * (180 + 23 * 60 + 6 * 144));
    bytes = NUMBER("SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'instance_metric%'");
    ck_assert_int_gt(bytes, 0);
    ck_assert_int_lt(bytes / rows * 100 * (1800 + 23 * 60 + 6 * 144), 100 << 20);
    queue_close(&q);
}
END_TEST

START_TEST(the_newest_events_are_kept)
{
    int64_t most = 0;

    scene_open(0);
    OK(queue_begin(q, &e));
    for (int i = 0; i < EVENTS_KEPT + 10000; i++)
        OK(queue_put_event(q, "info", "test", "something", ROWS_NOW + i, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_ge(thin(ROWS_NOW, &most), 3);
    ck_assert_int_le(most, 4000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM event"), EVENTS_KEPT);
    ck_assert_int_eq(NUMBER("SELECT min(event_id) FROM event"), 10001);
    queue_close(&q);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("metric");
    TCase *t = tcase_create("metric");
    tcase_set_timeout(t, 30);

    tcase_add_test(t, the_last_hour_is_kept_as_it_is);
    tcase_add_test(t, after_an_hour_a_minute_is_one_row_with_the_same_sums);
    tcase_add_test(t, after_a_day_ten_minutes_are_one_row);
    tcase_add_test(t, what_is_unknown_stays_unknown);
    tcase_add_test(t, two_rows_of_one_millisecond_are_both_kept);
    tcase_add_test(t, one_call_does_a_bounded_piece);
    tcase_add_test(t, a_group_that_was_rolled_back_is_thinned_again);
    tcase_add_test(t, a_week_of_a_hundred_instances_stays_under_100_mb);
    tcase_add_test(t, the_newest_events_are_kept);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
