/* test_queue.c - the durable queue: who wins, what is counted, and what survives. */
#include <signal.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fault.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define T rows_text

static struct errmsg e;

#define OK(call)     ck_assert_msg((call) == ERR_OK, "%s", e.text)
#define NUMBER(text) process_sql(s->db, text)

/* A file with a batch of four rows and an instance. */
struct scene {
    char db[512];
    struct queue *q;
    int64_t batch, job, instance; /* job: the first row's */
};

static struct scene *scene_open(void)
{
    static struct scene s;

    snprintf(s.db, sizeof s.db, "%s", test_path("q.db"));
    s.q = rows_open(s.db);
    s.batch = rows_batch(s.q, "b", "", 0);
    s.job = rows_add(s.q, s.batch, "row", 4);
    s.instance = rows_instance(s.q, "u1");
    return &s;
}

static void scene_close(struct scene *s)
{
    rows_recount(s->db);
    queue_close(&s->q);
    rows_recount(s->db);
}

/* Each of these is a group of its own. */
static int finish(struct scene *s, int64_t job, int64_t generation, const char *text)
{
    struct answer a = {.job_id = job, .generation = generation, .instance_id = s->instance};
    int rc;

    a.prompt_tokens = 10, a.cached_tokens = 4, a.output_tokens = 3, a.body_bytes = 40;
    a.queue_ms = 1, a.prefill_ms = 20, a.decode_ms = 300, a.seed = 7, a.batch_invariant = 1;
    a.finish_reason = T("stop"), a.text = T(text), a.choices = T("[]");
    OK(queue_begin(s->q, &e));
    rc = queue_finish(s->q, &a, ROWS_NOW + 50, &e);
    OK(queue_commit(s->q, &e));
    rows_recount(s->db);
    return rc;
}

struct fate {
    int rc;
    enum job_state to;
    int64_t not_before_ms;
};

static struct fate fail_job(struct scene *s, int64_t job, bool final, bool counts)
{
    struct failure f = {.job_id = job, .instance_id = s->instance, .counts = counts};
    struct fate fate = {0};

    f.generation = process_sql(s->db, "SELECT max(generation) FROM job");
    f.final = final, f.code = T("bad"), f.message = T("it broke"), f.param = T("");
    OK(queue_begin(s->q, &e));
    fate.rc = queue_fail(s->q, &f, ROWS_NOW, &fate.to, &fate.not_before_ms, &e);
    OK(queue_commit(s->q, &e));
    rows_recount(s->db);
    return fate;
}

static enum put put_row(struct scene *s, const struct row *r, bool replace)
{
    struct row own = *r;
    enum put put;

    if (!own.custom_id.at) own.custom_id = T("");
    if (!own.code.at) own.code = own.message = T("");
    if (!own.param.at) own.param = T("");
    OK(queue_begin(s->q, &e));
    OK(queue_put_row(s->q, s->batch, &own, replace, ROWS_NOW, &put, &e));
    OK(queue_commit(s->q, &e));
    rows_recount(s->db);
    return put;
}

static int64_t retry(struct scene *s, const char *code)
{
    struct control c = {.verb = VERB_RETRY, .batch = "b"};

    snprintf(c.code, sizeof c.code, "%s", code);
    OK(queue_begin(s->q, &e));
    OK(queue_control(s->q, &c, ROWS_NOW, &e));
    OK(queue_commit(s->q, &e));
    rows_recount(s->db);
    return c.rows;
}

/* --- Q1 --- */

START_TEST(first_result_wins_and_the_second_is_stale)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(finish(s, s->job, 0, "first"), ERR_OK);
    ck_assert_int_eq(finish(s, s->job, 0, "second"), ERR_STALE); /* Q1 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result WHERE text='first'"), 1);
    ck_assert_int_eq(NUMBER("SELECT n_done*100+output_tokens FROM batch"), 103);
    ck_assert_int_eq(NUMBER("SELECT body_bytes FROM batch"), 40);
    scene_close(s);
}
END_TEST

START_TEST(two_results_in_one_group_are_one)
{
    struct scene *s = scene_open();
    struct answer a = {.job_id = s->job, .instance_id = s->instance, .output_tokens = 3};

    a.finish_reason = T("stop"), a.text = T("t"), a.choices = T("[]");
    OK(queue_begin(s->q, &e));
    OK(queue_finish(s->q, &a, ROWS_NOW, &e));
    ck_assert_int_eq(queue_finish(s->q, &a, ROWS_NOW, &e), ERR_STALE); /* Q1 */
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT output_tokens FROM batch"), 3);
    scene_close(s);
}
END_TEST

START_TEST(another_generation_is_stale)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(finish(s, s->job, 1, "x"), ERR_STALE);
    ck_assert_int_eq(finish(s, s->job, -1, "x"), ERR_STALE);
    ck_assert_int_eq(finish(s, s->job + 1000, 0, "x"), ERR_STALE);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM result"), 0);
    scene_close(s);
}
END_TEST

START_TEST(result_for_a_failed_job_is_stale)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(fail_job(s, s->job, true, true).to, JOB_FAILED);
    ck_assert_int_eq(finish(s, s->job, 0, "late"), ERR_STALE);
    ck_assert_int_eq(retry(s, ""), 1);
    ck_assert_int_eq(finish(s, s->job, 0, "of before the retry"), ERR_STALE);
    ck_assert_int_eq(finish(s, s->job, 1, "good"), ERR_OK);
    scene_close(s);
}
END_TEST

START_TEST(error_for_a_done_job_is_stale)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(finish(s, s->job, 0, "t"), ERR_OK);
    ck_assert_int_eq(fail_job(s, s->job, true, true).rc, ERR_STALE);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 0);
    scene_close(s);
}
END_TEST

/* --- Q4 --- */

START_TEST(same_id_and_body_again_changes_nothing)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("row0"), .body = T("row0"), .line = 1};

    ck_assert_int_eq(put_row(s, &r, false), PUT_SAME); /* Q4 */
    ck_assert_int_eq(put_row(s, &r, true), PUT_SAME);  /* nothing to replace */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 4);
    ck_assert_int_eq(NUMBER("SELECT max(generation) FROM job"), 0);
    ck_assert_int_eq(finish(s, s->job, 0, "t"), ERR_OK);
    ck_assert_int_eq(put_row(s, &r, true), PUT_SAME);
    ck_assert_int_eq(NUMBER("SELECT n_done FROM batch"), 1);
    scene_close(s);
}
END_TEST

START_TEST(same_id_with_another_body_differs_and_is_kept)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("row0"), .body = T("other"), .line = 1};
    struct row endpoint = {.custom_id = T("row0"), .body = T("row0"), .line = 1, .endpoint = 1};

    ck_assert_int_eq(put_row(s, &r, false), PUT_DIFFERS);
    ck_assert_int_eq(put_row(s, &endpoint, false), PUT_DIFFERS);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM prompt WHERE body='row0'"), 1);
    ck_assert_int_eq(NUMBER("SELECT max(generation) FROM job"), 0);
    scene_close(s);
}
END_TEST

START_TEST(replace_starts_the_row_over_and_takes_its_tokens_back)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("row0"), .body = T("other"), .line = 9, .endpoint = 1};

    ck_assert_int_eq(finish(s, s->job, 0, "t"), ERR_OK);
    ck_assert_int_eq(NUMBER("SELECT prompt_tokens FROM batch"), 10);
    ck_assert_int_eq(put_row(s, &r, true), PUT_REPLACED); /* Q4 */
    ck_assert_int_eq(NUMBER("SELECT prompt_tokens+cached_tokens+output_tokens FROM batch"), 0);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 4);
    ck_assert_int_eq(finish(s, s->job, 0, "of the old body"), ERR_STALE);
    ck_assert_int_eq(finish(s, s->job, 1, "of the new body"), ERR_OK);
    ck_assert_int_eq(NUMBER("SELECT line FROM results WHERE prompt='other'"), 9);
    scene_close(s);
}
END_TEST

START_TEST(refused_row_is_failed_and_keeps_its_reason)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("line-9"), .body = T("{oops"), .line = 9};

    r.code = T("invalid_json"), r.message = T("no comma"), r.param = T("prompt");
    ck_assert_int_eq(put_row(s, &r, false), PUT_ADDED);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='invalid_json' AND line=9 AND"
                            " message='no comma' AND param='prompt' AND attempts=0"),
                     1);
    ck_assert_int_eq(put_row(s, &r, false), PUT_SAME);
    scene_close(s);
}
END_TEST

START_TEST(mended_line_takes_the_refused_rows_place)
{
    struct scene *s = scene_open();
    struct row bad = {.custom_id = T("line-9"), .body = T("{oops"), .line = 9};
    struct row good = {.custom_id = T("mine"), .body = T("{}"), .line = 9};

    bad.code = T("invalid_json"), bad.message = T("no comma");
    ck_assert_int_eq(put_row(s, &bad, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &good, false), PUT_MENDED); /* Q4, by line */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 5);
    ck_assert_int_eq(NUMBER("SELECT n_failed*100+n_ready FROM batch"), 5);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 0);
    ck_assert_int_eq(put_row(s, &good, false), PUT_SAME);
    ck_assert_int_eq(finish(s, s->job + 4, 1, "t"), ERR_OK);
    scene_close(s);
}
END_TEST

START_TEST(refused_row_of_the_same_id_is_mended_without_replace)
{
    struct scene *s = scene_open();
    struct row bad = {.custom_id = T("mine"), .body = T("{\"n\":1}"), .line = 9};
    struct row good = {.custom_id = T("mine"), .body = T("{}"), .line = 9};
    struct row was = good;

    bad.code = T("unsupported_parameter"), bad.message = T("tools");
    ck_assert_int_eq(put_row(s, &bad, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &good, false), PUT_MENDED); /* Q4, by id */
    was.body = T("{ }");
    ck_assert_int_eq(put_row(s, &was, false), PUT_DIFFERS); /* it is an ordinary row now */
    scene_close(s);
}
END_TEST

START_TEST(refused_row_whose_very_body_is_now_good_is_mended)
{
    struct scene *s = scene_open();
    struct row bad = {.custom_id = T("mine"), .body = T("{}"), .line = 9}, good = bad;

    bad.code = T("body_too_large"), bad.message = T("a limit that was raised since");
    ck_assert_int_eq(put_row(s, &bad, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &good, false), PUT_MENDED);
    ck_assert_int_eq(NUMBER("SELECT n_failed*100+n_ready FROM batch"), 5);
    scene_close(s);
}
END_TEST

START_TEST(row_refused_for_another_reason_shows_the_new_one)
{
    struct scene *s = scene_open();
    struct row bad = {.custom_id = T("mine"), .body = T("{}"), .line = 9};

    bad.code = T("first"), bad.message = T("m");
    ck_assert_int_eq(put_row(s, &bad, false), PUT_ADDED);
    bad.code = T("second");
    ck_assert_int_eq(put_row(s, &bad, false), PUT_REPLACED);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='second'"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 1);
    scene_close(s);
}
END_TEST

START_TEST(an_id_that_looks_like_a_lines_is_not_mended_by_that_line)
{
    struct scene *s = scene_open();
    struct row own = {.custom_id = T("line-9"), .body = T("mine"), .line = 2};
    struct row other = {.custom_id = T("x"), .body = T("y"), .line = 9};

    ck_assert_int_eq(put_row(s, &own, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &other, false), PUT_ADDED);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM prompt WHERE body='mine'"), 1);
    scene_close(s);
}
END_TEST

START_TEST(ids_and_bodies_may_hold_nul_bytes)
{
    struct scene *s = scene_open();
    struct row a = {.custom_id = {"x\0a", 3}, .body = {"p\0q", 3}, .line = 9};
    struct row b = {.custom_id = {"x\0b", 3}, .body = {"p\0r", 3}, .line = 10};

    ck_assert_int_eq(put_row(s, &a, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &b, false), PUT_ADDED);
    ck_assert_int_eq(put_row(s, &a, false), PUT_SAME);
    ck_assert_int_eq(NUMBER("SELECT sum(length(CAST(body AS BLOB))) FROM prompt"), 4 * 4 + 6);
    scene_close(s);
}
END_TEST

START_TEST(one_id_in_two_batches_is_two_rows)
{
    struct scene *s = scene_open();
    int64_t first = s->batch;
    struct row r = {.custom_id = T("row0"), .body = T("other"), .line = 1};

    s->batch = rows_batch(s->q, "c", "", 0);
    ck_assert_int_ne(s->batch, first);
    ck_assert_int_eq(put_row(s, &r, false), PUT_ADDED);
    ck_assert_int_eq(rows_batch(s->q, "b", "", 0), first); /* it existed */
    scene_close(s);
}
END_TEST

START_TEST(more_batches_than_a_group_keeps_counters_for_are_counted)
{
    struct scene *s = scene_open();
    int64_t batch[40];
    struct row r = {.custom_id = T("id"), .body = T("b"), .line = 1};
    enum put put;

    r.code = r.message = r.param = T("");
    for (int i = 0; i < 40; i++) {
        char name[16];

        snprintf(name, sizeof name, "m%d", i);
        batch[i] = rows_batch(s->q, name, "", 0);
    }
    OK(queue_begin(s->q, &e));
    for (int i = 0; i < 80; i++)
        OK(queue_put_row(s->q, batch[i % 40], &r, false, ROWS_NOW, &put, &e));
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT sum(n_ready) FROM batch WHERE name LIKE 'm%'"), 40);
    scene_close(s);
}
END_TEST

/* --- failures, retry, due --- */

START_TEST(backoff_grows_and_is_spread_the_same_way_each_time)
{
    struct scene *s = scene_open();
    struct fate one = fail_job(s, s->job, false, true),
                other = fail_job(s, s->job + 1, false, true), two;
    int64_t first = one.not_before_ms - ROWS_NOW, second;

    ck_assert_int_eq(one.to, JOB_READY);
    ck_assert(first >= 750 && first <= 1250);
    ck_assert_int_ne(one.not_before_ms, other.not_before_ms); /* spread */
    two = fail_job(s, s->job, false, true);
    second = two.not_before_ms - ROWS_NOW;
    ck_assert(second >= 1500 && second <= 2500);
    ck_assert_int_eq(NUMBER("SELECT attempts FROM job LIMIT 1"), 2);
    scene_close(s);
    unlink(s->db);
    s = scene_open(); /* the same job in another file waits as long */
    ck_assert_int_eq(fail_job(s, s->job, false, true).not_before_ms - ROWS_NOW, first);
    scene_close(s);
}
END_TEST

START_TEST(the_last_attempt_fails_the_row)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(fail_job(s, s->job, false, true).to, JOB_READY);
    ck_assert_int_eq(fail_job(s, s->job, false, true).to, JOB_READY);
    ck_assert_int_eq(fail_job(s, s->job, false, true).to, JOB_FAILED); /* max_attempts 3 */
    ck_assert_int_eq(fail_job(s, s->job, false, true).rc, ERR_STALE);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempts WHERE code='bad' AND counts=1"), 3);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE attempts=3"), 1);
    scene_close(s);
}
END_TEST

START_TEST(final_error_fails_at_once)
{
    struct scene *s = scene_open();
    struct fate f = fail_job(s, s->job, true, true);

    ck_assert_int_eq(f.to, JOB_FAILED);
    ck_assert_int_eq(f.not_before_ms, 0);
    scene_close(s);
}
END_TEST

START_TEST(failure_that_does_not_count_uses_no_attempt)
{
    struct scene *s = scene_open();

    for (int i = 0; i < 5; i++) {
        struct fate f = fail_job(s, s->job, false, false);

        ck_assert_int_eq(f.to, JOB_READY); /* Q7 */
        ck_assert_int_eq(f.not_before_ms, 0);
    }
    ck_assert_int_eq(NUMBER("SELECT max(attempts) FROM job"), 0);
    scene_close(s);
}
END_TEST

START_TEST(retry_gives_fresh_attempts_and_another_generation)
{
    struct scene *s = scene_open();

    fail_job(s, s->job, true, true);
    fail_job(s, s->job + 1, true, true);
    ck_assert_int_eq(retry(s, ""), 2);
    ck_assert_int_eq(NUMBER("SELECT n_ready*100+n_failed FROM batch"), 400);
    ck_assert_int_eq(NUMBER("SELECT sum(generation)*100+sum(attempts) FROM job"), 200);
    ck_assert_int_eq(retry(s, ""), 0);
    ck_assert_int_eq(finish(s, s->job, 1, "t"), ERR_OK);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempt"), 2); /* the history stays */
    scene_close(s);
}
END_TEST

START_TEST(retry_by_code_takes_only_that_code)
{
    struct scene *s = scene_open();

    fail_job(s, s->job, true, true);
    ck_assert_int_eq(retry(s, "other"), 0);
    ck_assert_int_eq(retry(s, "bad"), 1);
    scene_close(s);
}
END_TEST

START_TEST(retry_leaves_rows_that_were_refused_at_submit)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("line-9"), .body = T("{oops"), .line = 9};

    r.code = T("invalid_json"), r.message = T("no comma");
    put_row(s, &r, false);
    ck_assert_int_eq(retry(s, ""), 0);
    ck_assert_int_eq(retry(s, "invalid_json"), 0);
    ck_assert_int_eq(NUMBER("SELECT n_failed FROM batch"), 1);
    scene_close(s);
}
END_TEST

START_TEST(an_error_that_is_sent_again_counts_once)
{
    struct scene *s = scene_open();
    struct failure f = {.job_id = s->job, .instance_id = s->instance, .attempt = 1, .counts = true};
    enum job_state to;
    int64_t until;

    f.code = f.message = T("bad"), f.param = T("");
    OK(queue_begin(s->q, &e));
    OK(queue_fail(s->q, &f, ROWS_NOW, &to, &until, &e));
    ck_assert_int_eq(queue_fail(s->q, &f, ROWS_NOW, &to, &until, &e), ERR_STALE); /* Q7 */
    f.attempt = 2;
    OK(queue_fail(s->q, &f, ROWS_NOW, &to, &until, &e));
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT max(attempts) FROM job"), 2);
    scene_close(s);
}
END_TEST

START_TEST(retry_of_an_unknown_batch_names_it)
{
    struct scene *s = scene_open();
    struct control c = {.verb = VERB_RETRY, .batch = "nobody"};

    OK(queue_begin(s->q, &e));
    ck_assert_int_eq(queue_control(s->q, &c, ROWS_NOW, &e), ERR_EMPTY);
    ck_assert_ptr_nonnull(strstr(e.text, "nobody"));
    OK(queue_commit(s->q, &e));
    scene_close(s);
}
END_TEST

START_TEST(due_takes_only_rows_whose_time_has_come)
{
    struct scene *s = scene_open();
    struct fate f = fail_job(s, s->job, false, true);
    int64_t n;

    OK(queue_begin(s->q, &e));
    OK(queue_due(s->q, f.not_before_ms - 1, &n, &e));
    ck_assert_int_eq(n, 0);
    OK(queue_due(s->q, f.not_before_ms, &n, &e));
    ck_assert_int_eq(n, 1);
    OK(queue_due(s->q, f.not_before_ms, &n, &e));
    ck_assert_int_eq(n, 0);
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT max(not_before_ms) FROM job"), 0);
    f = fail_job(s, s->job, false, true);
    OK(queue_begin(s->q, &e)); /* the clock was set back by an hour: no backoff is that long */
    OK(queue_due(s->q, f.not_before_ms - 3600000, &n, &e));
    ck_assert_int_eq(n, 1);
    OK(queue_commit(s->q, &e));
    scene_close(s);
}
END_TEST

/* --- groups --- */

START_TEST(rollback_leaves_nothing)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("new"), .body = T("b"), .line = 1};
    enum put put;

    r.code = r.message = r.param = T("");
    OK(queue_begin(s->q, &e));
    OK(queue_put_row(s->q, s->batch, &r, false, ROWS_NOW, &put, &e));
    queue_rollback(s->q);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 4);
    ck_assert_int_eq(put_row(s, &r, false), PUT_ADDED); /* and no counter of before comes along */
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 5);
    scene_close(s);
}
END_TEST

START_TEST(failed_commit_leaves_nothing_and_the_next_one_works)
{
    struct scene *s = scene_open();
    struct row r = {.custom_id = T("new"), .body = T("b"), .line = 1};
    enum put put;

    r.code = r.message = r.param = T("");
    OK(fault_setup("commit:1:fail", &e));
    OK(queue_begin(s->q, &e));
    OK(queue_put_row(s->q, s->batch, &r, false, ROWS_NOW, &put, &e));
    ck_assert_int_eq(queue_commit(s->q, &e), ERR_DB);
    queue_rollback(s->q);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM job"), 4);
    ck_assert_int_eq(put_row(s, &r, false), PUT_ADDED);
    ck_assert_int_eq(NUMBER("SELECT n_ready FROM batch"), 5);
    scene_close(s);
}
END_TEST

/* Dies inside the second commit. */
static void die_in_commit(const char *db)
{
    struct queue *q;

    if (fault_setup("commit:4:kill", &e)) _exit(1); /* two are the batch's and the instance's */
    q = rows_open(db);
    rows_instance(q, "u");
    rows_add(q, rows_batch(q, "b", "", 0), "first", 3);
    rows_add(q, 1, "second", 3);
    _exit(2);
}

START_TEST(kill_inside_a_commit_keeps_the_groups_before_it)
{
    char db[512];
    struct queue *q;
    int status;
    pid_t pid;

    snprintf(db, sizeof db, "%s", test_path("q.db"));
    if (!(pid = fork())) die_in_commit(db);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    q = rows_open(db);
    ck_assert_int_eq(queue_epoch(q), 2);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM prompt WHERE body LIKE 'first%'"), 3);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM job"), 3);
    rows_recount(db);
    ck_assert_int_eq(rows_add(q, 1, "second", 3), 4);
    queue_close(&q);
    rows_recount(db);
}
END_TEST

START_TEST(each_open_is_another_epoch_of_the_same_file)
{
    struct scene *s = scene_open();
    char uuid[40];

    snprintf(uuid, sizeof uuid, "%s", queue_uuid(s->q));
    ck_assert_uint_eq(strlen(uuid), 32);
    ck_assert_int_eq(queue_epoch(s->q), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance WHERE state='here'"), 1);
    queue_close(&s->q);
    s->q = rows_open(s->db);
    ck_assert_str_eq(queue_uuid(s->q), uuid);
    ck_assert_int_eq(queue_epoch(s->q), 2);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance WHERE state='here'"), 0);
    ck_assert_int_eq(rows_instance(s->q, "u1"), s->instance); /* known by its uuid */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM instance WHERE state='here'"), 1);
    scene_close(s);
}
END_TEST

START_TEST(the_log_is_checkpointed_between_commits)
{
    struct scene *s = scene_open();
    char log[520];

    snprintf(log, sizeof log, "%s-wal", s->db);
    for (int i = 0; i < 40; i++) {
        char prefix[16];

        snprintf(prefix, sizeof prefix, "r%d-", i);
        rows_add(s->q, s->batch, prefix, 200);
        queue_checkpoint(s->q);
    }
    {
        struct buf b = process_read(log);

        ck_assert_uint_lt(b.len, 24 << 20); /* a thousand pages, and the group that went over */
        buf_fini(&b);
    }
    scene_close(s);
}
END_TEST

/* --- the views --- */

START_TEST(views_tell_what_happened)
{
    struct scene *s = scene_open();
    struct metric_row m = {.instance_id = s->instance, .span_ms = 2000, .rows = 1, .steps = 4};
    int64_t n;

    m.prompt_tokens = 10, m.output_tokens = 3, m.step_ms = 100, m.running = 2, m.kv_free = 9;
    fail_job(s, s->job, false, true);
    ck_assert_int_eq(finish(s, s->job, 0, "answer"), ERR_OK);
    fail_job(s, s->job + 1, true, true);
    OK(queue_begin(s->q, &e));
    OK(queue_put_metric(s->q, &m, ROWS_NOW, &e));
    OK(queue_put_event(s->q, "warn", "broker", "something", ROWS_NOW, &e));
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM results"), 4);
    n = NUMBER("SELECT count(*) FROM results WHERE batch='b' AND custom_id='row0' AND line=1 AND"
               " state='done' AND prompt='row0' AND text='answer' AND finish_reason='stop' AND"
               " prompt_tokens=10 AND cached_tokens=4 AND output_tokens=3 AND queue_ms=1 AND"
               " prefill_ms=20 AND decode_ms=300 AND instance='n-u1' AND attempts=2 AND"
               " error_code IS NULL AND seed=7 AND batch_invariant=1");
    ck_assert_int_eq(n, 1);
    n = NUMBER("SELECT count(*) FROM results WHERE custom_id='row1' AND state='failed' AND"
               " error_code='bad' AND error_message='it broke' AND text IS NULL AND attempts=1");
    ck_assert_int_eq(n, 1);
    n = NUMBER("SELECT count(*) FROM progress WHERE batch='b' AND state='running' AND jobs=4 AND"
               " ready=2 AND done=1 AND failed=1 AND prompt_tokens=10 AND output_tokens=3 AND"
               " tokens_per_s=6.5 AND eta_s=4.0");
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM errors WHERE code='bad' AND custom_id='row1'"),
                     1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM attempts WHERE instance='n-u1'"), 3);
    n = NUMBER("SELECT count(*) FROM throughput WHERE instance='n-u1' AND rows=1 AND"
               " tokens_per_s=6.5 AND ms_per_step=25 AND minute='2027-01-15 08:00'");
    ck_assert_int_eq(n, 1);
    n = NUMBER("SELECT count(*) FROM instances WHERE name='n-u1' AND state='here' AND rows_done=1"
               " AND busy_tokens_per_s=130");
    ck_assert_int_eq(n, 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM slowest WHERE run_ms=320"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM event WHERE level='warn'"), 1);
    scene_close(s);
}
END_TEST

START_TEST(progress_without_a_metric_has_no_eta)
{
    struct scene *s = scene_open();

    ck_assert_int_eq(NUMBER("SELECT count(*) FROM progress WHERE eta_s IS NULL AND jobs=4"), 1);
    for (int64_t i = 0; i < 4; i++)
        ck_assert_int_eq(finish(s, s->job + i, 0, "t"), ERR_OK);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM progress WHERE state='finished'"), 1);
    scene_close(s);
}
END_TEST

START_TEST(the_hint_is_replaced_as_a_whole)
{
    struct scene *s = scene_open();
    static const char *const UUIDS[] = {"a", "b", "c"};

    OK(queue_begin(s->q, &e));
    OK(queue_put_hint(s->q, (int64_t[]){1, 2, 3}, UUIDS, 3, &e));
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM lease_hint"), 3);
    OK(queue_begin(s->q, &e));
    OK(queue_put_hint(s->q, (int64_t[]){2}, UUIDS, 1, &e));
    OK(queue_commit(s->q, &e));
    ck_assert_int_eq(NUMBER("SELECT job_id FROM lease_hint WHERE instance_uuid='a'"), 2);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM lease_hint"), 1);
    scene_close(s);
}
END_TEST

START_TEST(a_state_that_is_none_is_damage_and_no_crash)
{
    struct scene *s = scene_open();
    struct answer a = {.job_id = 1, .instance_id = s->instance};
    sqlite3 *c;

    ck_assert_int_eq(sqlite3_open(s->db, &c), SQLITE_OK);
    ck_assert_int_eq(sqlite3_exec(c,
                                  "PRAGMA ignore_check_constraints=ON;"
                                  "UPDATE job SET state=77 WHERE job_id=1",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    OK(queue_begin(s->q, &e));
    a.text = a.choices = a.finish_reason = T("");
    ck_assert_int_eq(queue_finish(s->q, &a, ROWS_NOW, &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "state 77"));
    queue_rollback(s->q);
    ck_assert_int_eq(sqlite3_exec(c, "UPDATE job SET state=0 WHERE job_id=1", NULL, NULL, NULL),
                     SQLITE_OK);
    sqlite3_close(c);
    scene_close(s);
}
END_TEST

START_TEST(a_state_moves_only_as_the_table_says)
{
    ck_assert(job_state_allows(JOB_READY, JOB_DONE));
    ck_assert(job_state_allows(JOB_FAILED, JOB_READY));
    ck_assert(!job_state_allows(JOB_DONE, JOB_FAILED));
    ck_assert(!job_state_allows(JOB_FAILED, JOB_DONE));
    ck_assert(!job_state_allows(JOB_CANCELLED, JOB_DONE));
    ck_assert_str_eq(job_state_name(JOB_CANCELLED), "cancelled");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("queue");
    TCase *t = tcase_create("queue");

    tcase_add_test(t, first_result_wins_and_the_second_is_stale);
    tcase_add_test(t, two_results_in_one_group_are_one);
    tcase_add_test(t, another_generation_is_stale);
    tcase_add_test(t, result_for_a_failed_job_is_stale);
    tcase_add_test(t, error_for_a_done_job_is_stale);
    tcase_add_test(t, same_id_and_body_again_changes_nothing);
    tcase_add_test(t, same_id_with_another_body_differs_and_is_kept);
    tcase_add_test(t, replace_starts_the_row_over_and_takes_its_tokens_back);
    tcase_add_test(t, refused_row_is_failed_and_keeps_its_reason);
    tcase_add_test(t, mended_line_takes_the_refused_rows_place);
    tcase_add_test(t, refused_row_of_the_same_id_is_mended_without_replace);
    tcase_add_test(t, refused_row_whose_very_body_is_now_good_is_mended);
    tcase_add_test(t, row_refused_for_another_reason_shows_the_new_one);
    tcase_add_test(t, an_id_that_looks_like_a_lines_is_not_mended_by_that_line);
    tcase_add_test(t, ids_and_bodies_may_hold_nul_bytes);
    tcase_add_test(t, one_id_in_two_batches_is_two_rows);
    tcase_add_test(t, more_batches_than_a_group_keeps_counters_for_are_counted);
    tcase_add_test(t, backoff_grows_and_is_spread_the_same_way_each_time);
    tcase_add_test(t, the_last_attempt_fails_the_row);
    tcase_add_test(t, final_error_fails_at_once);
    tcase_add_test(t, failure_that_does_not_count_uses_no_attempt);
    tcase_add_test(t, retry_gives_fresh_attempts_and_another_generation);
    tcase_add_test(t, retry_by_code_takes_only_that_code);
    tcase_add_test(t, retry_leaves_rows_that_were_refused_at_submit);
    tcase_add_test(t, an_error_that_is_sent_again_counts_once);
    tcase_add_test(t, retry_of_an_unknown_batch_names_it);
    tcase_add_test(t, due_takes_only_rows_whose_time_has_come);
    tcase_add_test(t, rollback_leaves_nothing);
    tcase_add_test(t, failed_commit_leaves_nothing_and_the_next_one_works);
    tcase_add_test(t, kill_inside_a_commit_keeps_the_groups_before_it);
    tcase_add_test(t, each_open_is_another_epoch_of_the_same_file);
    tcase_add_test(t, the_log_is_checkpointed_between_commits);
    tcase_add_test(t, views_tell_what_happened);
    tcase_add_test(t, progress_without_a_metric_has_no_eta);
    tcase_add_test(t, the_hint_is_replaced_as_a_whole);
    tcase_add_test(t, a_state_that_is_none_is_damage_and_no_crash);
    tcase_add_test(t, a_state_moves_only_as_the_table_says);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
