/* test_cuda_device.c - a CUDA device: memory, copies, graphs, failures, parts. */
#include <string.h>

#include "tests/device_rig.h"

#define BIG ((size_t)21 << 20 | 5) /* more than the pinned ring, and no whole piece */

static struct stream *open_part(int sm_count)
{
    struct device_opts o = {.sm_count = sm_count};
    struct stream *s;

    ck_assert_msg(dev.device->open(&s, &o, &dev.err) == ERR_OK, "%s", dev.err.text);
    return s;
}

/* The plug-in reads the setting when its table is asked for. */
static void set_fault(const char *setting)
{
    setenv("NIGHTMILL_FAULT", setting, 1);
    ck_assert_ptr_nonnull(plugin_open(&dev.err));
}

START_TEST(what_is_put_comes_back_though_its_source_changes)
{
    uint8_t *a = malloc(BIG), *b = malloc(BIG), *at;
    size_t wrong = 0;

    device_rig_open(DTYPE_F32, NULL, NULL);
    at = dev.device->take(dev.s, BIG, &dev.err);
    ck_assert_ptr_nonnull(at);
    for (size_t i = 0; i < BIG; i++)
        a[i] = (uint8_t)(i * 7 >> 3);
    ck_assert_int_eq(dev.device->put(dev.s, at, a, BIG), ERR_OK); /* DV1 */
    memset(a, 0, BIG);
    ck_assert_int_eq(dev.device->put(dev.s, at + 3, a, 2), ERR_OK);
    ck_assert_int_eq(dev.device->get(dev.s, b, at, BIG), ERR_OK); /* DV2 */
    for (size_t i = 0; i < BIG; i++)
        wrong += b[i] != (i == 3 || i == 4 ? 0 : (uint8_t)(i * 7 >> 3));
    ck_assert_uint_eq(wrong, 0);
    free(a);
    free(b);
    device_rig_close();
}
END_TEST

START_TEST(nothing_is_put_and_got_in_no_bytes)
{
    device_rig_open(DTYPE_F32, NULL, NULL);
    ck_assert_int_eq(dev.device->put(dev.s, NULL, NULL, 0), ERR_OK);
    ck_assert_int_eq(dev.device->get(dev.s, NULL, NULL, 0), ERR_OK);
    device_rig_close();
}
END_TEST

START_TEST(memory_that_is_not_there_is_told_with_the_numbers)
{
    struct device_facts f;
    char asked[32], all[32];

    device_rig_open(DTYPE_F32, NULL, NULL);
    ck_assert_int_eq(dev.device->facts(0, &f, &dev.err), ERR_OK);
    ck_assert_ptr_null(dev.device->take(dev.s, (size_t)f.memory_bytes + 1, &dev.err));
    snprintf(asked, sizeof asked, "%lld bytes", (long long)f.memory_bytes + 1);
    snprintf(all, sizeof all, "of %lld", (long long)f.memory_bytes);
    ck_assert_msg(strstr(dev.err.text, asked) && strstr(dev.err.text, all), "%s", dev.err.text);
    ck_assert_ptr_nonnull(dev.device->take(dev.s, 100, &dev.err)); /* it goes on */
    device_rig_close();
}
END_TEST

START_TEST(closing_a_stream_gives_its_memory_back)
{
    struct device_facts before, after;

    device_rig_open(DTYPE_F32, NULL, NULL);
    device_rig_close();
    ck_assert_int_eq(dev.device->facts(0, &before, &dev.err), ERR_OK);
    device_rig_open(DTYPE_F32, NULL, NULL);
    ck_assert_ptr_nonnull(dev.device->take(dev.s, BIG, &dev.err));
    device_rig_close();
    ck_assert_int_eq(dev.device->facts(0, &after, &dev.err), ERR_OK);
    ck_assert_int_eq(after.free_bytes, before.free_bytes);
}
END_TEST

START_TEST(a_device_says_what_it_is)
{
    struct device_facts f;

    ck_assert_int_gt(dev.device->count(&dev.err), 0);
    ck_assert_int_eq(dev.device->facts(0, &f, &dev.err), ERR_OK);
    ck_assert_str_ne(f.name, "");
    ck_assert_str_ne(f.library, "");
    ck_assert_str_ne(f.bus, "");
    ck_assert_int_ge(f.arch, 75);
    ck_assert_int_gt(f.sm_count, 0);
    ck_assert_int_ge(f.memory_bytes, f.free_bytes);
}
END_TEST

START_TEST(a_device_that_is_not_there_is_refused)
{
    struct device_opts o = {.index = 99};
    struct device_facts f;
    struct stream *s;

    ck_assert_int_eq(dev.device->open(&s, &o, &dev.err), ERR_ARG);
    ck_assert_ptr_null(s);
    ck_assert_msg(strstr(dev.err.text, "cuda:99"), "%s", dev.err.text);
    ck_assert_int_eq(dev.device->facts(-1, &f, &dev.err), ERR_ARG);
}
END_TEST

START_TEST(there_is_no_table_for_a_quantised_act)
{
    ck_assert_ptr_null(dev.device->ops(DTYPE_Q8_0));
    ck_assert_ptr_null(dev.device->ops(DTYPE_FP8));
    for (int i = 0; i < N_ACTS; i++)
        ck_assert_int_eq(dev.device->ops(ACTS[i])->act, ACTS[i]);
}
END_TEST

static const float ONES[4] = {1, 1, 1, 1};

START_TEST(recorded_work_is_done_at_each_replay_only)
{
    struct graph *g;
    float *x, *y, sum[4];

    device_rig_open(DTYPE_F32, NULL, NULL);
    x = device_rig_put(ONES, sizeof ONES);
    y = device_rig_put(ONES, sizeof ONES);
    device_rig_wait();
    ck_assert_int_eq(dev.device->record(dev.s), ERR_OK);
    ck_assert_int_eq(dev.ops->add(x, y, 1, 4, dev.s), ERR_OK);
    ck_assert_int_eq(dev.ops->add(x, y, 1, 4, dev.s), ERR_OK);
    ck_assert_int_eq(dev.device->recorded(&g, dev.s), ERR_OK);
    device_rig_get(sum, x, sizeof sum);
    ck_assert_float_eq(sum[0], 1);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(dev.device->replay(g, dev.s), ERR_OK);
    device_rig_get(sum, x, sizeof sum);
    ck_assert_float_eq(sum[3], 7);
    dev.device->forget(&g);
    ck_assert_ptr_null(g);
    dev.device->forget(&g);
    device_rig_close();
}
END_TEST

START_TEST(what_fails_while_work_is_noted_is_forgotten)
{
    struct graph *g;
    float *x;

    device_rig_open(DTYPE_F32, NULL, NULL);
    x = device_rig_put(ONES, sizeof ONES);
    ck_assert_int_eq(dev.device->record(dev.s), ERR_OK);
    ck_assert_int_eq(dev.device->put(dev.s, x, ONES, sizeof ONES), ERR_ARG);
    ck_assert_int_eq(dev.device->recorded(&g, dev.s), ERR_UNSUPPORTED);
    ck_assert_ptr_null(g);
    ck_assert_int_eq(dev.device->put(dev.s, x, ONES, sizeof ONES), ERR_OK);
    device_rig_close(); /* which waits */
}
END_TEST

START_TEST(a_failed_launch_is_told_with_its_op_and_shape)
{
    float *x, *y;

    device_rig_open(DTYPE_F32, NULL, NULL);
    x = device_rig_put(ONES, sizeof ONES);
    y = device_rig_put(ONES, sizeof ONES);
    set_fault("cuda:2:fail");
    ck_assert_int_eq(dev.ops->add(x, y, 1, 4, dev.s), ERR_OK);
    ck_assert_int_eq(dev.ops->add(x, y, 1, 4, dev.s), ERR_CUDA);
    ck_assert_int_eq(dev.ops->add(x, y, 1, 2, dev.s), ERR_CUDA);
    ck_assert_int_eq(dev.device->put(dev.s, x, ONES, sizeof ONES), ERR_CUDA);
    ck_assert_int_eq(dev.device->wait(dev.s, &dev.err), ERR_CUDA);
    ck_assert_msg(strstr(dev.err.text, "add T=1 D=4"), "%s", dev.err.text);
    dev.device->close(&dev.s);
    set_fault("");
    device_rig_open(DTYPE_F32, NULL, NULL); /* the device itself is well */
    device_rig_close();
}
END_TEST

START_TEST(a_replay_can_fail_too)
{
    struct graph *g;
    float *x;

    device_rig_open(DTYPE_F32, NULL, NULL);
    x = device_rig_put(ONES, sizeof ONES);
    ck_assert_int_eq(dev.device->record(dev.s), ERR_OK);
    ck_assert_int_eq(dev.ops->add(x, x, 1, 4, dev.s), ERR_OK);
    ck_assert_int_eq(dev.device->recorded(&g, dev.s), ERR_OK);
    set_fault("cuda:1:fail");
    ck_assert_int_eq(dev.device->replay(g, dev.s), ERR_CUDA);
    ck_assert_int_eq(dev.device->wait(dev.s, &dev.err), ERR_CUDA);
    ck_assert_msg(strstr(dev.err.text, "replay of work to add T=1 D=4"), "%s", dev.err.text);
    dev.device->forget(&g);
    dev.device->close(&dev.s);
}
END_TEST

START_TEST(parts_of_a_device_share_no_multiprocessor)
{
    struct device_opts rest = {0};
    struct device_facts f;
    struct stream *a, *b, *c;
    int got_a, got_b;

    ck_assert_int_eq(dev.device->facts(0, &f, &dev.err), ERR_OK);
    a = open_part(f.sm_count / 2 - 1);
    b = open_part(1);
    got_a = dev.device->sm_count(a);
    got_b = dev.device->sm_count(b);
    ck_assert_int_ge(got_a, f.sm_count / 2 - 1);
    ck_assert_int_ge(got_b, 1);
    rest.sm_count = f.sm_count - got_a - got_b + 1; /* one more than is left */
    ck_assert_int_eq(dev.device->open(&c, &rest, &dev.err), ERR_FULL);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(dev.err.text, "are left"), "%s", dev.err.text);
    rest.sm_count--;
    c = open_part(rest.sm_count);
    ck_assert_int_eq(dev.device->sm_count(c) + got_a + got_b, f.sm_count);
    dev.device->close(&a);
    a = open_part(got_a); /* free again */
    ck_assert_int_eq(dev.device->sm_count(a), got_a);
    dev.device->close(&a);
    dev.device->close(&b);
    dev.device->close(&c);
}
END_TEST

START_TEST(a_part_computes)
{
    struct device_opts o = {.sm_count = 1};
    float *x, sum[4];

    device_rig_open(DTYPE_F32, &o, NULL);
    x = device_rig_put(ONES, sizeof ONES);
    ck_assert_int_eq(dev.ops->add(x, x, 1, 4, dev.s), ERR_OK);
    device_rig_get(sum, x, sizeof sum);
    ck_assert_float_eq(sum[2], 2);
    device_rig_close();
}
END_TEST

START_TEST(a_machine_without_a_device_says_so)
{
    struct device_opts o = {0};
    struct stream *s;

    setenv("EMU_DEVICES", "0", 1);
    ck_assert_int_eq(dev.device->count(&dev.err), 0);
    ck_assert_str_eq(dev.err.text, "no CUDA device: no CUDA-capable device is detected");
    ck_assert_int_eq(dev.device->open(&s, &o, &dev.err), ERR_CUDA);
}
END_TEST

START_TEST(an_old_device_has_no_bf16)
{
    struct device_opts o = {0};
    struct step_limits l = {.max_tokens = 8, .max_seqs = 8, .max_blocks = 8, .max_width = 64};
    struct stream *s;

    setenv("EMU_ARCH", "75", 1);
    ck_assert_int_eq(dev.device->open(&s, &o, &dev.err), ERR_OK);
    ck_assert_int_eq(dev.device->ops(DTYPE_BF16)->prepare(s, &l), ERR_UNSUPPORTED);
    ck_assert_int_eq(dev.device->ops(DTYPE_F16)->prepare(s, &l), ERR_OK);
    dev.device->close(&s);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_device");
    TCase *c = tcase_create("all");

    suite_add_tcase(s, c);
    if (!device_rig_found()) return s;
    tcase_add_test(c, what_is_put_comes_back_though_its_source_changes);
    tcase_add_test(c, nothing_is_put_and_got_in_no_bytes);
    tcase_add_test(c, memory_that_is_not_there_is_told_with_the_numbers);
    tcase_add_test(c, closing_a_stream_gives_its_memory_back);
    tcase_add_test(c, a_device_says_what_it_is);
    tcase_add_test(c, a_device_that_is_not_there_is_refused);
    tcase_add_test(c, there_is_no_table_for_a_quantised_act);
    tcase_add_test(c, recorded_work_is_done_at_each_replay_only);
    tcase_add_test(c, what_fails_while_work_is_noted_is_forgotten);
    tcase_add_test(c, a_failed_launch_is_told_with_its_op_and_shape);
    tcase_add_test(c, a_replay_can_fail_too);
    tcase_add_test(c, parts_of_a_device_share_no_multiprocessor);
    tcase_add_test(c, a_part_computes);
    if (!dev.plugin->emulated) return s;
    tcase_add_test(c, a_machine_without_a_device_says_so);
    tcase_add_test(c, an_old_device_has_no_bf16);
    return s;
}

TEST_MAIN(suite)
