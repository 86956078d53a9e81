/* test_control.c - what a person, a deadline or a crash does to batches and jobs in the file. */
#include <stdio.h>
#include <string.h>

#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define T            rows_text
#define OK(call)     ck_assert_msg((call) == ERR_OK, "%s", e.text)
#define NUMBER(text) process_sql(db, text)

static struct errmsg e;
static char db[512];
static struct queue *q;
static int64_t batch, job, instance; /* a batch b of four rows row0 ... row3; the first one's job */

static void open_file(void)
{
    snprintf(db, sizeof db, "%s", test_path("c.db"));
    q = rows_open(db);
    batch = rows_batch(q, "b", "", 0);
    job = rows_add(q, batch, "row", 4);
    instance = rows_instance(q, "u1");
}

static void close_file(void)
{
    rows_recount(db);
    queue_close(&q);
}

/* All pieces of it, a group each; *rows counts them. */
static int control_rc(enum verb verb, const char *row, const char *code, int64_t *rows)
{
    struct control c = {.verb = verb, .batch = "b", .custom_id = T(row)};
    int rc;

    snprintf(c.code, sizeof c.code, "%s", code);
    do {
        OK(queue_begin(q, &e));
        rc = queue_control(q, &c, ROWS_NOW, &e);
        ck_assert(rc == ERR_OK || rc == ERR_EMPTY || rc == ERR_STALE);
        OK(queue_commit(q, &e));
        rows_recount(db);
    } while (!rc && c.more);
    *rows = c.rows;
    return rc;
}

static int64_t control(enum verb verb, const char *row, const char *code)
{
    int64_t rows;

    OK(control_rc(verb, row, code, &rows));
    return rows;
}

static int finish(int64_t job_id, int64_t generation)
{
    struct answer a = {.job_id = job_id, .generation = generation, .instance_id = instance};
    int rc;

    a.prompt_tokens = 10, a.output_tokens = 3;
    a.finish_reason = T("stop"), a.text = T("answer"), a.choices = T("[]");
    OK(queue_begin(q, &e));
    rc = queue_finish(q, &a, ROWS_NOW, &e);
    OK(queue_commit(q, &e));
    return rc;
}

static struct failure failure(int64_t job_id, int64_t generation, const char *code)
{
    struct failure f = {.job_id = job_id, .generation = generation, .instance_id = instance};

    f.code = T(code), f.message = T("it broke"), f.param = T("");
    return f;
}

static void fail_row(int64_t job_id, int64_t generation, const char *code)
{
    struct failure f = failure(job_id, generation, code);
    enum job_state to;
    int64_t until;

    f.final = f.counts = true;
    OK(queue_begin(q, &e));
    OK(queue_fail(q, &f, ROWS_NOW, &to, &until, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(to, JOB_FAILED);
}

/* --- a batch */

START_TEST(pausing_a_batch_changes_one_row_and_its_results_still_count)
{
    open_file();
    ck_assert_int_eq(control(VERB_PAUSE, "", ""), 4);
    ck_assert_int_eq(NUMBER("SELECT state FROM batch"), JOB_PAUSED);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 4);
    ck_assert_int_eq(control(VERB_PAUSE, "", ""), 0); /* once more changes nothing */
    ck_assert_int_eq(finish(job, 0), ERR_OK);         /* Q1: its generation is the job's */
    ck_assert_int_eq(control(VERB_RESUME, "", ""), 3);
    ck_assert_int_eq(NUMBER("SELECT state FROM batch"), JOB_READY);
    ck_assert_int_eq(NUMBER("SELECT sum(attempts) FROM job"), 0); /* Q7 */
    close_file();
}
END_TEST

START_TEST(a_result_that_comes_after_the_cancel_is_refused)
{
    open_file();
    ck_assert_int_eq(control(VERB_CANCEL, "", ""), 4);
    ck_assert_int_eq(finish(job, 0), ERR_STALE); /* Q1: cancel adds one to the generation */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 0);
    ck_assert_int_eq(NUMBER("SELECT sum(attempts) FROM job"), 0);
    close_file();
}
END_TEST

START_TEST(a_cancelled_batch_takes_no_rows_and_is_not_paused_or_resumed)
{
    int64_t rows;

    open_file();
    control(VERB_CANCEL, "", "");
    OK(queue_begin(q, &e));
    ck_assert_int_eq(queue_has_batch(q, batch, &e), ERR_STALE);
    OK(queue_commit(q, &e));
    ck_assert_int_eq(control_rc(VERB_PAUSE, "", "", &rows), ERR_STALE);
    ck_assert_int_eq(control_rc(VERB_RESUME, "", "", &rows), ERR_STALE);
    ck_assert_int_eq(control_rc(VERB_RETRY, "", "", &rows), ERR_STALE);
    ck_assert_ptr_nonnull(strstr(e.text, "batch_cancelled")); /* says how to go on */
    ck_assert_int_eq(control(VERB_CANCEL, "", ""), 0);
    close_file();
}
END_TEST

START_TEST(a_cancelled_batch_goes_on_when_it_is_retried_by_that_code)
{
    open_file();
    control(VERB_CANCEL, "row1", "");
    control(VERB_CANCEL, "", "");
    ck_assert_int_eq(control(VERB_RETRY, "", "batch_cancelled"),
                     4); /* three by the batch, one by itself */
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch WHERE state=0"), 4);
    ck_assert_int_eq(finish(job, 0), ERR_STALE);
    ck_assert_int_eq(finish(job, 1), ERR_OK);
    ck_assert_int_eq(finish(job + 1, 3), ERR_OK); /* cancelled, its batch cancelled, retried */
    close_file();
}
END_TEST

START_TEST(retry_takes_all_failed_rows_or_those_of_one_code)
{
    open_file();
    fail_row(job, 0, "bad");
    fail_row(job + 1, 0, "worse");
    fail_row(job + 2, 0, "bad");
    ck_assert_int_eq(control(VERB_RETRY, "", "worse"), 1);
    ck_assert_int_eq(control(VERB_RETRY, "", ""), 2);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 4);
    ck_assert_int_eq(NUMBER("SELECT sum(generation) FROM job"), 3);
    ck_assert_int_eq(finish(job, 0), ERR_STALE); /* Q1: retry adds one to the generation */
    close_file();
}
END_TEST

START_TEST(a_long_retry_goes_in_pieces_and_takes_each_row_once)
{
    const int n = CONTROL_PIECE + 3;

    open_file();
    rows_add(q, batch, "more", n);
    OK(queue_begin(q, &e));
    for (int i = 0; i < n; i++) {
        struct failure f = failure(job + 4 + i, 0, "bad");
        enum job_state to;
        int64_t until;

        f.final = f.counts = true;
        OK(queue_fail(q, &f, ROWS_NOW, &to, &until, &e));
    }
    OK(queue_commit(q, &e));
    ck_assert_int_eq(control(VERB_RETRY, "", ""), n);
    ck_assert_int_eq(NUMBER("SELECT max(generation) FROM job"), 1);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), n + 4);
    close_file();
}
END_TEST

START_TEST(a_deleted_batch_leaves_nothing_and_gives_its_room_back)
{
    const int n = 2 * CONTROL_PIECE;
    int64_t pages;

    open_file();
    rows_batch(q, "other", "", 0);
    rows_add(q, batch, "more", n);
    finish(job, 0);
    fail_row(job + 1, 0, "bad");
    pages = NUMBER("PRAGMA page_count");
    ck_assert_int_eq(control(VERB_DELETE, "", ""), n + 4);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM batch"), 1); /* the other one */
    ck_assert_int_eq(NUMBER("SELECT (SELECT count(*) FROM job) + (SELECT count(*) FROM prompt) +"
                            " (SELECT count(*) FROM result) + (SELECT count(*) FROM attempt)"),
                     0);
    ck_assert_int_lt(NUMBER("PRAGMA page_count"), pages / 2);
    ck_assert_int_gt(rows_add(q, rows_batch(q, "b", "", 0), "row", 1), 0); /* the name is free */
    ck_assert_int_gt(NUMBER("SELECT min(job_id) FROM job"), n + 4); /* ids are never used twice */
    close_file();
}
END_TEST

START_TEST(a_batch_that_is_being_deleted_takes_no_other_verb)
{
    struct control c = {.verb = VERB_DELETE, .batch = "b", .custom_id = T("")};
    int64_t rows;

    open_file();
    rows_add(q, batch, "more", CONTROL_PIECE);
    OK(queue_begin(q, &e));
    OK(queue_control(q, &c, ROWS_NOW, &e));
    OK(queue_commit(q, &e));
    ck_assert(c.more);
    ck_assert_int_eq(NUMBER("SELECT deleting FROM batch"), 1); /* it is known after a crash */
    ck_assert_int_eq(control_rc(VERB_RESUME, "", "", &rows), ERR_STALE);
    ck_assert_int_eq(control(VERB_DELETE, "", ""), 4);
    close_file();
}
END_TEST

START_TEST(an_unknown_batch_or_row_is_named)
{
    struct control c = {.verb = VERB_PAUSE, .batch = "nobody", .custom_id = T("")};
    int64_t rows;

    open_file();
    OK(queue_begin(q, &e));
    ck_assert_int_eq(queue_control(q, &c, ROWS_NOW, &e), ERR_EMPTY);
    OK(queue_commit(q, &e));
    ck_assert_ptr_nonnull(strstr(e.text, "'nobody'"));
    ck_assert_int_eq(control_rc(VERB_PAUSE, "row9", "", &rows), ERR_EMPTY);
    ck_assert_ptr_nonnull(strstr(e.text, "'row9'"));
    close_file();
}
END_TEST

/* --- one job */

START_TEST(one_row_is_paused_resumed_and_cancelled)
{
    int64_t rows;

    open_file();
    ck_assert_int_eq(control(VERB_PAUSE, "row0", ""), 1);
    ck_assert_int_eq(NUMBER("SELECT n_paused FROM batch"), 1);
    ck_assert_int_eq(control(VERB_RESUME, "row0", ""), 1);
    ck_assert_int_eq(control(VERB_RESUME, "row0", ""), 0);
    ck_assert_int_eq(control(VERB_PAUSE, "row0", ""), 1);
    ck_assert_int_eq(finish(job, 0), ERR_OK); /* it was under way: a paused row's answer is one */
    ck_assert_int_eq(control_rc(VERB_PAUSE, "row0", "", &rows), ERR_STALE);
    ck_assert_ptr_nonnull(strstr(e.text, "done"));
    ck_assert_int_eq(control(VERB_CANCEL, "row1", ""), 1);
    ck_assert_int_eq(finish(job + 1, 0), ERR_STALE);
    ck_assert_int_eq(NUMBER("SELECT n_cancelled FROM batch"), 1);
    ck_assert_int_eq(control(VERB_RETRY, "row1", ""), 1);
    ck_assert_int_eq(finish(job + 1, 2), ERR_OK);
    ck_assert_int_eq(control(VERB_DELETE, "row1", ""), 1);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    close_file();
}
END_TEST

START_TEST(a_row_that_was_refused_is_not_retried)
{
    struct row r = {.custom_id = T("line-9"), .line = 9};
    int64_t rows;
    enum put put;

    open_file();
    r.body = r.param = T(""), r.code = T("invalid_json_line"), r.message = T("no");
    OK(queue_begin(q, &e));
    OK(queue_put_row(q, batch, &r, false, ROWS_NOW, &put, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(control_rc(VERB_RETRY, "line-9", "", &rows), ERR_STALE);
    ck_assert_int_eq(control(VERB_RETRY, "", ""), 0);
    close_file();
}
END_TEST

/* --- a deadline */

START_TEST(what_is_left_at_the_deadline_fails_and_can_be_retried)
{
    int64_t n, all = 0;

    open_file();
    process_change(db, "UPDATE batch SET deadline_ms=1");
    finish(job, 0);
    control(VERB_PAUSE, "row1", "");
    do {
        OK(queue_begin(q, &e));
        OK(queue_expire(q, batch, ROWS_NOW, &n, &e));
        OK(queue_commit(q, &e));
        all += n;
    } while (n);
    ck_assert_int_eq(all, 3); /* the paused one too */
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 3);
    ck_assert_int_eq(
        NUMBER("SELECT count(*) FROM errors WHERE code='batch_expired' AND message="
               "'This request could not be executed before the completion window expired.'"),
        3);
    ck_assert_int_eq(finish(job + 2, 0), ERR_STALE);
    ck_assert_int_eq(control(VERB_RETRY, "", "batch_expired"), 3);
    close_file();
}
END_TEST

START_TEST(a_retry_lifts_a_deadline_that_has_passed)
{
    struct batch_spec spec = {.name = "d", .max_attempts = 1, .deadline_ms = ROWS_NOW - 1};
    struct control c = {.verb = VERB_RETRY, .batch = "d", .custom_id = T("")};
    int64_t id;
    bool existed;

    open_file();
    OK(queue_begin(q, &e));
    OK(queue_put_batch(q, &spec, ROWS_NOW, &id, &existed, &e));
    OK(queue_control(q, &c, ROWS_NOW - 2, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(NUMBER("SELECT deadline_ms > 0 FROM batch WHERE name='d'"), 1); /* not yet */
    OK(queue_begin(q, &e));
    OK(queue_control(q, &c, ROWS_NOW, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(NUMBER("SELECT deadline_ms FROM batch WHERE name='d'"), 0);
    close_file();
}
END_TEST

START_TEST(a_retry_between_two_pieces_of_an_expiry_ends_it)
{
    struct control c = {.verb = VERB_RETRY, .batch = "d", .custom_id = T("")};
    struct batch_spec spec = {.name = "d", .max_attempts = 1, .deadline_ms = ROWS_NOW - 1};
    struct row r = {.custom_id = T("x"), .body = T("{}"), .line = 1};
    int64_t id, n;
    bool existed;
    enum put put;

    open_file();
    OK(queue_begin(q, &e));
    OK(queue_put_batch(q, &spec, ROWS_NOW, &id, &existed, &e));
    OK(queue_put_row(q, id, &r, false, ROWS_NOW, &put, &e));
    OK(queue_expire(q, id, ROWS_NOW, &n, &e));
    ck_assert_int_eq(n, 1);
    OK(queue_control(q, &c, ROWS_NOW, &e));
    OK(queue_expire(q, id, ROWS_NOW, &n, &e));
    ck_assert_int_eq(n, 0);
    OK(queue_commit(q, &e));
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch WHERE name='d'"), 1);
    close_file();
}
END_TEST

/* --- attempts, crashes */

START_TEST(a_put_back_is_noted_and_uses_up_no_attempt)
{
    struct failure f = failure(1, 0, "preempted");

    open_file();
    f.job_id = job, f.instance_id = instance, f.leased_ms = ROWS_NOW - 5;
    OK(queue_begin(q, &e));
    OK(queue_put_back(q, &f, ROWS_NOW, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job WHERE job_id=1"), 0); /* Q7 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt WHERE counts=0 AND code='preempted'"
                            " AND leased_ms=1799999999995 AND ended_ms=1800000000000"),
                     1);
    finish(job, 0);
    OK(queue_begin(q, &e));
    ck_assert_int_eq(queue_put_back(q, &f, ROWS_NOW, &e), ERR_STALE); /* it is settled */
    OK(queue_commit(q, &e));
    close_file();
}
END_TEST

static enum job_state suspect(int64_t job_id, bool alone)
{
    struct failure f = failure(job_id, 0, "worker_crashed");
    enum job_state to;

    OK(queue_begin(q, &e));
    OK(queue_suspect(q, &f, alone, ROWS_NOW, &to, &e));
    OK(queue_commit(q, &e));
    rows_recount(db);
    return to;
}

START_TEST(only_a_row_that_ends_two_workers_while_alone_is_poison)
{
    open_file();
    for (int64_t i = 0; i < 4; i++)
        ck_assert_int_eq(suspect(job + i, false), JOB_READY); /* Q8: in a crowd, suspected only */
    ck_assert_int_eq(suspect(job, false), JOB_READY);         /* however often */
    ck_assert_int_eq(suspect(job, true), JOB_READY);
    ck_assert_int_eq(NUMBER("SELECT suspect FROM job WHERE job_id=1"), 2);
    ck_assert_int_eq(suspect(job, true), JOB_FAILED); /* Q8 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='poison'"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job WHERE state=2"), 1);
    ck_assert_int_eq(NUMBER("SELECT sum(attempts) FROM job"), 0); /* Q7 */
    for (int64_t i = 1; i < 4; i++)
        ck_assert_int_eq(finish(job + i, 0), ERR_OK); /* the others were innocent */
    close_file();
}
END_TEST

START_TEST(a_retried_row_is_no_longer_a_suspect)
{
    open_file();
    suspect(job, true);
    ck_assert_int_eq(suspect(job, true), JOB_FAILED);
    ck_assert_int_eq(control(VERB_RETRY, "", "poison"), 1);
    ck_assert_int_eq(NUMBER("SELECT suspect FROM job WHERE job_id=1"), 0);
    close_file();
}
END_TEST

START_TEST(a_settled_job_is_not_suspected)
{
    struct failure f = failure(1, 0, "worker_crashed");
    enum job_state to;

    open_file();
    finish(job, 0);
    OK(queue_begin(q, &e));
    ck_assert_int_eq(queue_suspect(q, &f, true, ROWS_NOW, &to, &e), ERR_STALE);
    OK(queue_commit(q, &e));
    close_file();
}
END_TEST

/* --- reuse */

static int64_t reuse_batch(const char *name, const char *model, bool reuse)
{
    struct batch_spec spec = {.max_attempts = 1, .reuse = reuse};
    int64_t id;
    bool existed;

    snprintf(spec.name, sizeof spec.name, "%s", name);
    snprintf(spec.model, sizeof spec.model, "%s", model);
    OK(queue_begin(q, &e));
    OK(queue_put_batch(q, &spec, ROWS_NOW, &id, &existed, &e));
    OK(queue_commit(q, &e));
    return id;
}

static enum put put(int64_t to, const char *id, const char *body, int endpoint, bool fixed)
{
    struct row r = {
        .custom_id = T(id), .body = T(body), .line = 1, .endpoint = endpoint, .fixed = fixed};
    enum put put;

    r.code = r.message = r.param = T("");
    OK(queue_begin(q, &e));
    OK(queue_put_row(q, to, &r, false, ROWS_NOW, &put, &e));
    OK(queue_commit(q, &e));
    rows_recount(db);
    return put;
}

START_TEST(a_row_whose_answer_is_known_is_answered_from_it)
{
    int64_t again;

    open_file();
    finish(job, 0); /* of body row0 */
    again = reuse_batch("again", "", true);
    ck_assert_int_eq(put(again, "a", "row0", 0, true), PUT_REUSED);
    ck_assert_int_eq(NUMBER("SELECT reused_from FROM result JOIN job USING (job_id)"
                            " WHERE batch_id=2"),
                     job); /* and says so */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results WHERE batch='again' AND text='answer'"),
                     1);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch WHERE name='again'"), 1);
    ck_assert_int_eq(NUMBER("SELECT output_tokens FROM batch WHERE name='again'"),
                     0); /* none made */
    ck_assert_int_eq(put(again, "b", "row0", 0, true), PUT_REUSED);
    ck_assert_int_eq(NUMBER("SELECT max(reused_from) FROM result"), job); /* the first one's */
    ck_assert_int_eq(put(again, "a", "row0", 0, true), PUT_SAME);
    close_file();
}
END_TEST

START_TEST(what_could_answer_otherwise_is_run)
{
    int64_t again;

    open_file();
    finish(job, 0);
    again = reuse_batch("again", "", true);
    ck_assert_int_eq(put(again, "a", "row0", 0, false),
                     PUT_ADDED); /* not the same tokens each time */
    ck_assert_int_eq(put(again, "b", "row0", 1, true), PUT_ADDED); /* another endpoint */
    ck_assert_int_eq(put(again, "c", "row1", 0, true), PUT_ADDED); /* not answered yet */
    ck_assert_int_eq(put(again, "d", "row9", 0, true), PUT_ADDED);
    ck_assert_int_eq(put(reuse_batch("plain", "", false), "a", "row0", 0, true), PUT_ADDED);
    ck_assert_int_eq(put(reuse_batch("other", "m2", true), "a", "row0", 0, true), PUT_ADDED);
    close_file();
}
END_TEST

START_TEST(an_answer_of_a_model_that_has_changed_is_not_used)
{
    struct instance_row i = {.uuid = "u2", .model_hash = "new", .kv_tokens = 1, .max_model_len = 1};
    int64_t id;

    open_file();
    finish(job, 0);
    OK(queue_begin(q, &e));
    OK(queue_put_instance(q, &i, ROWS_NOW, &id, &e));
    OK(queue_commit(q, &e));
    ck_assert_int_eq(put(reuse_batch("again", "", true), "a", "row0", 0, true), PUT_ADDED);
    close_file();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("control");
    TCase *t = tcase_create("control");

    tcase_add_test(t, pausing_a_batch_changes_one_row_and_its_results_still_count);
    tcase_add_test(t, a_result_that_comes_after_the_cancel_is_refused);
    tcase_add_test(t, a_cancelled_batch_takes_no_rows_and_is_not_paused_or_resumed);
    tcase_add_test(t, a_cancelled_batch_goes_on_when_it_is_retried_by_that_code);
    tcase_add_test(t, retry_takes_all_failed_rows_or_those_of_one_code);
    tcase_add_test(t, a_long_retry_goes_in_pieces_and_takes_each_row_once);
    tcase_add_test(t, a_deleted_batch_leaves_nothing_and_gives_its_room_back);
    tcase_add_test(t, a_batch_that_is_being_deleted_takes_no_other_verb);
    tcase_add_test(t, an_unknown_batch_or_row_is_named);
    tcase_add_test(t, one_row_is_paused_resumed_and_cancelled);
    tcase_add_test(t, a_row_that_was_refused_is_not_retried);
    tcase_add_test(t, what_is_left_at_the_deadline_fails_and_can_be_retried);
    tcase_add_test(t, a_retry_lifts_a_deadline_that_has_passed);
    tcase_add_test(t, a_retry_between_two_pieces_of_an_expiry_ends_it);
    tcase_add_test(t, a_put_back_is_noted_and_uses_up_no_attempt);
    tcase_add_test(t, only_a_row_that_ends_two_workers_while_alone_is_poison);
    tcase_add_test(t, a_retried_row_is_no_longer_a_suspect);
    tcase_add_test(t, a_settled_job_is_not_suspected);
    tcase_add_test(t, a_row_whose_answer_is_known_is_answered_from_it);
    tcase_add_test(t, what_could_answer_otherwise_is_run);
    tcase_add_test(t, an_answer_of_a_model_that_has_changed_is_not_used);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
