/* test_chains.c - rows that begin alike, and an instance that remembers beginnings. */
#include <math.h>
#include <string.h>

#include "bench/batching.h"
#include "bench/chains.h"
#include "bench/sharing.h"
#include "tests/test.h"

static struct chains *answering(int64_t n, int32_t beginnings, int32_t tokens, int32_t answer)
{
    struct chains *c;
    struct errmsg e;

    ck_assert_int_eq(chains_draw(&c, n, beginnings, tokens, 200, answer, &e), ERR_OK);
    return c;
}

static struct chains *drawn(int64_t n, int32_t beginnings, int32_t tokens)
{
    return answering(n, beginnings, tokens, 50);
}

START_TEST(rows_behind_one_beginning_are_one_group)
{
    struct chains *c = drawn(1000, 40, 1024);
    struct chain_row a, b;

    for (int64_t i = 0; i < 1000; i++) {
        chains_at(c, i, &a);
        chains_at(c, i % 40, &b);
        ck_assert(a.group > 0 && a.group == b.group);
        chains_at(c, (i + 1) % 40, &b);
        ck_assert(a.group != b.group);
        ck_assert(a.prompt > 1024 && a.prompt <= 1224 && a.answer >= 1 && a.answer <= 50);
    }
    chains_close(&c);
}
END_TEST

START_TEST(a_broker_reads_group_by_group)
{
    struct chains *c = drawn(1000, 40, 1024);
    struct chain_row a, b;
    int changes = 0;

    chains_sort(c);
    for (int64_t i = 1; i < 1000; i++) {
        chains_at(c, i - 1, &a);
        chains_at(c, i, &b);
        changes += a.group != b.group;
        ck_assert(a.group != b.group || a.pieces[0] == b.pieces[0]);
    }
    ck_assert_int_eq(changes, 39);
    chains_close(&c);
}
END_TEST

START_TEST(a_short_beginning_groups_nobody)
{
    struct chains *c = drawn(100, 4, 48); /* under the 64 tokens that prefix.h looks at first */
    struct chain_row r;

    for (int64_t i = 0; i < 100; i++) {
        chains_at(c, i, &r);
        ck_assert_int_eq(r.group, 0);
    }
    chains_close(&c);
}
END_TEST

START_TEST(the_best_is_each_beginning_once)
{
    struct chains *c = drawn(1000, 40, 1024);

    ck_assert_int_eq(chains_best(c), (1000 - 40) * 1024);
    ck_assert_int_gt(chains_prompt_tokens(c), 1000 * 1024);
    chains_close(&c);
}
END_TEST

static int read_text(struct chains **c, const char *text, struct errmsg *e)
{
    char command[1200];
    const char *path = test_file("trace.jsonl", text, strlen(text));

    snprintf(command, sizeof command, "xz -f '%s'", path);
    ck_assert_int_eq(system(command), 0);
    snprintf(command, sizeof command, "%s.xz", path);
    return chains_read(c, command, e);
}

START_TEST(a_trace_names_every_512_tokens)
{
    struct chains *c;
    struct chain_row r;
    struct errmsg e;

    ck_assert_int_eq(
        read_text(&c,
                  "{\"input_length\": 1100, \"output_length\": 5, \"hash_ids\": [0, 1, 2]}\n"
                  "{\"input_length\": 1024, \"output_length\": 7, \"hash_ids\": [0, 1]}\n"
                  "{\"input_length\": 520, \"output_length\": 9, \"hash_ids\": [0, 3]}\n",
                  &e),
        ERR_OK);
    chains_at(c, 0, &r);
    ck_assert_int_eq(r.n, 3);
    ck_assert_int_eq(chains_tokens(c, r.pieces[2]), 64); /* whole blocks of 76 tokens */
    chains_at(c, 1, &r);
    ck_assert_int_eq(r.n, 1); /* CN1: a token is left to compute */
    chains_at(c, 2, &r);
    ck_assert_int_eq(r.n, 1);
    ck_assert_int_eq(chains_best(c), 2 * 512);
    chains_close(&c);
}
END_TEST

START_TEST(a_wrong_line_is_named)
{
    struct chains *c;
    struct errmsg e;

    ck_assert_int_eq(
        read_text(&c,
                  "{\"input_length\": 512, \"output_length\": 5, \"hash_ids\": [0]}\n"
                  "{\"input_length\": 1024, \"output_length\": 5, \"hash_ids\": [0]}\n",
                  &e),
        ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, ":2: "));
    ck_assert_int_eq(chains_read(&c, "nowhere/trace.xz", &e), ERR_IO);
    ck_assert_int_eq(chains_draw(&c, 0, 1, 16, 1, 1, &e), ERR_ARG);
}
END_TEST

START_TEST(siblings_find_what_the_first_of_them_left)
{
    struct chains *c = drawn(8, 2, 256);
    struct sharing *s;
    int32_t woken, shared;

    ck_assert_int_eq(sharing_open(&s, c), ERR_OK);
    ck_assert_int_eq(sharing_begin(s, 0, &woken), 0);
    ck_assert_int_eq(sharing_begin(s, 2, &woken), 256); /* in the same step */
    ck_assert_int_eq(woken, 0);
    ck_assert_int_eq(sharing_begin(s, 1, &woken), 0); /* the other beginning */
    ck_assert_int_eq(sharing_end(s, 0, 300, &shared), 0);
    ck_assert_int_eq(shared, 256);
    sharing_fit(s, 0);
    ck_assert_int_eq(sharing_begin(s, 4, &woken), 256); /* SH2: row 2 uses it */
    ck_assert_int_eq(sharing_end(s, 2, 300, &shared), 0);
    ck_assert_int_eq(sharing_end(s, 4, 300, &shared), 256);
    ck_assert_int_eq(sharing_kept(s), 256);
    ck_assert_int_eq(sharing_begin(s, 6, &woken), 256);
    ck_assert_int_eq(woken, 256);
    ck_assert_int_eq(sharing_end(s, 6, 300, &shared), 256);
    sharing_fit(s, 255);
    ck_assert_int_eq(sharing_kept(s), 0);
    ck_assert_int_eq(sharing_begin(s, 6, &woken), 0);
    sharing_close(&s);
    chains_close(&c);
}
END_TEST

START_TEST(what_was_not_computed_is_not_kept)
{
    struct chains *c = drawn(4, 1, 256);
    struct sharing *s;
    int32_t woken, shared;

    ck_assert_int_eq(sharing_open(&s, c), ERR_OK);
    ck_assert_int_eq(sharing_begin(s, 0, &woken), 0);
    ck_assert_int_eq(sharing_end(s, 0, 255, &shared), 0);
    ck_assert_int_eq(shared, 0);
    ck_assert_int_eq(sharing_begin(s, 1, &woken), 0);
    sharing_close(&s);
    chains_close(&c);
}
END_TEST

START_TEST(the_longest_unused_goes_first_and_a_chain_from_its_end)
{
    struct chains *c;
    struct sharing *s;
    struct errmsg e;
    int32_t woken, shared;

    ck_assert_int_eq(
        read_text(&c,
                  "{\"input_length\": 1030, \"output_length\": 5, \"hash_ids\": [0, 1, 4]}\n"
                  "{\"input_length\": 1030, \"output_length\": 5, \"hash_ids\": [2, 3, 5]}\n",
                  &e),
        ERR_OK);
    ck_assert_int_eq(sharing_open(&s, c), ERR_OK);
    for (int i = 0; i < 2; i++) {
        (void)sharing_begin(s, i, &woken);
        ck_assert_int_eq(sharing_end(s, i, 1030, &shared), 1024);
    }
    sharing_fit(s, 1600);
    ck_assert_int_eq(sharing_kept(s), 1536);
    ck_assert_int_eq(sharing_begin(s, 0, &woken), 512); /* SH1: its end went */
    ck_assert_int_eq(sharing_begin(s, 1, &woken), 1024);
    sharing_close(&s);
    chains_close(&c);
}
END_TEST

/* --- an instance that shares --- */

struct shared_run {
    double end_s;
    int64_t cached, prompt, put_back;
};

/* All rows at once, on one instance. */
static struct shared_run run_batch(const struct chains *c, int64_t kv_tokens, bool by_step)
{
    static const struct perf PERF = {
        .k0 = 5, .kw = 3, .k1 = 0.05, .k2 = 1e-4, .k3 = 0.1, .k4 = 1e-3};
    struct seq_list list = SEQ_LIST_EMPTY, ended;
    struct shared_run out = {0};
    struct batching b;
    struct chain_row r;
    struct seqs p;
    int64_t done = 0;

    seqs_init(&p);
    batching_init(&b, &PERF, kv_tokens, 16, 300);
    b.by_step = by_step;
    ck_assert_int_eq(sharing_open(&b.sharing, c), ERR_OK);
    for (int64_t i = 0; i < chains_count(c); i++) {
        const int32_t s = seqs_take(&p);

        chains_at(c, i, &r);
        p.at[s] = (struct seq){.job_id = i + 1, .prompt = r.prompt, .answer = r.answer};
        seq_list_add(&p, &list, s);
    }
    ck_assert_int_eq(batching_add(&b, &p, list, 0), ERR_OK);
    while (!isinf(batching_due_s(&b))) {
        out.end_s = batching_due_s(&b);
        ck_assert_int_eq(batching_advance(&b, &p, &ended), ERR_OK);
        ck_assert_int_le(b.kv_used, kv_tokens);
        done += ended.n;
        seqs_free(&p, ended.first);
    }
    ck_assert_int_eq(done, chains_count(c));
    ck_assert_int_eq(b.kv_used, 0); /* what each took was given back, the shared once */
    out.cached = b.cached_tokens;
    out.prompt = b.prompt_tokens;
    out.put_back = b.put_back;
    sharing_close(&b.sharing);
    batching_fini(&b, &p);
    seqs_fini(&p);
    return out;
}

START_TEST(an_instance_with_room_computes_each_beginning_once)
{
    struct chains *c = drawn(60, 3, 256);
    struct shared_run r = run_batch(c, 100000, false);

    ck_assert_int_eq(r.cached, chains_best(c));
    ck_assert_int_eq(r.prompt, chains_prompt_tokens(c));
    chains_close(&c);
}
END_TEST

START_TEST(with_little_room_shared_tokens_count_once)
{
    struct chains *c = answering(60, 3, 256, 400);
    struct shared_run tight = run_batch(c, 900, false), wide = run_batch(c, 9000, false);

    ck_assert_int_gt(tight.put_back, 0);
    ck_assert_int_lt(tight.cached, wide.cached);
    ck_assert_double_gt(tight.end_s, wide.end_s);
    chains_close(&c);
}
END_TEST

START_TEST(steps_in_closed_form_share_alike)
{
    for (int64_t kv = 860; kv < 4000; kv += 97) {
        struct chains *c = answering(60, 5, 256, 400);
        struct shared_run a = run_batch(c, kv, false), b = run_batch(c, kv, true);

        ck_assert_double_eq_tol(a.end_s, b.end_s, 1e-9 * b.end_s);
        ck_assert_int_eq(a.cached, b.cached);
        ck_assert_int_eq(a.put_back, b.put_back);
        chains_close(&c);
    }
}
END_TEST

/* Counted by another program: the sum over rows of whole blocks of 16 of every named piece, less
 * each piece once. */
START_TEST(the_published_trace_is_read)
{
    struct chains *c;
    struct chain_row r;
    struct errmsg e;
    int64_t grouped = 0;

    ck_assert_int_eq(chains_read(&c, test_data("traces/mooncake_conversation.jsonl.xz"), &e),
                     ERR_OK);
    ck_assert_int_eq(chains_count(c), 12031);
    ck_assert_int_eq(chains_prompt_tokens(c), 144793823);
    ck_assert_int_eq(chains_best(c), 54093344);
    for (int64_t i = 0; i < chains_count(c); i++) {
        chains_at(c, i, &r);
        grouped += r.group != 0;
    }
    ck_assert_int_eq(grouped, 12031); /* they all begin with the same 512 tokens */
    chains_close(&c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("chains");
    TCase *t = tcase_create("chains");

    tcase_add_test(t, rows_behind_one_beginning_are_one_group);
    tcase_add_test(t, a_broker_reads_group_by_group);
    tcase_add_test(t, a_short_beginning_groups_nobody);
    tcase_add_test(t, the_best_is_each_beginning_once);
    tcase_add_test(t, a_trace_names_every_512_tokens);
    tcase_add_test(t, a_wrong_line_is_named);
    tcase_add_test(t, siblings_find_what_the_first_of_them_left);
    tcase_add_test(t, what_was_not_computed_is_not_kept);
    tcase_add_test(t, the_longest_unused_goes_first_and_a_chain_from_its_end);
    tcase_add_test(t, an_instance_with_room_computes_each_beginning_once);
    tcase_add_test(t, with_little_room_shared_tokens_count_once);
    tcase_add_test(t, steps_in_closed_form_share_alike);
    if (test_has_data()) tcase_add_test(t, the_published_trace_is_read);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
