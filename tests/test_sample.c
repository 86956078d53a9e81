/* test_sample.c - worker/sample: which token is chosen, and how often. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/test.h"
#include "worker/engine.h"
#include "worker/sample.h"

#define V     8
#define DRAWS 20000

static const struct sampling PLAIN = {.temperature = 1, .top_p = 1, .seed = 42};
/* probabilities 0.4 0.05 0.2 0.1 0.1 0.05 0.05 0.05 */
static const double P[V] = {0.4, 0.05, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05};
static float logits[V];

static void logits_init(void)
{
    for (int i = 0; i < V; i++)
        logits[i] = (float)log(P[i]) + 3;
}

/* How often each token comes out of DRAWS positions. */
static void tally(const struct sampling *p, int times[V])
{
    struct candidate scratch[V];

    memset(times, 0, V * sizeof *times);
    for (int i = 0; i < DRAWS; i++)
        times[sample_token(logits, V, p, i, scratch)]++;
}

/* Within five standard deviations of the share expected. */
static void check_shares(const int times[V], const double share[V])
{
    for (int i = 0; i < V; i++) {
        const double sd = sqrt(share[i] * (1 - share[i]) * DRAWS);

        ck_assert_msg(fabs(times[i] - share[i] * DRAWS) <= 5 * sd, "token %d: %d of %d, not %g", i,
                      times[i], DRAWS, share[i]);
    }
}

START_TEST(greedy_takes_the_largest_and_the_lowest_id_of_equals)
{
    struct sampling p = PLAIN;
    float ties[V] = {1, 5, 2, 5, 5, NAN, -INFINITY, 0};

    p.temperature = 0;
    p.top_k = 3;
    ck_assert_int_eq(sample_token(ties, V, &p, 0, NULL), 1);
    ties[0] = 6;
    ck_assert_int_eq(sample_token(ties, V, &p, 9, NULL), 0);
}
END_TEST

START_TEST(draws_follow_the_probabilities)
{
    int times[V];

    logits_init();
    tally(&PLAIN, times);
    check_shares(times, P);
}
END_TEST

START_TEST(temperature_divides_the_logits)
{
    struct sampling p = PLAIN;
    double share[V], sum = 0;
    int times[V];

    logits_init();
    p.temperature = 0.5f;
    for (int i = 0; i < V; i++)
        sum += share[i] = P[i] * P[i];
    for (int i = 0; i < V; i++)
        share[i] /= sum;
    tally(&p, times);
    check_shares(times, share);
}
END_TEST

START_TEST(top_k_keeps_the_k_largest_lower_ids_first)
{
    struct sampling p = PLAIN;
    int times[V];

    logits_init();
    p.top_k = 3; /* 3 and 4 are equal: 3 stays */
    tally(&p, times);
    check_shares(times, (double[V]){4.0 / 7, 0, 2.0 / 7, 1.0 / 7});
    p.top_k = 1;
    tally(&p, times);
    ck_assert_int_eq(times[0], DRAWS);
    p.top_k = 100;
    tally(&p, times);
    check_shares(times, P);
}
END_TEST

START_TEST(top_p_keeps_the_smallest_set_that_reaches_it)
{
    struct sampling p = PLAIN;
    int times[V];

    logits_init();
    p.top_p = 0.65f; /* 0.4 + 0.2 is short of it */
    tally(&p, times);
    check_shares(times, (double[V]){4.0 / 7, 0, 2.0 / 7, 1.0 / 7});
    p.top_p = 1e-6f;
    tally(&p, times);
    ck_assert_int_eq(times[0], DRAWS);
}
END_TEST

START_TEST(top_p_counts_what_top_k_left)
{
    struct sampling p = PLAIN;
    int times[V];

    logits_init();
    p.top_k = 2;
    p.top_p = 0.6f; /* of 0.6: the first alone has two thirds */
    tally(&p, times);
    ck_assert_int_eq(times[0], DRAWS);
}
END_TEST

START_TEST(min_p_is_a_share_of_the_largest)
{
    struct sampling p = PLAIN;
    int times[V];

    logits_init();
    p.min_p = 0.2f; /* of 0.4: from 0.08 */
    tally(&p, times);
    check_shares(times, (double[V]){0.5, 0, 0.25, 0.125, 0.125});
    p.min_p = 1;
    tally(&p, times);
    ck_assert_int_eq(times[0], DRAWS);
}
END_TEST

START_TEST(a_large_vocabulary_is_cut_like_a_sorted_one)
{
    enum { N = 2000, TIMES = 3000 };
    static float many[N];
    static struct candidate scratch[N];
    struct sampling p = PLAIN;
    bool seen[N] = {false};

    /* token (i * 1009) % N has the i-th largest logit; the first 1000 all but equal */
    for (int i = 0; i < N; i++)
        many[i * 1009 % N] = i < 1000 ? 10.0f - (float)i * 1e-4f : -20.0f;
    p.top_p = 0.5f;
    for (int i = 0; i < TIMES; i++)
        seen[sample_token(many, N, &p, i, scratch)] = true;
    for (int i = 0; i < N; i++) /* half of the weight lies in the first 488 */
        ck_assert_msg(!seen[i * 1009 % N] || i < 490, "rank %d was drawn", i);
    p.top_p = 1;
    p.top_k = 100;
    memset(seen, 0, sizeof seen);
    for (int i = 0; i < TIMES; i++)
        seen[sample_token(many, N, &p, i, scratch)] = true;
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seen[i * 1009 % N], i < 100);
}
END_TEST

/* What sampling means, plainly: sort everything, cut, draw. */
#define MANY 3000

static int by_plain_rank(const void *ap, const void *bp)
{
    const struct candidate *a = ap, *b = bp;

    if (a->logit != b->logit) return a->logit > b->logit ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* How many of c[0..n), sorted, may come. */
static int plain_cut(struct candidate *c, int n, const struct sampling *p)
{
    double all = 0, sum = 0;

    while (n > 1 && (double)c[n - 1].weight < (double)p->min_p)
        n--;
    if (p->top_k && p->top_k < n) n = p->top_k;
    for (int i = 0; i < n; i++)
        all += (double)c[i].weight;
    for (int i = 0; i < n && p->top_p < 1; i++)
        if ((sum += (double)c[i].weight) >= (double)p->top_p * all) return i + 1;
    return n;
}

/* The rank from which on the first n together are drawn one time in two hundred. */
static int rare_rank(const struct candidate *c, int n)
{
    double all = 0, tail = 0;
    int rank = n;

    for (int i = 0; i < n; i++)
        all += (double)c[i].weight;
    while (rank > 0 && tail < all / 200)
        tail += (double)c[--rank].weight;
    return rank;
}

/* Is the chosen one among those that may come, and does every weight decide as it should? */
START_TEST(cuts_on_a_large_vocabulary_are_those_of_a_full_sort)
{
    static float many[MANY];
    static struct candidate scratch[MANY], c[MANY];
    uint64_t dice = (uint64_t)_i + 1;
    bool seen[MANY] = {false};
    int n, most = 0;
    struct sampling p = {.temperature = 0.3f + (float)(_i % 5) * 0.5f,
                         .top_p = _i % 3 ? 1 : 0.5f + (float)(_i % 4) * 0.12f,
                         .top_k = _i % 2 ? 0 : 1 + _i * 7,
                         .min_p = _i % 4 == 1 ? 0.01f : 0,
                         .seed = (uint64_t)_i};

    for (int i = 0; i < MANY; i++) {
        dice = dice * 6364136223846793005u + 1442695040888963407u;
        many[i] = powf((float)(dice >> 40) * 0x1p-24f, 6) * 40; /* few stand near the top */
        if (i % 50 == 3) many[i] = many[i / 2];                 /* equals */
    }
    for (int i = 0; i < MANY; i++) {
        const float top = many[sample_token(many, MANY, &(struct sampling){0}, 0, NULL)];

        c[i] = (struct candidate){many[i], expf((many[i] - top) / p.temperature), i};
    }
    qsort(c, MANY, sizeof *c, by_plain_rank);
    n = plain_cut(c, MANY, &p);
    for (int i = 0; i < 4000; i++)
        seen[sample_token(many, MANY, &p, i, scratch)] = true;
    for (int i = 0; i < MANY; i++) {
        if (seen[c[i].id]) most = i;
        /* one at the edge may fall to either side: sums are rounded otherwise */
        ck_assert_msg(!seen[c[i].id] || i <= n, "rank %d was drawn, and %d may come", i, n);
    }
    ck_assert_int_ge(most, rare_rank(c, n)); /* and not fewer */
}
END_TEST

START_TEST(the_top_are_those_of_a_full_sort)
{
    static float many[MANY];
    static struct candidate scratch[MANY];
    float few[5] = {1, -INFINITY, 3, NAN, 2};

    for (int i = 0; i < MANY; i++)
        many[i * 1009 % MANY] = i < 40 ? 3.0f - (float)(i / 2) : -200.0f - (float)i;
    ck_assert_int_eq(sample_top(many, MANY, 60, scratch), 60);
    for (int i = 0; i < 60; i++) {
        const int pair = i / 2 * 2, a = pair * 1009 % MANY, b = (pair + 1) * 1009 % MANY;

        if (i < 40)
            ck_assert_int_eq(scratch[i].id, (i % 2 == 0) == (a < b) ? a : b);
        else
            ck_assert_int_eq(scratch[i].id, i * 1009 % MANY);
    }
    ck_assert_int_eq(sample_top(few, 5, 4, scratch), 3); /* what is forbidden is no candidate */
    ck_assert_int_eq(scratch[0].id, 2);
    ck_assert_int_eq(scratch[2].id, 0);
}
END_TEST

/* SA1 */
START_TEST(the_same_seed_and_position_give_the_same_token)
{
    struct candidate scratch[V];
    struct sampling p = PLAIN, q = PLAIN;
    int differ = 0;

    logits_init();
    q.seed = 43;
    for (int i = 0; i < 200; i++) {
        const int32_t id = sample_token(logits, V, &p, i, scratch);

        differ += id != sample_token(logits, V, &q, i, scratch);
        ck_assert_int_eq(sample_token(logits, V, &p, i, scratch), id);
    }
    ck_assert_int_gt(differ, 50);
}
END_TEST

START_TEST(draws_of_neighbouring_seeds_and_positions_are_even)
{
    int bins[10] = {0};

    for (uint64_t seed = 0; seed < 100; seed++)
        for (int64_t position = 0; position < 100; position++) {
            const double u = sample_draw(seed, position);

            ck_assert(u >= 0 && u < 1);
            bins[(int)(u * 10)]++;
        }
    for (int i = 0; i < 10; i++)
        ck_assert_int_lt(abs(bins[i] - 1000), 150); /* five standard deviations */
}
END_TEST

START_TEST(extreme_logits_still_give_a_token)
{
    struct candidate scratch[V];
    struct sampling p = PLAIN;
    float only[V], wild[V] = {NAN, INFINITY, 1, 2, NAN, -INFINITY, 0, 0};

    for (int i = 0; i < V; i++)
        only[i] = i == 5 ? -3.0f : -INFINITY;
    p.temperature = 1e-6f;
    ck_assert_int_eq(sample_token(only, V, &p, 0, scratch), 5);
    p.temperature = 1e6f;
    ck_assert_int_eq(sample_token(only, V, &p, 0, scratch), 5);
    p.top_p = 0.9f, p.top_k = 2, p.min_p = 0.1f;
    ck_assert_int_eq(sample_token(only, V, &p, 0, scratch), 5);
    ck_assert_int_lt(sample_token(wild, V, &p, 0, scratch), V);
}
END_TEST

START_TEST(no_finite_logits_give_no_token)
{
    static const float TOPS[] = {NAN, -INFINITY, INFINITY};
    struct candidate scratch[V];
    struct sampling p = PLAIN;
    float x[V];

    for (int k = 0; k < 3; k++)
        for (int greedy = 0; greedy < 2; greedy++) {
            for (int i = 0; i < V; i++)
                x[i] = i % 3 ? NAN : TOPS[k];
            p.temperature = greedy ? 0 : 1;
            ck_assert_int_eq(sample_token(x, V, &p, 0, scratch), SAMPLE_NONE);
            x[4] = 2;
            ck_assert_int_eq(sample_token(x, V, &p, 0, scratch), k == 2 ? SAMPLE_NONE : 4);
        }
}
END_TEST

START_TEST(a_parameter_out_of_range_is_named)
{
    static const struct {
        struct sampling p;
        const char *name;
    } BAD[] = {
        {{.temperature = -1, .top_p = 1}, "temperature"},
        {{.temperature = NAN, .top_p = 1}, "temperature"},
        {{.top_p = 0}, "top_p"},
        {{.top_p = 1.5f}, "top_p"},
        {{.top_p = 1, .min_p = 2}, "min_p"},
        {{.top_p = 1, .top_k = -1}, "top_k"},
        {{.top_p = 1, .max_tokens = -1}, "max_tokens"},
        {{.top_p = 1, .max_tokens = 3, .min_tokens = 4}, "min_tokens"},
        {{.top_p = 1, .n = 129}, "n is 129"},
        {{.top_p = 1, .top_logprobs = 21}, "top_logprobs"},
        {{.top_p = 1, .presence_penalty = NAN}, "presence_penalty"},
        {{.top_p = 1, .repetition_penalty = -1}, "repetition_penalty"},
        {{.top_p = 1, .n_stops = 17}, "stop"},
        {{.top_p = 1, .n_stops = 1, .stops = {{"", 0}}}, "stop"},
    };
    struct errmsg e;

    ck_assert_int_eq(sample_check(&PLAIN, &e), ERR_OK);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_int_eq(sample_check(&BAD[i].p, &e), ERR_ARG);
        ck_assert_msg(strstr(e.text, BAD[i].name) != NULL, "%s", e.text);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("sample");
    TCase *t = tcase_create("sample");

    tcase_add_test(t, greedy_takes_the_largest_and_the_lowest_id_of_equals);
    tcase_add_test(t, draws_follow_the_probabilities);
    tcase_add_test(t, temperature_divides_the_logits);
    tcase_add_test(t, top_k_keeps_the_k_largest_lower_ids_first);
    tcase_add_test(t, top_p_keeps_the_smallest_set_that_reaches_it);
    tcase_add_test(t, top_p_counts_what_top_k_left);
    tcase_add_test(t, min_p_is_a_share_of_the_largest);
    tcase_add_test(t, a_large_vocabulary_is_cut_like_a_sorted_one);
    tcase_add_loop_test(t, cuts_on_a_large_vocabulary_are_those_of_a_full_sort, 0, 24);
    tcase_add_test(t, the_top_are_those_of_a_full_sort);
    tcase_add_test(t, the_same_seed_and_position_give_the_same_token);
    tcase_add_test(t, draws_of_neighbouring_seeds_and_positions_are_even);
    tcase_add_test(t, extreme_logits_still_give_a_token);
    tcase_add_test(t, no_finite_logits_give_no_token);
    tcase_add_test(t, a_parameter_out_of_range_is_named);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
