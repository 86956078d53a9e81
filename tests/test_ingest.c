/* test_ingest.c - clients/ingest, with a broker made of a socket: what of a file is asked and sent.
 */
#include <pthread.h>
#include <string.h>
#include <zmq.h>

#include "clients/ingest.h"
#include "tests/process.h"
#include "tests/test.h"

#define MAX_ROWS 64
#define LONG                                                                                       \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"     \
    "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"

/* A broker that takes everything and keeps what it saw. */
static struct {
    void *zmq, *socket;
    pthread_t thread;
    bool existed;
    int64_t priority; /* that the batch has */
    int n_batches, batch_keys;
    int64_t asked_deadline;
    struct seen {
        char id[32], code[32];
        bool has_priority;
        int64_t line, priority, prefix_group, fixed;
    } rows[MAX_ROWS];
    int n_rows;
} broker;

static struct client *client;
static struct ingest_opts o;
static struct ingest_counts n;
static struct errmsg err;

static void answer_batch(const struct wire_msg *m)
{
    struct wire_out out;

    broker.n_batches++;
    broker.batch_keys = (int)m->map.via.map.size;
    broker.asked_deadline = wire_int(&m->map, "deadline_ms", -1);
    wire_begin(&out, 4);
    wire_put_int(&out, "batch", 1);
    wire_put_int(&out, "existed", broker.existed);
    wire_put_int(&out, "priority", broker.priority);
    wire_put_str(&out, "model", "tidy");
    ck_assert_int_eq(
        wire_send(broker.socket, m->peer, m->peer_len, WIRE_BATCH_OK, m->head.request_id, &out), 0);
    wire_fini(&out);
}

static void answer_rows(const struct wire_msg *m)
{
    const msgpack_object_array *rows = wire_array(&m->map, "rows");
    struct wire_out out;

    for (uint32_t i = 0; i < rows->size && broker.n_rows < MAX_ROWS; i++) {
        const msgpack_object_array *a = wire_at_array(rows, i);
        struct seen *s = &broker.rows[broker.n_rows++];
        struct wire_text id = wire_at_str(a, 0), code = wire_at_str(a, 4);

        ck_assert_uint_eq(a->size, 10);
        snprintf(s->id, sizeof s->id, "%.*s", (int)id.len, id.at);
        snprintf(s->code, sizeof s->code, "%.*s", (int)code.len, code.at);
        s->line = wire_at_int(a, 1, -1);
        s->has_priority = a->ptr[7].type != MSGPACK_OBJECT_NIL;
        s->priority = wire_at_int(a, 7, 0);
        s->prefix_group = wire_at_int(a, 8, -1);
        s->fixed = wire_at_int(a, 9, -1);
    }
    wire_begin(&out, 1);
    wire_put_int(&out, "added", rows->size);
    ck_assert_int_eq(
        wire_send(broker.socket, m->peer, m->peer_len, WIRE_ROWS_OK, m->head.request_id, &out), 0);
    wire_fini(&out);
}

static void *serve(void *arg)
{
    zmq_pollitem_t item = {broker.socket, 0, ZMQ_POLLIN, 0};
    struct wire_msg m;

    (void)arg;
    while (zmq_poll(&item, 1, -1) >= 0) { /* until the context is shut down */
        if (wire_recv(broker.socket, true, &m, NULL)) break;
        if (m.head.type == WIRE_BATCH) answer_batch(&m);
        if (m.head.type == WIRE_ROWS) answer_rows(&m);
        wire_msg_fini(&m);
    }
    zmq_close(broker.socket);
    return NULL;
}

static void set_up(void)
{
    char address[600];

    snprintf(address, sizeof address, "ipc://%s", test_path("s"));
    broker.zmq = zmq_ctx_new();
    broker.socket = zmq_socket(broker.zmq, ZMQ_ROUTER);
    ck_assert_int_eq(zmq_bind(broker.socket, address), 0);
    ck_assert_int_eq(pthread_create(&broker.thread, NULL, serve, NULL), 0);
    ck_assert_int_eq(client_open(&client, address, NULL, &err), 0);
    o = (struct ingest_opts){.wish = BATCH_WISH_DEFAULT, .signals = -1, .errors = NULL};
    o.format.max_bytes = 4096;
}

static void tear_down(void)
{
    client_close(&client);
    zmq_ctx_shutdown(broker.zmq);
    pthread_join(broker.thread, NULL);
    zmq_ctx_term(broker.zmq);
}

static int ingest(const char *text)
{
    o.file = test_file("in.jsonl", text, strlen(text));
    return ingest_file(client, &o, &n, &err);
}

START_TEST(a_batch_is_asked_only_what_was_said)
{
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), 0);
    ck_assert_int_eq(broker.batch_keys, 1); /* its name */
    ck_assert_int_eq(n.sent.added, 1);
    o.wish.model = "tidy";
    o.wish.deadline_ms = 5000;
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), 0);
    ck_assert_int_eq(broker.batch_keys, 3);
    ck_assert_int_eq(broker.asked_deadline, 5000);
}
END_TEST

START_TEST(a_batch_that_exists_names_what_it_keeps)
{
    broker.priority = 7;
    o.wish.priority = 5;
    o.wish.model = "other";
    o.wish.deadline_ms = 5000; /* this broker does not say its deadline */
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), 0);
    ck_assert_str_eq(n.found.keeps, ""); /* it is new */
    broker.existed = true;
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), 0);
    ck_assert_str_eq(n.found.keeps, "model tidy (not other), priority 7 (not 5)");
    o.wish = (struct batch_wish)BATCH_WISH_DEFAULT;
    o.wish.priority = 7;
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), 0);
    ck_assert_str_eq(n.found.keeps, "");
}
END_TEST

START_TEST(a_row_carries_its_priority_and_whether_it_is_fixed)
{
    ck_assert_int_eq(ingest("{\"custom_id\":\"a\",\"prompt\":\"x\"}\n"
                            "{\"custom_id\":\"b\",\"prompt\":\"x\",\"priority\":-4,\"seed\":1}\n"
                            "{\"custom_id\":\"c\",\"prompt\":7,\"priority\":1}\n"),
                     0);
    ck_assert_int_eq(broker.n_rows, 3);
    ck_assert(!broker.rows[0].has_priority);
    ck_assert_int_eq(broker.rows[0].fixed, 0);
    ck_assert_int_eq(broker.rows[1].priority, -4);
    ck_assert_int_eq(broker.rows[1].fixed, 1);
    ck_assert_str_eq(broker.rows[2].code, "invalid_request");
    ck_assert_int_eq(broker.rows[2].line, 3);
}
END_TEST

START_TEST(rows_that_begin_alike_are_sent_with_one_group)
{
    ck_assert_int_eq(ingest("{\"prompt\":\"" LONG "x\"}\n"
                            "{\"prompt\":\"short\"}\n"
                            "{\"prompt\":\"another " LONG "\"}\n"
                            "{\"n\":1,\"prompt\":\"" LONG "y\"}\n"),
                     0);
    ck_assert_int_gt(broker.rows[0].prefix_group, 0);
    ck_assert_int_eq(broker.rows[1].prefix_group, 0);
    ck_assert_int_eq(broker.rows[2].prefix_group, 0);
    ck_assert_int_eq(broker.rows[3].prefix_group, broker.rows[0].prefix_group);
}
END_TEST

START_TEST(strict_sends_nothing_when_a_line_is_bad)
{
    struct buf list;

    o.strict = true;
    o.errors = test_path("errors.json");
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n\n{\"prompt\":7}\n{\"prom\n"),
                     ERR_FORMAT); /* G2 */
    ck_assert_int_eq(broker.n_batches, 0);
    ck_assert_int_eq(n.refused, 2);
    list = process_read(o.errors);
    ck_assert_str_eq(list.data,
                     "{\"object\":\"list\",\"data\":[{\"code\":\"invalid_request\",\"message\":"
                     "\"prompt must be a string\",\"param\":\"prompt\",\"line\":3},\n"
                     "{\"code\":\"invalid_json_line\",\"message\":"
                     "\"premature end of input near '\\\"prom'\",\"param\":null,\"line\":4}]}\n");
    buf_fini(&list);
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n{\"prompt\":\"y\"}\n"), 0);
    ck_assert_int_eq(broker.n_rows, 2);
    list = process_read(o.errors);
    ck_assert_str_eq(list.data, "{\"object\":\"list\",\"data\":[]}\n");
    buf_fini(&list);
}
END_TEST

START_TEST(strict_wants_one_model_one_endpoint_and_a_row)
{
    static const struct {
        const char *text, *code; /* NULL: it is taken */
    } FILES[] = {
        {"", "empty_file"},
        {"\n \n", "empty_file"},
        {"{\"prompt\":\"x\",\"model\":\"a\"}\n{\"prompt\":\"y\",\"model\":\"b\"}\n",
         "model_mismatch"},
        {"{\"prompt\":\"x\",\"model\":\"a\"}\n{\"prompt\":\"y\"}\n", NULL},
        {"{\"prompt\":\"x\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"y\"}]}\n",
         "url_mismatch"},
    };

    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        struct buf list;

        o.strict = true;
        o.errors = test_path("errors.json");
        ck_assert_int_eq(ingest(FILES[i].text), FILES[i].code ? ERR_FORMAT : 0); /* G2 */
        list = process_read(o.errors);
        ck_assert_msg(!FILES[i].code || strstr(list.data, FILES[i].code), "%s: %s", FILES[i].text,
                      list.data);
        buf_fini(&list);
        o.strict = false;
        ck_assert_int_eq(ingest(FILES[i].text), 0);
        ck_assert_int_eq(n.refused, 0);
    }
}
END_TEST

START_TEST(the_list_of_bad_lines_never_takes_the_inputs_place)
{
    o.errors = test_path("in.jsonl");
    ck_assert_int_eq(ingest("{\"prompt\":\"x\"}\n"), ERR_ARG);
    ck_assert_int_eq(broker.n_batches, 0);
}
END_TEST

START_TEST(a_directory_is_refused_by_name_before_a_batch_is_made)
{
    o.file = test_path("");
    o.batch = "b";
    ck_assert_int_eq(ingest_file(client, &o, &n, &err), ERR_IO);
    ck_assert_msg(!strncmp(err.text, o.file, strlen(o.file)), "%s", err.text);
    ck_assert_int_eq(broker.n_batches, 0);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("ingest");
    TCase *t = tcase_create("ingest");

    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_batch_is_asked_only_what_was_said);
    tcase_add_test(t, a_batch_that_exists_names_what_it_keeps);
    tcase_add_test(t, a_row_carries_its_priority_and_whether_it_is_fixed);
    tcase_add_test(t, rows_that_begin_alike_are_sent_with_one_group);
    tcase_add_test(t, strict_sends_nothing_when_a_line_is_bad);
    tcase_add_test(t, strict_wants_one_model_one_endpoint_and_a_row);
    tcase_add_test(t, the_list_of_bad_lines_never_takes_the_inputs_place);
    tcase_add_test(t, a_directory_is_refused_by_name_before_a_batch_is_made);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
