/* test_chooser.c - worker/chooser, mask, penalty: what a row's logits become before the choice. */
#include <math.h>
#include <string.h>

#include "kernels/scores.h"
#include "model/config.h"
#include "tests/test.h"
#include "worker/chooser.h"
#include "worker/mask.h"
#include "worker/penalty.h"
#include "worker/seq.h"

#define V 70

static struct model_config config;
static struct chooser *chooser;
static struct seq *seq;
static float logits[V];

static void set_up(void)
{
    struct errmsg e;

    memset(&config, 0, sizeof config);
    config.vocab_size = V;
    config.n_eos = 1;
    config.eos_ids[0] = 65;
    ck_assert_int_eq(chooser_open(&chooser, V, &e), ERR_OK);
}

static void tear_down(void)
{
    seq_free(&seq);
    chooser_close(&chooser);
}

/* A sequence with the prompt 1 2 2 3 and the answer 3 4 4 so far; token i has the logit 1 + i/100,
 * token 0 has -2. */
static void start(struct sampling p)
{
    seq_free(&seq);
    p.top_p = 1;
    seq = seq_new((int32_t[]){1, 2, 2, 3}, 4, &p, 20);
    ck_assert_ptr_nonnull(seq);
    memcpy(seq->out, (int32_t[]){3, 4, 4}, 3 * sizeof *seq->out);
    seq->n_out = 3;
    for (int i = 0; i < V; i++)
        logits[i] = i ? 1 + (float)i / 100 : -2;
}

static int32_t pick(void)
{
    return chooser_pick(chooser, seq, logits, &config);
}

START_TEST(without_wishes_the_logits_are_left_alone)
{
    start((struct sampling){0});
    ck_assert_int_eq(pick(), V - 1);
    ck_assert_float_eq(logits[3], 1.03f);
}
END_TEST

START_TEST(presence_counts_a_token_of_the_answer_once_and_frequency_each_time)
{
    start((struct sampling){.presence_penalty = 0.5f, .frequency_penalty = 0.125f});
    pick();
    ck_assert_float_eq_tol(logits[2], 1.02f, 1e-6f); /* of the prompt only */
    ck_assert_float_eq_tol(logits[3], 1.03f - 0.5f - 0.125f, 1e-6f);
    ck_assert_float_eq_tol(logits[4], 1.04f - 0.5f - 0.25f, 1e-6f);
    ck_assert_float_eq_tol(logits[5], 1.05f, 1e-6f);
}
END_TEST

START_TEST(repetition_divides_what_is_positive_and_multiplies_what_is_not_once)
{
    start((struct sampling){.repetition_penalty = 2});
    logits[2] = -0.5f;
    pick();
    ck_assert_float_eq_tol(logits[1], 1.01f / 2, 1e-6f);
    ck_assert_float_eq_tol(logits[2], -1, 1e-6f); /* twice in the prompt, once here */
    ck_assert_float_eq_tol(logits[4], 1.04f / 2, 1e-6f);
    ck_assert_float_eq_tol(logits[5], 1.05f, 1e-6f);
    ck_assert_float_eq_tol(logits[0], -2, 1e-6f);
}
END_TEST

START_TEST(what_was_seen_is_forgotten_between_rows)
{
    uint64_t seen[2] = {0};

    start((struct sampling){.repetition_penalty = 2, .presence_penalty = 1});
    ck_assert(penalty_is_needed(seq));
    penalty_row(logits, seq, seen);
    ck_assert(seen[0] == 0 && seen[1] == 0);
    ck_assert_float_eq_tol(logits[3], 1.03f / 2 - 1, 1e-6f); /* both, one behind the other */
    start((struct sampling){.repetition_penalty = 1});
    ck_assert(!penalty_is_needed(seq));
}
END_TEST

START_TEST(a_bias_is_added_to_its_token)
{
    static const struct bias b[] = {{7, 5}, {69, -100}};

    start((struct sampling){.biases = b, .n_biases = 2});
    ck_assert_int_eq(pick(), 7);
    ck_assert_float_eq_tol(logits[69], 1.69f - 100, 1e-4f);
}
END_TEST

START_TEST(only_allowed_ids_come)
{
    uint64_t set[2] = {0};

    mask_put(set, 64), mask_put(set, 12);
    ck_assert_uint_eq(mask_words(V), 2);
    ck_assert(mask_has(set, 64) && mask_has(set, 12) && !mask_has(set, 13));
    start((struct sampling){.allowed = set, .temperature = 5});
    for (int i = 0; i < 300; i++) {
        int32_t id;

        start((struct sampling){.allowed = set, .temperature = 5, .seed = (uint64_t)i});
        id = pick();
        ck_assert(id == 64 || id == 12);
    }
}
END_TEST

START_TEST(no_end_comes_before_min_tokens)
{
    static const int32_t stops[] = {69, 68};
    struct sampling p = {.min_tokens = 4, .stop_ids = stops, .n_stop_ids = 2};

    start(p); /* three are there: this is the fourth */
    logits[65] = 9;
    ck_assert_int_eq(pick(), 67);
    ck_assert(isinf(logits[65]) && isinf(logits[68]) && isinf(logits[69]));
    p.ignore_eos = true; /* then the end token is one like others */
    start(p);
    logits[65] = 9;
    ck_assert_int_eq(pick(), 65);
    p.min_tokens = 3;
    start(p);
    ck_assert_int_eq(pick(), 69);
}
END_TEST

START_TEST(logprobs_are_those_of_the_logits_as_they_came)
{
    static const struct bias b[] = {{7, 50}};
    double all = 0;
    const struct logprob *l;

    start((struct sampling){.biases = b,
                            .n_biases = 1,
                            .temperature = 0,
                            .presence_penalty = 1,
                            .logprobs = true,
                            .top_logprobs = 3});
    for (int i = 0; i < V; i++)
        all += exp((double)logits[i]);
    ck_assert_int_eq(pick(), 7);
    l = seq_logprobs(seq, seq->n_out);
    ck_assert_int_eq(l[0].id, 7);
    ck_assert_float_eq_tol(l[0].logprob, (float)(1.07 - log(all)), 1e-5f);
    for (int k = 0; k < 3; k++) {
        ck_assert_int_eq(l[1 + k].id, V - 1 - k);
        ck_assert_float_eq_tol(l[1 + k].logprob, (float)(1 + (V - 1 - k) / 100.0 - log(all)),
                               1e-5f);
    }
}
END_TEST

START_TEST(where_few_tokens_can_come_the_rest_of_the_top_is_none)
{
    const struct logprob *l;

    start((struct sampling){.logprobs = true, .top_logprobs = 5});
    for (int i = 0; i < V; i++)
        logits[i] = i == 3 || i == 9 ? 0 : -INFINITY;
    ck_assert_int_eq(pick(), 3);
    l = seq_logprobs(seq, seq->n_out);
    ck_assert_int_eq(l[1].id, 3);
    ck_assert_int_eq(l[2].id, 9);
    ck_assert_float_eq_tol(l[2].logprob, -0.6931472f, 1e-6f);
    ck_assert_int_eq(l[3].id, -1);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("chooser");
    TCase *t = tcase_create("chooser");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, without_wishes_the_logits_are_left_alone);
    tcase_add_test(t, presence_counts_a_token_of_the_answer_once_and_frequency_each_time);
    tcase_add_test(t, repetition_divides_what_is_positive_and_multiplies_what_is_not_once);
    tcase_add_test(t, what_was_seen_is_forgotten_between_rows);
    tcase_add_test(t, a_bias_is_added_to_its_token);
    tcase_add_test(t, only_allowed_ids_come);
    tcase_add_test(t, no_end_comes_before_min_tokens);
    tcase_add_test(t, logprobs_are_those_of_the_logits_as_they_came);
    tcase_add_test(t, where_few_tokens_can_come_the_rest_of_the_top_is_none);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
