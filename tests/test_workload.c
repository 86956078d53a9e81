/* test_workload.c - clients/workload and lengths: every row of a file or a batch is counted once,
 * as a worker would tokenise it. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "clients/workload.h"
#include "model/model.h"
#include "tests/rows.h"
#include "tests/test.h"

#define MODEL "examples/tidy"

static struct tokenizer *tokenizer;
static struct chat *chat;
static struct workload_opts o;
static struct workload w;
static struct errmsg e;

static void set_up(void)
{
    ck_assert_msg(!model_tokenizer(&tokenizer, MODEL, &e), "%s", e.text);
    ck_assert_msg(!model_chat(&chat, MODEL, &e), "%s", e.text);
    o = (struct workload_opts){.source = {MODEL, tokenizer, chat, ""},
                               .max_len = 512,
                               .format = {.max_bytes = 1 << 20},
                               .signals = -1};
}

static void tear_down(void)
{
    workload_fini(&w);
    chat_close(&chat);
    tokenizer_close(&tokenizer);
}

static void take(const char *lines)
{
    workload_fini(&w);
    ck_assert_msg(!workload_of_file(&w, test_file("rows.jsonl", lines, strlen(lines)), &o, &e),
                  "%s", e.text);
}

static int64_t bad_rows(const char *code)
{
    for (int i = 0; i < w.n_bad; i++)
        if (!strcmp(w.bad[i].code, code)) return w.bad[i].rows;
    return 0;
}

#define CHAT(text, more) "{\"messages\":[{\"role\":\"user\",\"content\":\"" text "\"}]" more "}\n"

/* Tokens of a text, by the tokenizer itself. */
static int64_t tokens_of(const char *text)
{
    struct ids ids = {0};
    int64_t n;

    ck_assert_int_eq(tokenizer_encode(tokenizer, text, strlen(text), TOKENIZER_BOS, &ids, &e), 0);
    n = (int64_t)ids.n;
    ids_fini(&ids);
    return n;
}

/* --- rows */

START_TEST(prompts_are_counted_as_the_model_sees_them)
{
    take("{\"prompt\":\"one two three\",\"max_tokens\":7}\n{\"prompt\":\"x\"}\n");
    ck_assert_int_eq(w.rows, 2);
    ck_assert_int_eq(w.lengths->prompt, tokens_of("one two three") + tokens_of("x"));
    ck_assert_int_eq(w.lengths->output, 7 + 16); /* a completion's own default */
    ck_assert_int_eq(w.unlimited, 0);
    take(CHAT("one two three", ",\"max_tokens\":7"));
    ck_assert_int_gt(w.lengths->prompt, tokens_of("one two three")); /* and the template's own */
}
END_TEST

START_TEST(every_row_is_good_or_bad_with_a_code)
{
    take("no json\n" CHAT("a", ",\"max_tokens\":1") "{\"messages\":[]}\n{\"prompt\":1}\n" CHAT(
        "a", ",\"tools\":[1]") CHAT("b", ",\"max_tokens\":2"));
    ck_assert_int_eq(w.rows, 6);
    ck_assert_int_eq(w.bad_rows, 4);
    ck_assert_int_eq(w.lengths->rows, 2); /* WL2 */
    ck_assert_int_eq(bad_rows("invalid_json_line"), 1);
    ck_assert_int_eq(bad_rows("unsupported_parameter"), 1);
    ck_assert_int_eq(w.first_bad_line, 1);
    ck_assert_str_ne(w.first_bad, "");
}
END_TEST

START_TEST(a_row_that_the_context_does_not_hold_is_bad)
{
    struct buf b = {0};

    buf_adds(&b, "{\"prompt\":\"");
    for (int i = 0; i < 600; i++)
        buf_adds(&b, " two");
    buf_adds(&b, "\"}\n{\"prompt\":\"two\",\"max_tokens\":100000}\n");
    take(b.data);
    buf_fini(&b);
    ck_assert_int_eq(bad_rows("context_length_exceeded"), 1);
    ck_assert_ptr_nonnull(strstr(w.first_bad, "512"));
    ck_assert_int_eq(w.longest, 512); /* the other one fills what is left */
}
END_TEST

START_TEST(a_second_row_of_an_id_is_bad_and_of_a_body_a_duplicate)
{
    take("{\"custom_id\":\"a\",\"prompt\":\"x\"}\n{\"custom_id\":\"a\",\"prompt\":\"y\"}\n"
         "{\"custom_id\":\"b\",\"prompt\":\"x\"}\n{\"prompt\":\"x\"}\n{\"prompt\":\"z\"}\n");
    ck_assert_int_eq(bad_rows("duplicate_custom_id"), 1);
    ck_assert_int_eq(w.duplicates, 2);
    ck_assert_int_eq(w.lengths->rows, 4); /* they run too */
}
END_TEST

START_TEST(an_empty_file_has_no_rows)
{
    take("\n\n");
    ck_assert_int_eq(w.rows, 0);
    ck_assert_int_eq(w.lengths->rows, 0);
    workload_fini(&w);
    ck_assert_int_eq(workload_of_file(&w, test_path("nothing.jsonl"), &o, &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "nothing.jsonl"));
}
END_TEST

/* --- answers */

START_TEST(answers_are_as_long_as_is_known)
{
    take(CHAT("a", ""));
    ck_assert_int_eq(w.unlimited, 1);
    ck_assert_int_eq(w.lengths->output, WORKLOAD_ANSWER);
    o.output_tokens = 9;
    take(CHAT("a", "") CHAT("a", ",\"max_tokens\":5"));
    ck_assert_int_eq(w.lengths->output, 9 + 5);
    o.output_tokens = 300; /* also where nobody has said that they are so long */
    take(CHAT("a", ""));
    ck_assert_int_eq(w.lengths->output, 300);
    o.output_tokens = 0;
    o.default_max_tokens = 11;
    take(CHAT("a", ""));
    ck_assert_int_eq(w.lengths->output, 11);
    ck_assert_int_eq(w.unlimited, 0);
    take(CHAT("a", ",\"n\":3,\"temperature\":1,\"max_tokens\":4"));
    ck_assert_int_eq(w.lengths->output, 12);
}
END_TEST

START_TEST(answers_like_those_of_finished_rows_have_their_lengths)
{
    struct lengths *like;
    struct buf b = {0};

    ck_assert_int_eq(lengths_open(&like), 0);
    for (int i = 0; i < 1000; i++)
        lengths_add(like, 20, i % 10 ? 4 : 14); /* a tenth of them long */
    for (int i = 0; i < 400; i++)
        buf_printf(&b, CHAT("%d", ""), i);
    o.like = like;
    take(b.data);
    ck_assert_int_ge(w.lengths->output, 400 * 5 - 40); /* 5 on average */
    ck_assert_int_le(w.lengths->output, 400 * 5 + 40);
    lengths_close(&like);
    buf_fini(&b);
}
END_TEST

/* --- what is shared */

START_TEST(a_shared_beginning_is_saved_but_the_first_time)
{
    struct buf b = {0};
    int64_t one, prompt;

    for (int rows = 1; rows <= 9; rows += 8) {
        buf_clear(&b);
        for (int i = 0; i < rows; i++) {
            buf_adds(&b, "{\"prompt\":\"");
            for (int k = 0; k < 100; k++)
                buf_adds(&b, " seven");
            buf_printf(&b, " %d\",\"max_tokens\":1}\n", i);
        }
        take(b.data);
        if (rows == 1) prompt = w.lengths->prompt;
        if (rows == 1) ck_assert_int_eq(w.shared_tokens, 0);
    }
    one = w.shared_tokens / 8;
    ck_assert_int_eq(w.shared_tokens % 8, 0);
    ck_assert_int_ge(one, prompt / 2); /* 512 of some 640 bytes */
    ck_assert_int_le(one, prompt);
    buf_fini(&b);
}
END_TEST

/* --- the same whatever the way */

static void many_rows(struct buf *b, int n)
{
    for (int i = 0; i < n; i++)
        buf_printf(b, CHAT("%d times %d", ",\"max_tokens\":%d"), i, i % 7, 1 + i % 90);
}

START_TEST(the_same_file_gives_the_same_whatever_the_threads)
{
    struct workload one = {0};
    struct buf b = {0};
    cpu_set_t set, all;

    many_rows(&b, 3000);
    take(b.data);
    one = w;
    w = (struct workload){0};
    ck_assert_int_eq(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&set);
    for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&set); i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &set);
    ck_assert_int_eq(sched_setaffinity(0, sizeof set, &set), 0);
    take(b.data); /* WL1 */
    ck_assert_int_eq(w.rows, 3000);
    ck_assert_mem_eq(one.lengths, w.lengths, sizeof *w.lengths);
    ck_assert_int_eq(one.shared_tokens, w.shared_tokens);
    workload_fini(&one);
    buf_fini(&b);
}
END_TEST

/* A batch of 3,000 rows, of which the first has an answer and the second was cancelled. */
static const char *put_batch(const struct buf *b)
{
    const char *path = test_path("w.db");
    struct queue *q = rows_open(path);
    int64_t batch = rows_batch(q, "b", "", 0), line = 0;
    sqlite3 *db;

    ck_assert_int_eq(queue_begin(q, &e), 0);
    for (const char *at = b->data, *end; (end = strchr(at, '\n')); at = end + 1) {
        struct row r = {.line = ++line, .body = {at, (size_t)(end - at)}};
        char id[32];
        enum put put;

        r.custom_id = (struct wire_text){id, (size_t)snprintf(id, sizeof id, "r%d", (int)line)};
        ck_assert_int_eq(queue_put_row(q, batch, &r, false, 1, &put, &e), 0);
    }
    ck_assert_int_eq(queue_commit(q, &e), 0);
    rows_instance(q, "u");
    queue_close(&q);
    ck_assert_int_eq(sqlite3_open(path, &db), SQLITE_OK);
    ck_assert_int_eq(
        sqlite3_exec(db,
                     "UPDATE job SET state=1 WHERE job_id=1; UPDATE job SET state=4 WHERE job_id=2;"
                     "UPDATE batch SET n_ready=n_ready-2, n_done=1, n_cancelled=1;"
                     "INSERT INTO result(job_id,instance_id,attempt,finish_reason,prompt_tokens,"
                     "cached_tokens,output_tokens,queue_ms,prefill_ms,decode_ms,done_ms,seed,"
                     "batch_invariant,text,choices) VALUES(1,1,1,'stop',30,0,12,0,0,0,9,7,1,'','')",
                     NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(db);
    return path;
}

START_TEST(a_batch_gives_what_its_open_rows_give_from_a_file)
{
    struct lengths *like = NULL;
    struct buf b = {0};
    const char *db, *third;

    many_rows(&b, 3000);
    db = put_batch(&b);
    ck_assert_msg(!workload_of_batch(&w, db, "b", &o, &e), "%s", e.text);
    ck_assert_int_eq(w.rows, 2998);
    ck_assert_int_eq(w.done, 2);
    struct workload batch = w;
    w = (struct workload){0};
    third = strchr(strchr(b.data, '\n') + 1, '\n') + 1;
    take(third);
    ck_assert_mem_eq(batch.lengths, w.lengths, sizeof *w.lengths);
    ck_assert_int_eq(batch.body_bytes, w.body_bytes);
    ck_assert_int_eq(batch.duplicates, w.duplicates);
    workload_fini(&batch);
    ck_assert_int_eq(workload_of_batch(&batch, db, "c", &o, &e), ERR_EMPTY);
    ck_assert_str_eq(e.text, "there is no batch 'c'");
    workload_fini(&batch);
    ck_assert_msg(!workload_finished(&like, db, "b", &e), "%s", e.text);
    ck_assert_int_eq(like->rows, 1);
    ck_assert_int_eq(like->output, 12);
    lengths_close(&like);
    buf_fini(&b);
}
END_TEST

/* --- lengths */

START_TEST(classes_go_up_and_are_a_quarter_of_an_octave)
{
    ck_assert_int_eq(lengths_class(0), 0);
    ck_assert_int_eq(lengths_class(15), 15);
    ck_assert_int_eq(lengths_class(16), 16);
    ck_assert_int_eq(lengths_class(19), 16);
    ck_assert_int_eq(lengths_class(20), 17);
    ck_assert_int_eq(lengths_class(32), 20);
    ck_assert_int_eq(lengths_class(14680064), LENGTHS_CLASSES - 1);
    ck_assert_int_eq(lengths_class(14680063), LENGTHS_CLASSES - 2);
    ck_assert_int_eq(lengths_class(INT64_MAX), LENGTHS_CLASSES - 1);
    ck_assert_int_eq(lengths_class(-1), 0);
    for (int64_t t = 1; t < 100000; t++)
        ck_assert_int_le(lengths_class(t - 1), lengths_class(t));
}
END_TEST

START_TEST(cells_keep_all_rows_and_tokens_however_few_they_are)
{
    struct plan_workload *p = calloc(1, sizeof *p);
    struct lengths *l;
    int64_t rows = 0, prompt = 0, output = 0;

    ck_assert_int_eq(lengths_open(&l), 0);
    for (int i = 0; i < 96; i++)
        for (int k = 0; k < 96; k++)
            for (int n = 0; n <= (i + k) % 3; n++)
                lengths_add(l, (int64_t)1 << i / 5, (int64_t)3 << k / 5);
    lengths_cells(l, p);
    ck_assert_int_le(p->n_cells, PLAN_CELLS);
    for (int i = 0; i < 2; i++, lengths_cells(l, p)) { /* and again with every cell in use */
        rows = prompt = output = 0;
        for (int c = 0; c < p->n_cells; c++) {
            rows += p->cells[c].rows;
            prompt += p->cells[c].rows * p->cells[c].prompt;
            output += p->cells[c].rows * p->cells[c].output;
        }
        ck_assert_int_eq(rows, l->rows); /* LN1 */
        ck_assert_int_eq(p->rows, l->rows);
        ck_assert_int_le(llabs(prompt - l->prompt), l->prompt / 100);
        ck_assert_int_le(llabs(output - l->output), l->output / 100);
        for (int a = 0; a < LENGTHS_CLASSES && !i; a++)
            for (int b = 0; b < LENGTHS_CLASSES; b++)
                lengths_add(l, a < 16 ? a : (int64_t)(4 + a % 4) << (a / 4 - 2),
                            b < 16 ? b : (int64_t)(4 + b % 4) << (b / 4 - 2));
    }
    ck_assert_int_gt(p->n_cells, 2000); /* as many as may be, not one */
    lengths_close(&l);
    free(p);
}
END_TEST

START_TEST(an_answer_is_that_of_rows_with_such_prompts_where_there_are_enough)
{
    struct lengths *l;

    ck_assert_int_eq(lengths_open(&l), 0);
    ck_assert_int_eq(lengths_answer(l, 5, 0.5), 0);
    for (int i = 0; i < 1000; i++)
        lengths_add(l, 100, 10);
    for (int i = 0; i < LENGTHS_ENOUGH - 1; i++)
        lengths_add(l, 1000, 12);
    ck_assert_int_eq(lengths_answer(l, 1000, 0.5), 10); /* of all: they are too few */
    ck_assert_int_eq(lengths_answer(l, 1000, 0.999), 12);
    lengths_add(l, 1000, 12);
    ck_assert_int_eq(lengths_answer(l, 1000, 0), 12);
    ck_assert_int_eq(lengths_answer(l, 100, 0.999), 10);
    lengths_close(&l);
}
END_TEST

START_TEST(more_and_longer_rows_take_more_disk)
{
    int64_t one, two;

    take(CHAT("a", ",\"max_tokens\":5"));
    one = workload_disk_bytes(&w);
    take(CHAT("a", ",\"max_tokens\":50"));
    two = workload_disk_bytes(&w);
    ck_assert_int_gt(two, one);
    take(CHAT("a", ",\"max_tokens\":50") CHAT("a", ",\"max_tokens\":50"));
    ck_assert_int_gt(workload_disk_bytes(&w), two);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("workload");
    TCase *t = tcase_create("rows"), *l = tcase_create("lengths");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, prompts_are_counted_as_the_model_sees_them);
    tcase_add_test(t, every_row_is_good_or_bad_with_a_code);
    tcase_add_test(t, a_row_that_the_context_does_not_hold_is_bad);
    tcase_add_test(t, a_second_row_of_an_id_is_bad_and_of_a_body_a_duplicate);
    tcase_add_test(t, an_empty_file_has_no_rows);
    tcase_add_test(t, answers_are_as_long_as_is_known);
    tcase_add_test(t, answers_like_those_of_finished_rows_have_their_lengths);
    tcase_add_test(t, a_shared_beginning_is_saved_but_the_first_time);
    tcase_add_test(t, the_same_file_gives_the_same_whatever_the_threads);
    tcase_add_test(t, a_batch_gives_what_its_open_rows_give_from_a_file);
    tcase_add_test(t, more_and_longer_rows_take_more_disk);
    suite_add_tcase(s, t);
    tcase_add_test(l, classes_go_up_and_are_a_quarter_of_an_octave);
    tcase_add_test(l, cells_keep_all_rows_and_tokens_however_few_they_are);
    tcase_add_test(l, an_answer_is_that_of_rows_with_such_prompts_where_there_are_enough);
    suite_add_tcase(s, l);
    return s;
}

TEST_MAIN(suite)
