/* test_plan_input.c - clients/plan_input, machine and plan_print: what a plan is made from, and how
 * it is told. */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clients/plan_print.h"
#include "clients/table.h"
#include "tests/process.h"
#include "tests/rows.h"
#include "tests/test.h"

#define MODEL "examples/tidy"

static struct plan_input in;
static struct plan_input_opts o;
static struct errmsg e;

static void set_up(void)
{
    o = (struct plan_input_opts){.model = MODEL,
                                 .dtypes = "auto",
                                 .kv_dtypes = "auto",
                                 .max_num_seqs = 64,
                                 .db = "no/such.db"};
}

static void tear_down(void)
{
    plan_input_fini(&in);
}

static int open_again(void)
{
    plan_input_fini(&in);
    memset(&in, 0, sizeof in);
    return plan_input_open(&in, &o, &e);
}

static void open_it(void)
{
    ck_assert_msg(!open_again(), "%s", e.text);
}

/* A queue file with these rows in it. */
static const char *file_with(const char *sql)
{
    const char *path = test_path("n.db");
    struct queue *q = rows_open(path);

    queue_close(&q);
    process_change(path, sql);
    return path;
}

#define NODE(id, name, host, state, devices)                                                       \
    "INSERT INTO node VALUES(" #id ",'" name "','" host "','" state "',1,2,'" devices              \
    "',4,9000000000,1.5);"
#define H200(n)                                                                                    \
    "{\"name\":\"NVIDIA H200\",\"device\":\"cuda:" #n "\",\"bytes\":150754820096,\"flops\":0,"     \
    "\"bytes_per_s\":0}"
#define CPU                                                                                        \
    "[{\"name\":\"EPYC, 4 cores\",\"device\":\"cpu\",\"bytes\":8e9,\"flops\":1e11,"                \
    "\"bytes_per_s\":1e10}]"
#define PROFILE(id, host, device, dtype, kv, tp, source, at, k0)                                   \
    "INSERT INTO instance VALUES(" #id ",'u" #id "','n','" host "','" device                       \
    "','tidy','x','" dtype "','" kv "'," #tp ",1,1,1,1,'e','gone',1,1);"                           \
    "INSERT INTO instance_profile VALUES(" #id "," #at ",'" source "'," #k0 ",2,3,4,5,6,700,7.5,"  \
    "8.5,40,0,0);"

/* --- the model */

START_TEST(a_model_is_tried_as_it_is_stored_unless_more_is_asked)
{
    open_it();
    ck_assert_str_eq(in.model.name, "tidy");
    ck_assert_int_eq(in.model.n_dtypes, 1);
    ck_assert_int_eq(in.model.dtypes[0], DTYPE_BF16);
    ck_assert_int_eq(in.model.n_kv_dtypes, 1);
    ck_assert_int_eq(in.model.kv_dtypes[0], DTYPE_F16); /* on this machine's processors */
    ck_assert_int_eq(in.max_len, 512);
    ck_assert_int_eq(in.model.shape.layers, in.config.n_layers);
    ck_assert_double_eq(in.model.shape.weight_bits, 16);
    o.dtypes = "fp8,auto,bfloat16,int8";
    o.kv_dtypes = "fp8,auto";
    o.max_model_len = 100;
    open_it();
    ck_assert_int_eq(in.model.n_dtypes, 3);
    ck_assert_int_eq(in.model.dtypes[1], DTYPE_BF16);
    ck_assert_int_eq(in.model.dtypes[2], DTYPE_INT8);
    ck_assert_int_eq(in.model.n_kv_dtypes, 2);
    ck_assert_int_eq(in.model.shape.max_len, 100);
}
END_TEST

START_TEST(a_word_that_is_no_dtype_is_named)
{
    o.dtypes = "auto,fp9";
    ck_assert_int_eq(open_again(), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "'fp9'"));
    o.dtypes = "";
    ck_assert_int_eq(open_again(), ERR_ARG);
    o.dtypes = "auto";
    o.kv_dtypes = "fp4";
    ck_assert_int_eq(open_again(), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "'fp4' is not auto, f32, f16, bf16 or fp8"));
    o.kv_dtypes = "int8";
    ck_assert_int_eq(open_again(), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "int8"));
    o.kv_dtypes = "auto";
    o.max_model_len = 513;
    ck_assert_int_eq(open_again(), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "512"));
}
END_TEST

START_TEST(a_model_whose_weights_are_not_here_can_be_planned)
{
    static const char *const FILES[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    char from[256];

    for (size_t i = 0; i < 3; i++) {
        struct buf b;

        snprintf(from, sizeof from, MODEL "/%s", FILES[i]);
        b = process_read(from);
        test_file(FILES[i], b.data, b.len);
        buf_fini(&b);
    }
    o.model = test_dir();
    open_it();
    ck_assert_int_eq(in.stored, DTYPE_BF16); /* says config.json */
    ck_assert_double_gt(model_shape_weight_bytes(&in.model.shape), 3e6);
}
END_TEST

/* --- machines */

START_TEST(without_a_file_and_nodes_it_is_this_machine)
{
    open_it();
    ck_assert_str_eq(in.from, "this machine");
    ck_assert_int_eq(in.cluster->n_machines, 1);
    ck_assert_int_ge(in.cluster->machines[0].n_devices, 1);
    ck_assert_double_gt(in.cluster->machines[0].devices[0].bytes, 0);
    ck_assert_double_gt(in.cluster->machines[0].devices[0].speed.flops, 0);
}
END_TEST

START_TEST(nodes_that_are_here_are_the_machines)
{
    struct plan_instance i = {.machine = 1, .devices = 5, .tp = 2};
    char devices[64];

    o.db =
        file_with(NODE(1, "desk", "h1", "here", CPU) NODE(2, "attic", "h2", "gone", CPU)
                      NODE(4, "none", "h4", "here", "[]")
                          NODE(3, "rack", "h3", "here", "[" H200(0) "," H200(2) "," H200(5) "]"));
    open_it();
    ck_assert_int_eq(in.cluster->n_machines, 2);
    ck_assert_str_eq(in.cluster->machines[0].name, "desk");
    ck_assert_ptr_null(in.cluster->machines[0].devices[0].card);
    ck_assert_double_eq(in.cluster->machines[1].usd_per_hour, 1.5);
    ck_assert_int_eq(in.cluster->machines[1].n_devices, 3);
    ck_assert_str_eq(in.cluster->machines[1].devices[0].card->name, "H200-SXM-141GB");
    ck_assert_double_eq(in.cluster->machines[1].devices[0].bytes, 150754820096.0);
    ck_assert_int_eq(in.model.kv_dtypes[0], DTYPE_BF16); /* a card's */
    plan_input_devices(&in, &i, devices);
    ck_assert_str_eq(devices, "cuda:0,5"); /* as the node calls them */
}
END_TEST

START_TEST(a_node_with_a_card_that_nobody_knows_is_named)
{
    o.db = file_with(
        NODE(1, "odd", "h", "here", "[{\"name\":\"Z9000\",\"device\":\"cuda:0\",\"bytes\":1}]"));
    ck_assert_int_eq(open_again(), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "node odd: "));
    ck_assert_ptr_nonnull(strstr(e.text, "Z9000"));
}
END_TEST

START_TEST(a_node_whose_devices_are_none_is_refused)
{
    static const char *const BAD[] = {"[]", "[1]", "[{\"name\":\"x\"}]", "{}"};

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        struct machine m = {0};

        if (i)
            ck_assert_int_eq(machine_devices_parse(&m, BAD[i], &e), ERR_FORMAT);
        else
            ck_assert_int_eq(machine_devices_parse(&m, BAD[i], &e), ERR_OK);
    }
}
END_TEST

START_TEST(devices_read_back_as_they_were_written)
{
    struct machine m, back = {0};
    struct buf json = {0};

    ck_assert_int_eq(machine_look(&m, "cpu", &e), 0);
    ck_assert_int_eq(machine_devices_json(&m, &json), 0);
    ck_assert_int_eq(machine_devices_parse(&back, json.data, &e), 0);
    ck_assert_int_eq(back.n_devices, 1);
    ck_assert_str_eq(back.devices[0].name, m.devices[0].name);
    ck_assert_str_eq(back.devices[0].device, "cpu");
    ck_assert_double_eq_tol(back.devices[0].flops, m.devices[0].flops, 1);
    ck_assert_int_eq(machine_look(&m, "cuda:99", &e), ERR_CUDA);
    ck_assert_int_eq(machine_look(&m, "gpu", &e), ERR_ARG);
    buf_fini(&json);
}
END_TEST

START_TEST(a_file_of_an_earlier_version_has_no_nodes)
{
    sqlite3 *db;

    o.db = file_with("DROP VIEW nodes; DROP TABLE node; PRAGMA user_version=3");
    ck_assert_int_eq(sqlite3_open(o.db, &db), SQLITE_OK);
    sqlite3_close(db);
    open_it();
    ck_assert_str_eq(in.from, "this machine");
}
END_TEST

/* --- profiles */

START_TEST(the_latest_profile_of_a_machine_is_taken)
{
    o.db = file_with(NODE(1, "desk", "h1", "here", CPU)
                         PROFILE(1, "h1", "cpu", "bf16", "f16", 1, "measured", 10, 0.5)
                             PROFILE(2, "h1", "cpu", "bf16", "f16", 1, "measured", 20, 0.7)
                                 PROFILE(3, "h1", "cpu", "bf16", "f16", 1, "roofline", 30, 0.9)
                                     PROFILE(4, "h2", "cpu", "bf16", "f16", 1, "measured", 40, 1));
    open_it();
    ck_assert_int_eq(in.n_profiles, 2);
    ck_assert_double_eq(in.profiles[0].perf.k0, 0.7);
    ck_assert_str_eq(in.profiles[0].device, "EPYC, 4 cores");
    ck_assert_double_eq(in.profiles[0].mape, 8.5);
    ck_assert_int_eq(in.profiles[0].kv_dtype, DTYPE_F16);
}
END_TEST

START_TEST(a_profile_speaks_of_the_card_and_of_either_kind_of_16_bits)
{
    o.db = file_with(NODE(1, "rack", "h", "here", "[" H200(0) "," H200(1) "]")
                         PROFILE(1, "h", "cuda:0,1", "bf16", "f16", 2, "measured", 10, 0.5) PROFILE(
                             2, "h", "cuda:1 (66 SMs)", "bf16", "bf16", 1, "measured", 20, 0.7));
    open_it();
    ck_assert_int_eq(in.n_profiles, 1); /* a part of a card is no card */
    ck_assert_int_eq(in.profiles[0].tp, 2);
    ck_assert_str_eq(in.profiles[0].device, "H200-SXM-141GB");
    ck_assert_int_eq(in.profiles[0].kv_dtype, DTYPE_BF16); /* as it is planned */
}
END_TEST

/* --- how it is told */

static struct workload w;
static struct plan_answer a;

static void plan_for(const char *lab, int rows)
{
    struct plan_workload *p = calloc(1, sizeof *p);

    o.cluster = test_file("lab.json", lab, strlen(lab));
    open_it();
    ck_assert_int_eq(lengths_open(&w.lengths), 0);
    for (int i = 0; i < rows; i++)
        lengths_add(w.lengths, 100, 50);
    w.rows = rows;
    lengths_cells(w.lengths, p);
    ck_assert_msg(!plan_search(&a, in.cluster, p, &in.model, in.profiles, in.n_profiles, &e), "%s",
                  e.text);
    free(p);
}

#define LAB                                                                                        \
    "{\"machines\":[{\"name\":\"lab\",\"count\":2,\"card\":\"H100-SXM-80GB\",\"devices\":4,"       \
    "\"usd_per_hour\":10},{\"name\":\"desk\",\"cpu\":{\"cores\":8,\"gflops\":500,\"gbs\":40,"      \
    "\"gib\":16}}]}"

#define WIDE                                                                                       \
    "{\"machines\":[{\"name\":\"rack\",\"count\":3,\"card\":\"H100-SXM-80GB\",\"devices\":8,"      \
    "\"usd_per_hour\":10},{\"name\":\"a-machine-of-a-name-that-is-quite-long\",\"count\":2,"       \
    "\"card\":\"L4\"},{\"name\":\"mixed\",\"cards\":[\"RTX 4090\",\"RTX 3090\"]},{\"name\":"       \
    "\"desk\",\"cpu\":{\"cores\":8,\"gflops\":1,\"gbs\":1,\"gib\":16}}]}"

START_TEST(a_plan_fits_eighty_columns)
{
    struct plan_told t = {
        .rows_of = "x", .answers = "as max_tokens says", .in = &in, .w = &w, .a = &a};
    struct buf out = {0};
    int lines = 0;

    plan_for(WIDE, 10);
    ck_assert_int_eq(plan_print(&t, 80, &out), 0);
    ck_assert_ptr_nonnull(strstr(out.data, "\nrack-1 to "));
    ck_assert_ptr_nonnull(strstr(out.data, "RTX-4090-24GB +"));
    ck_assert_ptr_nonnull(strstr(out.data, "\n4 machines without a price, "));
    ck_assert_ptr_nonnull(strstr(out.data, "few rows for so many instances"));
    for (const char *at = strstr(out.data, "\nbest plan"), *end; at; at = end, lines++) {
        end = strchr(at + 1, '\n');
        if (end) ck_assert_int_le(table_width(at + 1, (size_t)(end - at - 1)), 80);
    }
    ck_assert_int_gt(lines, 10);
    buf_fini(&out);
    plan_answer_fini(&a);
    workload_fini(&w);
}
END_TEST

START_TEST(instances_that_are_alike_are_one_line)
{
    struct plan_told t = {
        .rows_of = "x", .answers = "as max_tokens says", .in = &in, .w = &w, .a = &a};
    struct buf out = {0};
    int lines = 0;

    plan_for(LAB, 1000000);
    ck_assert_int_eq(plan_print(&t, 0, &out), 0);
    ck_assert_ptr_nonnull(strstr(out.data, "9 instances, "));
    ck_assert_ptr_nonnull(strstr(out.data, "\nlab-1, lab-2  8 of H100-SXM-80GB  bf16 "));
    ck_assert_ptr_nonnull(strstr(out.data, "\ndesk          1 of cpu            bf16 "));
    ck_assert_ptr_nonnull(strstr(out.data, "why not"));
    for (const char *at = strstr(out.data, "machines  "); (at = strchr(at, '\n')); at++)
        lines++;
    ck_assert_int_le(lines, 20);
    buf_fini(&out);
    plan_answer_fini(&a);
    workload_fini(&w);
}
END_TEST

START_TEST(the_object_has_every_instance_and_its_devices)
{
    struct plan_told t = {
        .rows_of = "x", .answers = "as max_tokens says", .in = &in, .w = &w, .a = &a};
    json_t *root, *all, *one;

    plan_for(LAB, 1000000);
    root = plan_json(&t);
    all = json_object_get(json_object_get(root, "plan"), "instances");
    ck_assert_uint_eq(json_array_size(all), 9);
    one = json_array_get(all, 5);
    ck_assert_str_eq(json_string_value(json_object_get(one, "machine")), "lab-2");
    ck_assert_str_eq(json_string_value(json_object_get(one, "devices")), "cuda:1");
    ck_assert(json_is_null(json_object_get(one, "mape")));
    ck_assert_double_eq_tol(
        json_number_value(json_object_get(one, "batch")) /
            json_number_value(json_object_get(one, "rows_per_s")),
        json_number_value(json_object_get(json_object_get(root, "plan"), "row_seconds")), 1e-9);
    ck_assert_double_gt(json_number_value(json_object_get(json_object_get(root, "plan"), "usd")),
                        0);
    ck_assert_uint_eq(json_array_size(json_object_get(root, "others")), (size_t)a.n_others);
    ck_assert_int_gt(a.n_others, 0);
    json_decref(root);
    plan_answer_fini(&a);
    workload_fini(&w);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("plan_input");
    TCase *t = tcase_create("plan_input");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_model_is_tried_as_it_is_stored_unless_more_is_asked);
    tcase_add_test(t, a_word_that_is_no_dtype_is_named);
    tcase_add_test(t, a_model_whose_weights_are_not_here_can_be_planned);
    tcase_add_test(t, without_a_file_and_nodes_it_is_this_machine);
    tcase_add_test(t, nodes_that_are_here_are_the_machines);
    tcase_add_test(t, a_node_with_a_card_that_nobody_knows_is_named);
    tcase_add_test(t, a_node_whose_devices_are_none_is_refused);
    tcase_add_test(t, devices_read_back_as_they_were_written);
    tcase_add_test(t, a_file_of_an_earlier_version_has_no_nodes);
    tcase_add_test(t, the_latest_profile_of_a_machine_is_taken);
    tcase_add_test(t, a_profile_speaks_of_the_card_and_of_either_kind_of_16_bits);
    tcase_add_test(t, instances_that_are_alike_are_one_line);
    tcase_add_test(t, a_plan_fits_eighty_columns);
    tcase_add_test(t, the_object_has_every_instance_and_its_devices);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
