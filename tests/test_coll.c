/* test_coll.c - kernels/coll: what ranks do together, each on a thread of its own. */
#include "kernels/coll.h"

#include <string.h>

#include "kernels/pool.h"
#include "tests/test.h"

#define MAX_RANKS 5
#define COUNT     37

struct group {
    int n;
    struct coll *ranks[MAX_RANKS];
    struct stream *team;
    float x[MAX_RANKS][COUNT], y[MAX_RANKS * COUNT];
    int rounds, bad_rank, bad_round;
    int rc[MAX_RANKS];
};

static void open_group(struct group *g, int n)
{
    struct errmsg e;

    memset(g, 0, sizeof *g);
    g->n = n;
    g->bad_rank = g->bad_round = -1;
    ck_assert_int_eq(coll_threads()->open(g->ranks, NULL, n, DTYPE_F32, &e), ERR_OK);
    ck_assert_int_eq(pool_open(&g->team, n, &e), ERR_OK);
}

static void close_group(struct group *g)
{
    pool_close(&g->team);
    coll_threads()->close(g->ranks, g->n);
    ck_assert_ptr_null(g->ranks[0]);
}

/* Numbers whose sum depends on the order in which they are added. */
static float number(int rank, int i)
{
    static const float SIZES[] = {1e8f, 1.25f, -1e8f, 0.1f, 3e-3f};

    return SIZES[(rank + i) % 5] * (float)(i + 1);
}

static void add_up(void *arg, int rank)
{
    struct group *g = arg;

    for (int round = 0; round < g->rounds; round++) {
        const int rc = rank == g->bad_rank && round == g->bad_round ? ERR_NOMEM : ERR_OK;

        for (int i = 0; i < COUNT; i++)
            g->x[rank][i] = number(rank, i + round);
        g->rc[rank] = coll_threads()->sum(g->ranks[rank], g->x[rank], COUNT, rc, NULL);
        if (g->rc[rank]) return;
    }
}

START_TEST(a_sum_is_added_up_in_the_order_of_the_ranks) /* CO1 */
{
    struct group g;

    open_group(&g, _i);
    g.rounds = 200;
    pool_run(g.team, g.n, add_up, &g);
    for (int i = 0; i < COUNT; i++) {
        float want = number(0, i + g.rounds - 1);

        for (int k = 1; k < g.n; k++)
            want += number(k, i + g.rounds - 1);
        for (int k = 0; k < g.n; k++)
            ck_assert_msg(g.x[k][i] >= want && g.x[k][i] <= want, "rank %d, %d", k, i);
    }
    close_group(&g);
}
END_TEST

START_TEST(an_error_of_one_rank_is_returned_by_all) /* CO2 */
{
    struct group g;

    open_group(&g, 4);
    g.rounds = 5;
    for (g.bad_rank = 0; g.bad_rank < g.n; g.bad_rank++)
        for (g.bad_round = 0; g.bad_round < g.rounds; g.bad_round++) {
            pool_run(g.team, g.n, add_up, &g);
            for (int k = 0; k < g.n; k++)
                ck_assert_int_eq(g.rc[k], ERR_NOMEM);
        }
    g.bad_rank = -1; /* and the group goes on */
    pool_run(g.team, g.n, add_up, &g);
    for (int k = 0; k < g.n; k++)
        ck_assert_int_eq(g.rc[k], ERR_OK);
    close_group(&g);
}
END_TEST

/* Rank k brings k + 2 columns of 3 rows: 100 * rank + 10 * row + column. */
static void bring_columns(void *arg, int rank)
{
    struct group *g = arg;
    const int N = rank + 2;

    for (int i = 0; i < 3 * N; i++)
        g->x[rank][i] = (float)(100 * rank + 10 * (i / N) + i % N);
    g->rc[rank] = coll_threads()->gather(g->ranks[rank], rank ? NULL : g->y, g->x[rank], 3, N,
                                         rank == g->bad_rank ? ERR_ARG : ERR_OK, NULL);
}

START_TEST(columns_are_gathered_on_rank_0_in_the_order_of_the_ranks)
{
    struct group g;
    int at = 0;

    open_group(&g, 4);
    pool_run(g.team, g.n, bring_columns, &g);
    for (int t = 0; t < 3; t++)
        for (int k = 0; k < g.n; k++)
            for (int c = 0; c < k + 2; c++)
                ck_assert_float_eq(g.y[at++], (float)(100 * k + 10 * t + c));
    g.bad_rank = 2;
    pool_run(g.team, g.n, bring_columns, &g);
    for (int k = 0; k < g.n; k++)
        ck_assert_int_eq(g.rc[k], ERR_ARG);
    close_group(&g);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("coll");
    TCase *t = tcase_create("coll");

    tcase_add_loop_test(t, a_sum_is_added_up_in_the_order_of_the_ranks, 1, MAX_RANKS + 1);
    tcase_add_test(t, an_error_of_one_rank_is_returned_by_all);
    tcase_add_test(t, columns_are_gathered_on_rank_0_in_the_order_of_the_ranks);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
