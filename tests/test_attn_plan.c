/* test_attn_plan.c - kernels/attn_plan: every token once, in pieces that do not depend on others.
 */
#include "kernels/attn_plan.h"

#include <string.h>

#include "kernels/ops.h"
#include "tests/test.h"

#define MAX_S 40
#define MAX_T 4000

static int32_t pos[MAX_T], start[MAX_S + 1];
static struct ragged step;

static void step_clear(void)
{
    step = (struct ragged){.pos = pos, .start = start};
    start[0] = 0;
}

/* A sequence with n tokens, the first at position first. */
static void step_add(int first, int n)
{
    for (int i = 0; i < n; i++)
        pos[step.T++] = first + i;
    start[++step.S] = step.T;
}

/* The step's plan; the next call overwrites it. */
static const struct attn_plan *plan_of(bool all_tiles)
{
    static _Alignas(16) char memory[1 << 20];
    struct attn_plan *p = (void *)memory;

    ck_assert_uint_le(attn_plan_bytes(step.T, step.S), sizeof memory);
    attn_plan_make(p, &step, all_tiles);
    ck_assert_uint_le((size_t)p->bytes, attn_plan_bytes(step.T, step.S));
    return p;
}

static const void *list_at(const struct attn_plan *p, int32_t at)
{
    ck_assert_int_ge(at, (int)sizeof *p);
    ck_assert_int_le(at, p->bytes);
    ck_assert_int_eq(at % 4, 0);
    return (const char *)p + at;
}

static void random_step(unsigned *seed)
{
    step_clear();
    for (int s = 0; s < MAX_S; s++) {
        const int kind = rand_r(seed) % 4, far = 1 << rand_r(seed) % 17;

        step_add(rand_r(seed) % far, kind == 0 ? 0 : kind < 3 ? 1 : 1 + rand_r(seed) % 90);
    }
}

/* AP2: marks the tokens of a list of tiles. */
static void tiles_cover(const struct attn_plan *p, int list, uint8_t *times)
{
    const struct attn_tile *t = list_at(p, p->tiles_at[list]);

    for (int i = 0; i < p->n_tiles[list]; i++, t++) {
        ck_assert_int_ge(t->n, 1);
        ck_assert_int_le(t->n, ATTN_TILE << list);
        ck_assert_int_ge(t->token, start[t->seq]);
        ck_assert_int_le(t->token + t->n, start[t->seq + 1]);
        ck_assert_int_eq(t->pos, pos[t->token]);
        ck_assert_int_eq((t->token - start[t->seq]) % (ATTN_TILE << list), 0);
        for (int j = 0; j < t->n; j++)
            times[t->token + j]++;
    }
}

/* AP2: of each part its split, and of each token how many positions its splits hold. */
static void splits_cover(const struct attn_plan *p, int *positions, uint8_t *parts)
{
    const struct attn_split *s = list_at(p, p->splits_at);

    for (int i = 0; i < p->n_splits; i++, s++) {
        ck_assert_int_eq(start[s->seq], s->token);
        ck_assert_int_eq(start[s->seq + 1] - start[s->seq], 1);
        ck_assert_int_eq(s->pos, pos[s->token]);
        ck_assert_int_lt(s->from, s->to);
        ck_assert_int_le(s->to, s->pos + 1);
        positions[s->token] += s->to - s->from;
        if (s->part < 0)
            ck_assert(s->from == 0 && s->to == s->pos + 1);
        else
            parts[s->part]++;
    }
}

START_TEST(AP2_each_token_is_in_one_tile_of_each_list_or_in_its_splits)
{
    unsigned seed = 7;

    for (int round = 0; round < 50; round++) {
        static uint8_t parts[MAX_S * ATTN_MAX_SPLITS];
        static int positions[MAX_T];
        const struct attn_plan *p;

        random_step(&seed);
        p = plan_of(round % 3 == 0);
        memset(parts, 0, sizeof parts);
        memset(positions, 0, sizeof positions);
        splits_cover(p, positions, parts);
        for (int i = 0; i < p->n_parts; i++)
            ck_assert_int_eq(parts[i], 1);
        for (int list = 0; list < ATTN_TILE_LISTS; list++) {
            uint8_t times[MAX_T] = {0};

            tiles_cover(p, list, times);
            for (int t = 0; t < step.T; t++)
                ck_assert(positions[t] ? positions[t] == pos[t] + 1 && !times[t] : times[t] == 1);
        }
    }
}
END_TEST

START_TEST(a_merge_names_the_parts_of_its_token_in_the_order_of_their_positions)
{
    unsigned seed = 8;

    for (int round = 0; round < 50; round++) {
        const struct attn_merge *m;
        const struct attn_split *s;
        const struct attn_plan *p;
        int n_parts = 0;

        random_step(&seed);
        p = plan_of(false);
        m = list_at(p, p->merges_at);
        s = list_at(p, p->splits_at);
        for (int i = 0; i < p->n_merges; i++) {
            int found = 0;

            for (int j = 0; j < p->n_splits; j++) {
                if (s[j].token != m[i].token) continue;
                ck_assert_int_eq(s[j].from, (s[j].part - m[i].part) * m[i].size);
                found++;
            }
            ck_assert_int_eq(found, m[i].n);
            ck_assert_int_eq(m[i].pos, pos[m[i].token]);
            n_parts += m[i].n;
        }
        ck_assert_int_eq(n_parts, p->n_parts);
    }
}
END_TEST

START_TEST(a_split_is_256_positions_until_32_of_them_are_too_few)
{
    const struct {
        int at, n, size;
    } cases[] = {{255, 1, 0},     {256, 2, 256},    {8191, 32, 256},
                 {8192, 17, 512}, {16383, 32, 512}, {131071, 32, 4096}};

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct attn_plan *p;

        step_clear();
        step_add(cases[i].at, 1);
        p = plan_of(false);
        ck_assert_int_eq(p->n_splits, cases[i].n);
        ck_assert_int_eq(p->n_merges, cases[i].n > 1);
        if (p->n_merges)
            ck_assert_int_eq(((const struct attn_merge *)list_at(p, p->merges_at))->size,
                             cases[i].size);
        ck_assert_uint_le((size_t)p->n_parts,
                          attn_plan_parts(1, cases[i].at / KV_BLOCK_TOKENS + 1));
    }
}
END_TEST

START_TEST(AP1_the_splits_of_a_token_do_not_depend_on_the_step)
{
    struct attn_split alone[ATTN_MAX_SPLITS];
    const struct attn_split *s;
    const struct attn_plan *p;
    int n, base, found = 0;

    step_clear();
    step_add(5000, 1);
    p = plan_of(false);
    n = p->n_splits;
    memcpy(alone, list_at(p, p->splits_at), (size_t)n * sizeof *alone);
    step_clear();
    step_add(70, 33);
    step_add(300, 1);
    step_add(5000, 1);
    step_add(9, 1);
    p = plan_of(false);
    s = list_at(p, p->splits_at);
    base = ((const struct attn_merge *)list_at(p, p->merges_at))[1].part;
    for (int i = 0; i < p->n_splits; i++) {
        if (s[i].token != 34) continue;
        ck_assert_int_eq(s[i].from, alone[found].from);
        ck_assert_int_eq(s[i].to, alone[found].to);
        ck_assert_int_eq(s[i].part - base, alone[found].part);
        found++;
    }
    ck_assert_int_eq(found, n);
}
END_TEST

START_TEST(AP3_the_longest_pieces_come_first)
{
    unsigned seed = 10;
    const struct attn_plan *p;
    const struct attn_split *s;
    const struct attn_tile *t;

    random_step(&seed);
    p = plan_of(false);
    s = list_at(p, p->splits_at);
    t = list_at(p, p->tiles_at[1]);
    for (int i = 1; i < p->n_splits; i++) /* about: lengths are told apart in steps of 1/63 */
        ck_assert_int_le(s[i].to - s[i].from, s[i - 1].to - s[i - 1].from + 65536 / 60);
    for (int i = 1; i < p->n_tiles[1]; i++)
        ck_assert_int_le(t[i].pos + t[i].n, t[i - 1].pos + t[i - 1].n + 65536 / 60);
}
END_TEST

START_TEST(AP4_tokens_that_decode_are_as_many_tiles_wherever_they_are)
{
    const struct attn_plan *p;

    for (int far = 1; far < 100000; far *= 7) {
        step_clear();
        for (int s = 0; s < 12; s++)
            step_add(far + s * 31, 1);
        p = plan_of(true);
        ck_assert_int_eq(p->n_splits + p->n_merges, 0);
        for (int i = 0; i < ATTN_TILE_LISTS; i++)
            ck_assert_int_eq(p->n_tiles[i], 12);
        p = plan_of(false);
        for (int i = 0; i < ATTN_TILE_LISTS; i++)
            ck_assert_int_eq(p->n_tiles[i], 0);
    }
}
END_TEST

START_TEST(a_step_without_tokens_has_no_pieces)
{
    const struct attn_plan *p;

    step_clear();
    step_add(0, 0);
    p = plan_of(false);
    ck_assert_int_eq(p->n_splits + p->n_merges + p->n_parts, 0);
    for (int i = 0; i < ATTN_TILE_LISTS; i++)
        ck_assert_int_eq(p->n_tiles[i], 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("attn_plan");
    TCase *c = tcase_create("plan");

    tcase_add_test(c, AP2_each_token_is_in_one_tile_of_each_list_or_in_its_splits);
    tcase_add_test(c, a_merge_names_the_parts_of_its_token_in_the_order_of_their_positions);
    tcase_add_test(c, a_split_is_256_positions_until_32_of_them_are_too_few);
    tcase_add_test(c, AP1_the_splits_of_a_token_do_not_depend_on_the_step);
    tcase_add_test(c, AP3_the_longest_pieces_come_first);
    tcase_add_test(c, AP4_tokens_that_decode_are_as_many_tiles_wherever_they_are);
    tcase_add_test(c, a_step_without_tokens_has_no_pieces);
    suite_add_tcase(s, c);
    return s;
}

TEST_MAIN(suite)
