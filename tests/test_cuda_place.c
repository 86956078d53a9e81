/* test_cuda_place.c - where an instance computes, from the words of --device. */
#include "worker/place.h"

#include <string.h>

#include "kernels/coll_nccl.h"
#include "tests/device_rig.h"

static struct place p;
static struct errmsg e;

static int find(const char *name, int tp)
{
    e.text[0] = '\0';
    return place_find(&p, name, tp, &e);
}

static void refused(const char *name, int tp, int rc, const char *text)
{
    ck_assert_int_eq(find(name, tp), rc);
    ck_assert_str_eq(e.text, text);
}

START_TEST(the_host_has_one_place_and_any_number_of_ranks)
{
    ck_assert_int_eq(find("cpu", 0), ERR_OK);
    ck_assert_ptr_eq(p.device, device_cpu());
    ck_assert_int_eq(p.n_devices, 1);
    ck_assert_int_eq(p.tp, 1);
    ck_assert_int_eq(find("ref", 3), ERR_OK);
    ck_assert_ptr_eq(p.device, device_ref());
    ck_assert_int_eq(p.tp, 3);
    ck_assert_ptr_null(p.coll);
    refused("gpu", 0, ERR_ARG,
            "--device 'gpu' is not known; known: cpu, ref, cuda, cuda:N,M,..., sim:FILE");
    ck_assert(place_is_cuda("cuda") && place_is_cuda("cuda:1"));
    ck_assert(!place_is_cuda("cudax") && !place_is_cuda("cpu"));
}
END_TEST

START_TEST(cuda_is_the_first_device_or_those_that_are_named)
{
    setenv("EMU_DEVICES", "4", 1);
    ck_assert_int_eq(find("cuda", 0), ERR_OK);
    ck_assert_ptr_eq(p.device, dev.device);
    ck_assert_int_eq(p.n_devices, 1);
    ck_assert_int_eq(p.devices[0], 0);
    ck_assert_int_eq(p.tp, 1);
    ck_assert_int_eq(find("cuda:3", 0), ERR_OK);
    ck_assert_int_eq(p.devices[0], 3);
    ck_assert_ptr_null(p.coll); /* NCCL is not opened for one rank */
    refused("cuda:4", 0, ERR_UNSUPPORTED, "--device cuda:4: there is no cuda:4, of 4 devices");
}
END_TEST

START_TEST(a_card_that_is_too_old_is_refused)
{
    setenv("EMU_ARCH", "70", 1);
    ck_assert_int_eq(find("cuda", 0), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(e.text, " is sm_70: the oldest that computes is sm_75"), "%s", e.text);
    setenv("EMU_ARCH", "75", 1);
    ck_assert_int_eq(find("cuda", 0), ERR_OK);
}
END_TEST

START_TEST(several_devices_are_ranks_and_need_nccl)
{
    setenv("EMU_DEVICES", "4", 1);
    setenv(NCCL_ENV, "/nowhere/libnccl.so.2", 1);
    ck_assert_int_eq(find("cuda:3,1", 0), ERR_UNSUPPORTED);
    ck_assert_int_eq(p.n_devices, 2);
    ck_assert_int_eq(p.devices[0], 3);
    ck_assert_int_eq(p.devices[1], 1);
    ck_assert_int_eq(p.tp, 2);
    ck_assert_msg(strstr(e.text, "no NCCL: /nowhere/libnccl.so.2"), "%s", e.text);
    ck_assert_int_eq(find("cuda", 3), ERR_UNSUPPORTED); /* the first three */
    ck_assert_int_eq(p.n_devices, 3);
    ck_assert_int_eq(p.devices[2], 2);
    refused("cuda:0,1", 3, ERR_ARG,
            "--tensor-parallel-size is 3, and --device cuda:0,1 names 2: a rank works on a device "
            "of its own");
}
END_TEST

START_TEST(a_list_that_cannot_be_read_is_wrong_usage)
{
    static const char *const BAD[] = {"cuda:",    "cuda:x",   "cuda:0,",    "cuda:,0",
                                      "cuda:0 1", "cuda:-1",  "cuda:0,1,x", "cuda:10000",
                                      "cuda:+1",  "cuda:1;2", "cuda:0x1"};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(find(BAD[i], 0) == ERR_ARG, "%s", BAD[i]);
        ck_assert_msg(strstr(e.text, BAD[i]) != NULL, "%s", e.text);
    }
    refused("cuda:1,0,1", 0, ERR_ARG, "--device cuda:1,0,1: 1 is there twice");
}
END_TEST

START_TEST(more_devices_than_an_engine_takes_are_refused)
{
    char name[400] = "cuda:0";

    for (int i = 1; i <= ENGINE_MAX_DEVICES; i++)
        sprintf(name + strlen(name), ",%d", i);
    ck_assert_int_eq(find(name, 0), ERR_ARG);
    ck_assert_msg(strstr(e.text, "more than 64 devices"), "%s", e.text);
}
END_TEST

/* The plug-in that is in use, of which size bytes are in a file of its own. */
static void use_part(long size)
{
    FILE *f = fopen(getenv(PLUGIN_ENV), "rb");
    char *bytes;

    ck_assert_ptr_nonnull(f);
    if (!size) fseek(f, 0, SEEK_END), size = ftell(f) - 1, rewind(f);
    bytes = malloc((size_t)size);
    ck_assert_uint_eq(fread(bytes, 1, (size_t)size, f), (size_t)size);
    fclose(f);
    setenv(PLUGIN_ENV, test_file("part.so", bytes, (size_t)size), 1);
    free(bytes);
}

START_TEST(a_plug_in_that_was_copied_in_part_is_refused)
{
    static const long SIZES[] = {5000, 100000, 0}; /* 0: all but a byte */

    use_part(SIZES[_i]);
    ck_assert_int_eq(find("cuda", 0), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(e.text, "no CUDA plug-in: ") && strstr(e.text, "part.so: the file is cut"),
                  "%s", e.text);
}
END_TEST

START_TEST(what_is_no_plug_in_is_refused)
{
    setenv(PLUGIN_ENV, test_file("text.so", "hello", 5), 1);
    ck_assert_int_eq(find("cuda", 0), ERR_UNSUPPORTED);
    ck_assert_msg(strstr(e.text, "text.so: "), "%s", e.text);
    setenv(PLUGIN_ENV, "libm.so.6", 1); /* a library, found where the loader looks */
    ck_assert_int_eq(find("cuda", 0), ERR_UNSUPPORTED);
    ck_assert_str_eq(e.text, "the CUDA plug-in has version 0, and this program needs 1");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_place");
    TCase *c = tcase_create("all");

    suite_add_tcase(s, c);
    tcase_add_test(c, the_host_has_one_place_and_any_number_of_ranks);
    tcase_add_test(c, a_list_that_cannot_be_read_is_wrong_usage);
    tcase_add_test(c, more_devices_than_an_engine_takes_are_refused);
    if (!device_rig_found() || !dev.plugin->emulated) return s;
    tcase_add_test(c, cuda_is_the_first_device_or_those_that_are_named);
    tcase_add_test(c, a_card_that_is_too_old_is_refused);
    tcase_add_test(c, several_devices_are_ranks_and_need_nccl);
    tcase_add_loop_test(c, a_plug_in_that_was_copied_in_part_is_refused, 0, 3);
    tcase_add_test(c, what_is_no_plug_in_is_refused);
    return s;
}

TEST_MAIN(suite)
