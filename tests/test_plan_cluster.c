/* test_plan_cluster.c - the file that says which machines there are. */
#include <string.h>

#include "broker/plan.h"
#include "tests/test.h"

static struct plan_cluster *c;
static struct errmsg e;

static int reads(const char *json)
{
    free(c);
    c = NULL;
    return plan_cluster_read(&c, test_file("lab.json", json, strlen(json)), &e);
}

static void refuses(const char *json, const char *says)
{
    ck_assert_int_eq(reads(json), ERR_FORMAT);
    ck_assert_ptr_null(c);
    ck_assert_msg(strstr(e.text, says) && strstr(e.text, "lab.json"), "\"%s\" lacks \"%s\"", e.text,
                  says);
}

START_TEST(a_machine_has_cards_and_processors)
{
    ck_assert_int_eq(reads("{\"machines\": [{\"name\": \"a\", \"cards\": [\"L4\", \"h200\"],"
                           " \"link_gbs\": 25, \"usd_per_hour\": 3.5, \"utilisation\": 0.8,"
                           " \"cpu\": {\"cores\": 8, \"gflops\": 500, \"gbs\": 40, \"gib\": 2}}]}"),
                     ERR_OK);
    ck_assert_int_eq(c->n_machines, 1);
    ck_assert_str_eq(c->machines[0].name, "a");
    ck_assert_int_eq(c->machines[0].n_devices, 3);
    ck_assert_str_eq(c->machines[0].devices[0].name, "L4-24GB");
    ck_assert_double_eq(c->machines[0].devices[0].bytes, 24e9);
    ck_assert_str_eq(c->machines[0].devices[1].name, "H200-SXM-141GB");
    ck_assert_str_eq(c->machines[0].devices[2].name, "cpu");
    ck_assert_ptr_null(c->machines[0].devices[2].card);
    ck_assert_double_eq(c->machines[0].devices[2].bytes, 2147483648.0);
    ck_assert_double_eq(c->machines[0].devices[2].speed.flops, 5e11);
    ck_assert_double_eq(c->machines[0].devices[2].speed.bytes_per_s, 4e10);
    ck_assert_double_eq(c->machines[0].link_bytes_per_s, 2.5e10);
    ck_assert_double_eq(c->machines[0].usd_per_hour, 3.5);
    ck_assert_double_eq(c->machines[0].utilisation, 0.8);
}
END_TEST

START_TEST(a_count_makes_machines_with_numbers)
{
    ck_assert_int_eq(reads("{\"machines\": [{\"name\": \"a\", \"count\": 3, \"card\": \"L4\","
                           " \"devices\": 4}, {\"name\": \"b\", \"card\": \"T4\"}]}"),
                     ERR_OK);
    ck_assert_int_eq(c->n_machines, 4);
    ck_assert_str_eq(c->machines[2].name, "a-3");
    ck_assert_int_eq(c->machines[2].n_devices, 4);
    ck_assert_str_eq(c->machines[3].name, "b");
    ck_assert_int_eq(c->machines[3].n_devices, 1);
}
END_TEST

START_TEST(the_example_is_read)
{
    ck_assert_msg(!plan_cluster_read(&c, "examples/lab.json", &e), "%s", e.text);
    ck_assert_int_eq(c->n_machines, 7);
}
END_TEST

START_TEST(an_unknown_card_is_refused_with_its_like)
{
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"RTX 4095\"}]}",
            "machine a: \"RTX 4095\"");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"H100\"}]}",
            "H100-PCIe-80GB, H100-SXM-80GB");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"?\"}]}",
            "\"?\" is not one card that is known");
    refuses("{\"machines\": [{\"name\": \"a\", \"cards\": [\"L4\", 7]}]}", "a card is not a text");
}
END_TEST

START_TEST(an_unknown_key_is_refused_by_name)
{
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"gpus\": 2}]}",
            "machine a: gpus is no key here");
    refuses("{\"machine\": []}", "machine is no key here");
    refuses("{\"machines\": [{\"name\": \"a\", \"cpu\": {\"gflop\": 2}}]}", "gflop is no key here");
}
END_TEST

START_TEST(numbers_out_of_range_are_refused_with_their_limits)
{
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"devices\": 9}]}",
            "devices is 9, not an integer from 1 to 8");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"count\": 65}]}",
            "count is 65, not an integer from 1 to 64");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"count\": 40},"
            " {\"name\": \"b\", \"card\": \"L4\", \"count\": 25}]}",
            "more than 64 machines");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"utilisation\": 1.5}]}",
            "utilisation is 1.5, not a number from 0.01 to 1");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"usd_per_hour\": -1}]}",
            "usd_per_hour");
    refuses("{\"machines\": [{\"name\": \"a\", \"cpu\": {\"gflops\": 9, \"gbs\": 1}}]}",
            "cpu lacks gib");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"devices\": 8,"
            " \"cpu\": {\"gflops\": 9, \"gbs\": 1, \"gib\": 1}}]}",
            "more than 8 devices");
}
END_TEST

START_TEST(what_is_no_cluster_is_refused)
{
    refuses("", "line");
    refuses("[]", "not a JSON object");
    refuses("{\"machines\": []}", "at least one machine");
    refuses("{\"machines\": [3]}", "machine 1: not an object");
    refuses("{\"machines\": [{\"card\": \"L4\"}]}", "machine 1: name");
    refuses("{\"machines\": [{\"name\": \"a b\", \"card\": \"L4\"}]}", "machine 1: name");
    refuses("{\"machines\": [{\"name\": \"a\"}]}", "machine a: no card, no cards and no cpu");
    refuses("{\"machines\": [{\"name\": \"a\", \"devices\": 2}]}", "devices without card");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\", \"cards\": []}]}",
            "both card and cards");
    refuses("{\"machines\": [{\"name\": \"a\", \"name\": \"b\", \"card\": \"L4\"}]}", "line 1");
    refuses("{\"machines\": [{\"name\": \"a\", \"card\": \"L4\"}, {\"name\": \"a\", \"card\": "
            "\"L4\"}]}",
            "two of the name a");
    ck_assert_int_eq(plan_cluster_read(&c, test_path("none.json"), &e), ERR_IO);
    ck_assert_int_eq(plan_cluster_read(&c, test_dir(), &e), ERR_IO);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan_cluster");
    TCase *t = tcase_create("file");

    tcase_add_test(t, a_machine_has_cards_and_processors);
    tcase_add_test(t, a_count_makes_machines_with_numbers);
    tcase_add_test(t, the_example_is_read);
    tcase_add_test(t, an_unknown_card_is_refused_with_its_like);
    tcase_add_test(t, an_unknown_key_is_refused_by_name);
    tcase_add_test(t, numbers_out_of_range_are_refused_with_their_limits);
    tcase_add_test(t, what_is_no_cluster_is_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
