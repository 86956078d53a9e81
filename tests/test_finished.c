/* test_finished.c - a batch's finished rows out of the queue file: all of them, once, in order. */
#include <sqlite3.h>
#include <string.h>

#include "broker/dbfile.h"
#include "clients/finished.h"
#include "tests/test.h"

static struct errmsg e;
static sqlite3 *db; /* the writing connection */
static struct finished *from;
static struct output_row row;

#define OK(call) ck_assert_msg((call) == ERR_OK, "%s", e.text)

static void run(const char *sql)
{
    ck_assert_msg(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
                  sqlite3_errmsg(db));
}

/* A row of a batch in this state, of generation 1; its id is its job's number. */
static void put(int64_t batch, int64_t job, int state)
{
    char sql[1024];

    snprintf(sql, sizeof sql,
             "INSERT INTO job(job_id,batch_id,state,generation,endpoint,line,id_hash,body_hash,"
             "created_ms) VALUES(%lld,%lld,%d,1,1,1,7,7,0);"
             "INSERT INTO prompt VALUES(%lld,'%lld','{}');",
             (long long)job, (long long)batch, state, (long long)job, (long long)job);
    run(sql);
}

static void put_done(int64_t batch, int64_t job, int64_t done_ms)
{
    char sql[1024];

    put(batch, job, 1);
    snprintf(sql, sizeof sql,
             "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,"
             "cached_tokens,output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,"
             "batch_invariant,text,choices)"
             " VALUES(%lld,%d,1,'stop',5,4,3,0,0,0,%lld,0,0,'t%lld','[]')",
             (long long)job, job % 2 ? 1 : 2, (long long)done_ms, (long long)job);
    run(sql);
}

static void put_failed(int64_t batch, int64_t job, int64_t ended_ms)
{
    char sql[1024];

    put(batch, job, 2);
    snprintf(sql, sizeof sql,
             "INSERT INTO attempt(job_id,n,generation,ended_ms,counts,code,message,param) VALUES"
             "(%lld,1,0,1,1,'old','of an earlier generation',NULL),"
             "(%lld,2,1,2,1,'first','not the last one',NULL),"
             "(%lld,3,1,%lld,1,'last','the reason','field')",
             (long long)job, (long long)job, (long long)job, (long long)ended_ms);
    run(sql);
}

static void set_up(void)
{
    OK(dbfile_open_write(&db, test_path("q.db"), &(struct dbfile_opts){0}, &e));
    run("INSERT INTO batch(batch_id,name,created_ms) VALUES(1,'night',0),(2,'other',0);"
        "INSERT INTO instance(instance_id,uuid,name,host,device,model,model_hash,dtype,kv_dtype,tp,"
        "threads,kv_tokens,max_model_len,max_num_seqs,engine,state,joined_ms,seen_ms) VALUES"
        "(1,'a','a','','','model-a','','','',1,1,1,1,1,'engine-a','gone',0,0),"
        "(2,'b','b','','','model-b','','','',1,1,1,1,1,'engine-b','gone',0,0)");
}

static void tear_down(void)
{
    finished_close(&from);
    sqlite3_close(db);
}

static void open_batch(const char *batch, bool unordered)
{
    OK(finished_open(&from, test_path("q.db"), batch, unordered, &e));
}

static void comes(int64_t job)
{
    OK(finished_next(from, &row, &e));
    ck_assert_int_eq(row.job_id, job);
}

static void ends(void)
{
    ck_assert_int_eq(finished_next(from, &row, &e), ERR_EMPTY);
}

START_TEST(rows_come_once_in_the_order_of_their_ids_over_all_ranges) /* F1 */
{
    static const int64_t JOBS[] = {3,
                                   4,
                                   3 + FINISHED_RANGE - 1,
                                   3 + FINISHED_RANGE,
                                   3 + FINISHED_RANGE * 2,
                                   3 + FINISHED_RANGE * 5,
                                   3 + FINISHED_RANGE * 5 + 1};

    for (size_t i = sizeof JOBS / sizeof JOBS[0]; i-- > 0;)
        put_done(1, JOBS[i], 1000 - (int64_t)i);
    open_batch("night", false);
    for (size_t i = 0; i < sizeof JOBS / sizeof JOBS[0]; i++)
        comes(JOBS[i]);
    ends();
}
END_TEST

START_TEST(rows_of_other_batches_and_unfinished_ones_are_left_out) /* F1 */
{
    put_done(2, 1, 1);
    put_done(1, 2, 2);
    put(1, 3, 0);
    put_done(2, 4, 3);
    put(1, 5, 3);
    put(1, 6, 4);
    put_done(2, 7, 4);
    run("UPDATE batch SET n_ready=1, n_paused=1 WHERE batch_id=1");
    open_batch("night", false);
    ck_assert_int_eq(finished_left(from), 2);
    comes(2);
    comes(6);
    ck_assert_str_eq(row.error_code, "batch_cancelled");
    ends();
}
END_TEST

START_TEST(answer_has_its_tokens_and_its_own_instance)
{
    put_done(1, 1, 5000);
    put_done(1, 2, 6000);
    put_done(1, 3, 7000);
    open_batch("night", false);
    comes(1);
    ck_assert_str_eq(row.model, "model-a");
    comes(2);
    ck_assert_str_eq(row.model, "model-b");
    ck_assert_str_eq(row.instance, "b");
    ck_assert_str_eq(row.system_fingerprint, "engine-b");
    ck_assert_str_eq(row.finish_reason, "stop");
    ck_assert_mem_eq(row.text, "t2", row.text_len);
    ck_assert_mem_eq(row.custom_id, "2", row.custom_id_len);
    ck_assert_int_eq(row.prompt_tokens, 5);
    ck_assert_int_eq(row.cached_tokens, 4);
    ck_assert_int_eq(row.completion_tokens, 3);
    ck_assert_int_eq(row.created_s, 6);
    ck_assert_int_eq(row.endpoint, ENDPOINT_COMPLETION);
    ck_assert_ptr_null(row.error_code);
    comes(3);
    ck_assert_str_eq(row.model, "model-a");
}
END_TEST

START_TEST(failed_row_names_the_last_attempt_of_its_generation)
{
    put_failed(1, 1, 9000);
    put(1, 2, 2); /* without an attempt */
    open_batch("night", false);
    comes(1);
    ck_assert_str_eq(row.error_code, "last");
    ck_assert_str_eq(row.error_message, "the reason");
    ck_assert_str_eq(row.error_param, "field");
    ck_assert_int_eq(row.created_s, 9);
    ck_assert_int_eq(row.http_status, 500);
    comes(2);
    ck_assert_str_eq(row.error_code, "unknown");
    ends();
}
END_TEST

START_TEST(what_a_cancelled_batch_did_not_do_is_cancelled)
{
    put_done(1, 1, 1);
    put(1, 2, 0);
    put(1, 3, 3);
    run("UPDATE batch SET state=4, n_ready=1, n_paused=1 WHERE batch_id=1");
    open_batch("night", false);
    ck_assert_int_eq(finished_left(from), 0);
    comes(1);
    ck_assert_ptr_null(row.error_code);
    comes(2);
    ck_assert_str_eq(row.error_code, "batch_cancelled");
    comes(3);
    ck_assert_str_eq(row.error_code, "batch_cancelled");
    ends();
}
END_TEST

START_TEST(unordered_rows_come_by_their_end) /* F1 */
{
    put_done(1, 1, 400);
    put_failed(1, 2, 100);
    put_done(2, 3, 200);
    put(1, 4, 4);
    put_done(1, FINISHED_RANGE * 2, 300);
    put_done(1, FINISHED_RANGE * 3, 300);
    open_batch("night", true);
    comes(2);
    ck_assert_str_eq(row.error_code, "last");
    comes(FINISHED_RANGE * 2);
    ck_assert_mem_eq(row.text, "t131072", row.text_len);
    comes(FINISHED_RANGE * 3);
    comes(1);
    comes(4); /* cancelled: at no time */
    ends();
}
END_TEST

START_TEST(unordered_row_that_went_back_to_ready_is_left_out)
{
    put_done(1, 1, 100);
    put_failed(1, 2, 200);
    put_done(1, 3, 300);
    open_batch("night", true);
    run("UPDATE job SET state=0 WHERE job_id=2");
    comes(1);
    comes(3);
    ends();
}
END_TEST

START_TEST(a_new_range_is_a_new_read) /* Q5: the log can be checkpointed behind it */
{
    int pages = 0, folded = -1;

    put_done(1, 1, 1);
    put_done(1, 2, 1);
    put_done(1, FINISHED_RANGE * 2, 1);
    open_batch("night", false);
    comes(1);
    put_done(2, 5, 1);
    comes(2);
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &folded);
    ck_assert_int_lt(folded, pages); /* the first range still reads the log of before */
    comes(FINISHED_RANGE * 2);
    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &folded);
    ck_assert_int_eq(folded, pages);
}
END_TEST

START_TEST(batch_without_rows_ends_at_once_and_one_that_is_not_there_is_an_error)
{
    open_batch("night", false);
    ends();
    ends();
    finished_close(&from);
    open_batch("night", true);
    ends();
    finished_close(&from);
    ck_assert_int_eq(finished_open(&from, test_path("q.db"), "nobody", false, &e), ERR_EMPTY);
    ck_assert_ptr_null(from);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("finished");
    TCase *t = tcase_create("finished");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, rows_come_once_in_the_order_of_their_ids_over_all_ranges);
    tcase_add_test(t, rows_of_other_batches_and_unfinished_ones_are_left_out);
    tcase_add_test(t, answer_has_its_tokens_and_its_own_instance);
    tcase_add_test(t, failed_row_names_the_last_attempt_of_its_generation);
    tcase_add_test(t, what_a_cancelled_batch_did_not_do_is_cancelled);
    tcase_add_test(t, unordered_rows_come_by_their_end);
    tcase_add_test(t, unordered_row_that_went_back_to_ready_is_left_out);
    tcase_add_test(t, a_new_range_is_a_new_read);
    tcase_add_test(t, batch_without_rows_ends_at_once_and_one_that_is_not_there_is_an_error);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
