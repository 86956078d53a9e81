/* test_heap.c - the heap, against a plain array that is searched. */
#include "base/heap.h"
#include "tests/test.h"

#define THINGS 300
#define STEPS  60000

struct thing {
    struct heap_node node;
    double key;
    bool is_in;
};

static uint64_t state = 11;

static unsigned rnd(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

/* The least by key, then by place. */
static struct heap_node *least(struct thing *t)
{
    struct thing *best = NULL;

    for (int k = 0; k < THINGS; k++)
        if (t[k].is_in && (!best || t[k].key < best->key)) best = &t[k];
    return best ? &best->node : NULL;
}

static void check_order(const struct heap *h)
{
    for (size_t i = 0; i < h->n; i++) {
        const struct heap_entry *x = &h->entries[i], *up = &h->entries[(i - !!i) / 2];

        ck_assert(up->key < x->key || (up->key <= x->key && up->tie <= x->tie)); /* HP1 */
        ck_assert_uint_eq(x->node->at, i + 1);                                   /* HP2 */
        ck_assert_ptr_eq(heap_at(h, i), x->node);
    }
}

START_TEST(heap_agrees_with_a_search)
{
    static struct thing t[THINGS];
    struct heap h = {0};
    size_t n = 0;

    for (int i = 0; i < STEPS; i++) {
        struct thing *x = &t[rnd(THINGS)];

        if (rnd(3)) {
            n += !x->is_in;
            x->is_in = true;
            x->key = rnd(50); /* few, so that many are equal */
            ck_assert_int_eq(heap_put(&h, &x->node, x->key, x - t), ERR_OK);
        } else {
            n -= x->is_in;
            x->is_in = false;
            heap_remove(&h, &x->node);
            ck_assert_uint_eq(x->node.at, 0); /* HP2 */
        }
        ck_assert_uint_eq(h.n, n);
        ck_assert_ptr_eq(heap_least(&h), least(t));
        if (i % 500 == 0) check_order(&h);
    }
    heap_fini(&h);
    ck_assert_uint_eq(h.n, 0);
}
END_TEST

START_TEST(things_come_out_in_order)
{
    static struct thing t[THINGS];
    struct heap h = {0};
    double before = -1;

    for (int k = 0; k < THINGS; k++)
        ck_assert_int_eq(heap_put(&h, &t[k].node, rnd(1000), k), ERR_OK);
    while (heap_least(&h)) {
        ck_assert(h.entries[0].key >= before);
        before = h.entries[0].key;
        heap_remove(&h, heap_least(&h));
    }
    heap_fini(&h);
}
END_TEST

START_TEST(what_is_reserved_needs_no_memory_later)
{
    static struct thing t[THINGS];
    struct heap h = {0};
    struct heap_entry *at;

    ck_assert_int_eq(heap_reserve(&h, THINGS), ERR_OK);
    at = h.entries;
    for (int k = 0; k < THINGS; k++)
        ck_assert_int_eq(heap_put(&h, &t[k].node, k, 0), ERR_OK);
    ck_assert_ptr_eq(h.entries, at);
    heap_fini(&h);
}
END_TEST

START_TEST(an_empty_heap_and_a_node_in_no_heap_are_answered)
{
    struct heap h = {0};
    struct thing t = {0};

    ck_assert_ptr_null(heap_least(&h));
    heap_remove(&h, &t.node);
    ck_assert_uint_eq(h.n, 0);
    heap_fini(&h);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("heap");
    TCase *t = tcase_create("heap");

    tcase_add_test(t, heap_agrees_with_a_search);
    tcase_add_test(t, things_come_out_in_order);
    tcase_add_test(t, what_is_reserved_needs_no_memory_later);
    tcase_add_test(t, an_empty_heap_and_a_node_in_no_heap_are_answered);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
