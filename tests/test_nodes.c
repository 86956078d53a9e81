/* test_nodes.c - what the real broker makes of nodes and plans. */
#include <string.h>

#include "broker/nodes.h"
#include "tests/peer.h"
#include "tests/process.h"
#include "tests/scene.h"
#include "tests/test.h"

#define DEVICES "[{\"name\":\"H200\",\"device\":\"cuda:0\",\"bytes\":9}]"

static void say(struct peer *p, const char *name, const char *uuid, const char *devices, int ending)
{
    struct wire_out o;

    wire_begin(&o, 8);
    wire_put_str(&o, "name", name);
    wire_put_str(&o, "uuid", uuid);
    wire_put_str(&o, "host", "lab");
    wire_put_str(&o, "devices", devices);
    wire_put_int(&o, "cores", 4);
    wire_put_int(&o, "memory_bytes", 1000);
    wire_put_float(&o, "usd_per_hour", 1.5);
    wire_put_int(&o, "ending", ending);
    peer_send(p, WIRE_NODE, &o);
}

/* Says node, and hears how many instances it is to run. */
static int64_t beat(struct peer *p, const char *name, const char *uuid)
{
    say(p, name, uuid, DEVICES, 0);
    peer_hear(p, WIRE_NODE_PLAN);
    return wire_array(&p->m.map, "instances")->size;
}

struct part {
    const char *node, *devices, *source;
    int64_t tp;
    double rows_per_s;
};

static void plan(struct peer *p, const char *model, const struct part *parts, size_t n)
{
    struct wire_out o;

    wire_begin(&o, 7);
    wire_put_str(&o, "model", model);
    wire_put_str(&o, "batch", "b");
    wire_put_int(&o, "rows", 10);
    wire_put_float(&o, "seconds", 60);
    wire_put_float(&o, "usd", 0.5);
    wire_put_str(&o, "detail", "{\"a\":1}");
    wire_put_array(&o, "instances", n);
    for (size_t i = 0; i < n; i++) {
        wire_add_map(&o, 9);
        wire_put_str(&o, "node", parts[i].node);
        wire_put_str(&o, "devices", parts[i].devices);
        wire_put_int(&o, "tp", parts[i].tp);
        wire_put_str(&o, "dtype", "bf16");
        wire_put_str(&o, "kv_dtype", "fp8");
        wire_put_int(&o, "kv_tokens", 100);
        wire_put_float(&o, "rows_per_s", parts[i].rows_per_s);
        wire_put_str(&o, "source", parts[i].source);
        wire_put_float(&o, "mape", i ? 3.5 : -1);
    }
    peer_send(p, WIRE_PLAN, &o);
}

static int64_t planned(const struct part *parts, size_t n)
{
    plan(&scene.client, "m", parts, n);
    peer_hear(&scene.client, WIRE_PLAN_OK);
    return wire_int(&scene.client.m.map, "plan", -1);
}

static const struct part TWO[] = {{"n1", "cuda:0,1", "measured", 2, 3},
                                  {"n2", "cpu", "roofline", 1, 0.5}};

/* --- nodes */

START_TEST(a_node_joins_beats_and_leaves)
{
    scene_open();
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 0);
    ck_assert_int_eq(wire_int(&scene.a.m.map, "plan", -1), 0);
    ck_assert_int_eq(wire_int(&scene.a.m.map, "beat_ms", -1), 100);
    /* It is answered when it is on disk. */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM nodes WHERE name='n1' AND state='here' AND "
                            "cores=4 AND usd_per_hour=1.5 AND devices='cuda:0 H200'"),
                     1);
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 0);
    say(&scene.a, "n1", "other", DEVICES, 1); /* it is not his to end */
    peer_hear(&scene.a, WIRE_NODE_PLAN);
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 0);
    say(&scene.a, "n1", "u", DEVICES, 1);
    peer_hear(&scene.a, WIRE_NODE_PLAN);
    scene_wait("SELECT count(*) FROM nodes WHERE state='gone'", 1, 5000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM event WHERE unit='node'"), 2);
    scene_close();
}
END_TEST

START_TEST(a_second_process_of_a_name_is_refused_while_the_first_is_there)
{
    scene_open();
    beat(&scene.a, "n1", "u");
    say(&scene.b, "n1", "v", DEVICES, 0);
    peer_hear(&scene.b, WIRE_REFUSED); /* ND1 */
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM nodes"), 1);
    say(&scene.a, "n1", "u", DEVICES, 1);
    peer_hear(&scene.a, WIRE_NODE_PLAN);
    beat(&scene.b, "n1", "v");
    scene_close();
}
END_TEST

START_TEST(a_node_that_is_silent_is_gone)
{
    scene_open_with(1000, 150);
    beat(&scene.a, "n1", "u");
    scene_wait("SELECT count(*) FROM nodes WHERE state='gone'", 1, 5000);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM event WHERE text='lost name=n1'"), 1);
    beat(&scene.a, "n1", "u");
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM nodes WHERE state='here'"), 1);
    scene_close();
}
END_TEST

START_TEST(a_node_without_a_name_or_with_what_is_no_json_does_no_harm)
{
    static const char *const BAD[] = {"no json", "[1,\"x\"]", "{}", "\xff", ""};

    scene_open();
    say(&scene.a, "", "u", DEVICES, 0);
    peer_hear(&scene.a, WIRE_REFUSED);
    say(&scene.a, "n1", "", DEVICES, 0);
    peer_hear(&scene.a, WIRE_REFUSED);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        char name[8];

        snprintf(name, sizeof name, "bad%zu", i);
        say(&scene.a, name, "u", BAD[i], 0);
        if (i == 3)
            peer_hear(&scene.a, WIRE_REFUSED); /* no text */
        else
            peer_hear(&scene.a, WIRE_NODE_PLAN);
    }
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM nodes WHERE devices IS NULL"), 4);
    scene_close();
}
END_TEST

/* --- plans */

START_TEST(each_node_is_told_its_part_of_the_active_plan)
{
    const msgpack_object_array *all;
    const msgpack_object *one;

    scene_open();
    beat(&scene.a, "n1", "u");
    ck_assert_int_eq(planned(TWO, 2), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plans WHERE model='m' AND rows=10 AND usd=0.5"),
                     2);
    ck_assert_int_eq(NUMBER("SELECT mape IS NULL FROM plans WHERE node='n1'"), 1);
    ck_assert_int_eq(NUMBER("SELECT mape=3.5 FROM plans WHERE node='n2'"), 1);
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 1);
    all = wire_array(&scene.a.m.map, "instances");
    one = &all->ptr[0];
    ck_assert_int_eq(wire_int(one, "tp", 0), 2);
    ck_assert_int_eq(wire_int(one, "n", 0), 1);
    ck_assert_mem_eq(wire_str(one, "devices").at, "cuda:0,1", 8);
    ck_assert_mem_eq(wire_str(one, "kv_dtype").at, "fp8", 3);
    ck_assert_int_eq(wire_int(&scene.a.m.map, "plan", 0), 1);
    ck_assert_int_eq(beat(&scene.b, "n3", "w"), 0); /* not in the plan */
    scene_close();
}
END_TEST

START_TEST(a_new_plan_takes_the_place_of_the_one_before)
{
    scene_open();
    ck_assert_int_eq(planned(TWO, 2), 1);
    ck_assert_int_eq(planned(TWO + 1, 1), 2);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plan WHERE state='active'"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plans"), 1);
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 0);
    ck_assert_int_eq(beat(&scene.b, "n2", "v"), 1);
    ck_assert_int_eq(planned(TWO, 0), 0); /* none is active any more */
    ck_assert_int_eq(beat(&scene.b, "n2", "v"), 0);
    ck_assert_int_eq(wire_int(&scene.b.m.map, "plan", -1), 0);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plan WHERE state='active'"), 0);
    scene_close();
}
END_TEST

START_TEST(a_plan_is_there_after_a_restart_and_no_node_is)
{
    scene_open();
    beat(&scene.a, "n1", "u");
    planned(TWO, 2);
    scene_stop(&scene);
    scene_start(&scene);
    scene_wait("SELECT count(*) FROM nodes WHERE state='gone'", 1, 5000);
    ck_assert_int_eq(beat(&scene.a, "n1", "u"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM nodes WHERE state='here'"), 1);
    scene_close();
}
END_TEST

START_TEST(what_is_no_plan_changes_nothing)
{
    static const struct part BAD[] = {
        {"", "cpu", "measured", 1, 1},     {"n1", "", "measured", 1, 1},
        {"n1", "cpu", "guessed", 1, 1},    {"n1", "cpu", "measured", 0, 1},
        {"n1", "cpu", "measured", 1, -1},  {"n1", "cpu", "measured", 1, 1e300},
        {"n\xff", "cpu", "measured", 1, 1}};

    scene_open();
    ck_assert_int_eq(planned(TWO, 2), 1);
    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        plan(&scene.client, "m", &BAD[i], 1);
        peer_hear(&scene.client, WIRE_REFUSED);
    }
    plan(&scene.client, "m\xff", TWO, 2);
    peer_hear(&scene.client, WIRE_REFUSED);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plan"), 1);
    ck_assert_int_eq(NUMBER("SELECT count(*) FROM plans WHERE plan_id=1"), 2);
    scene_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("nodes");
    TCase *t = tcase_create("nodes");

    tcase_add_test(t, a_node_joins_beats_and_leaves);
    tcase_add_test(t, a_second_process_of_a_name_is_refused_while_the_first_is_there);
    tcase_add_test(t, a_node_that_is_silent_is_gone);
    tcase_add_test(t, a_node_without_a_name_or_with_what_is_no_json_does_no_harm);
    tcase_add_test(t, each_node_is_told_its_part_of_the_active_plan);
    tcase_add_test(t, a_new_plan_takes_the_place_of_the_one_before);
    tcase_add_test(t, a_plan_is_there_after_a_restart_and_no_node_is);
    tcase_add_test(t, what_is_no_plan_changes_nothing);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
