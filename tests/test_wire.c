/* test_wire.c - messages: the walk before the parse, the look-ups, and a socket that hears rubbish.
 */
#include <string.h>
#include <zmq.h>

#include "base/clock.h"
#include "schema/wire.h"
#include "tests/test.h"

#define WALK(bytes) wire_walk(bytes, sizeof(bytes) - 1, &e)

static struct errmsg e;

/* --- the walk --- */

START_TEST(walk_takes_every_kind_of_value)
{
    ck_assert_int_eq(WALK("\x80"), ERR_OK);
    ck_assert_int_eq(WALK("\x81\xA1k\x01"), ERR_OK);
    ck_assert_int_eq(WALK("\x81\xA1k\x93\xC0\xC2\xC3"), ERR_OK);
    ck_assert_int_eq(WALK("\xCC\x01"), ERR_OK);
    ck_assert_int_eq(WALK("\xD3\1\2\3\4\5\6\7\10"), ERR_OK);
    ck_assert_int_eq(WALK("\xCB\1\2\3\4\5\6\7\10"), ERR_OK);
    ck_assert_int_eq(WALK("\xC4\x02xy"), ERR_OK);
    ck_assert_int_eq(WALK("\xD9\x02xy"), ERR_OK);
    ck_assert_int_eq(WALK("\xDC\0\2\1\1"), ERR_OK);
    ck_assert_int_eq(WALK("\xDF\0\0\0\1\1\1"), ERR_OK);
    ck_assert_int_eq(WALK("\xD4\1\1"), ERR_OK);
    ck_assert_int_eq(WALK("\xC7\2\1xy"), ERR_OK);
}
END_TEST

START_TEST(walk_refuses_every_cut_of_a_message)
{
    static const char WHOLE[] = "\x84\xA1"
                                "a\xDC\0\2\1\xCD\1\2\xA1"
                                "b\xDB\0\0\0\2xy\xA1"
                                "c\xC5\0\3xyz\xA1"
                                "d\xDE\0\1\xA1k\xCB\1\2\3\4\5\6\7\10";

    ck_assert_int_eq(WALK(WHOLE), ERR_OK);
    for (size_t n = 0; n < sizeof WHOLE - 1; n++)
        ck_assert_int_eq(wire_walk(WHOLE, n, &e), ERR_FORMAT);
}
END_TEST

START_TEST(walk_refuses_a_count_that_lies)
{
    ck_assert_int_eq(WALK("\xDD\xFF\xFF\xFF\xFF\1\1"), ERR_FORMAT);
    ck_assert_int_eq(WALK("\xDF\xFF\xFF\xFF\xFF\1\1"), ERR_FORMAT);
    ck_assert_int_eq(WALK("\xDB\xFF\xFF\xFF\xFFxy"), ERR_FORMAT);
    ck_assert_int_eq(WALK("\xC6\x7F\xFF\xFF\xFFxy"), ERR_FORMAT);
    ck_assert_int_eq(WALK("\x8F\1\1"), ERR_FORMAT);
    /* Each count fits what is left when it is read; together they do not. */
    ck_assert_int_eq(WALK("\x92\x93\1\1\1"), ERR_FORMAT);
}
END_TEST

START_TEST(walk_refuses_trailing_bytes_and_the_unused_tag)
{
    ck_assert_int_eq(WALK("\x80\x80"), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "1 bytes behind"));
    ck_assert_int_eq(WALK("\xC1"), ERR_FORMAT);
    ck_assert_int_eq(WALK("\x81\xA1k\xC1"), ERR_FORMAT);
}
END_TEST

START_TEST(walk_takes_depth_16_and_refuses_17)
{
    char lists[64], maps[128];

    memset(lists, 0x91, sizeof lists);
    lists[16] = 1;
    ck_assert_int_eq(wire_walk(lists, 17, &e), ERR_OK);
    lists[16] = (char)0x91;
    lists[17] = 1;
    ck_assert_int_eq(wire_walk(lists, 18, &e), ERR_FORMAT);
    lists[15] = (char)0x90; /* empty ones count too */
    ck_assert_int_eq(wire_walk(lists, 16, &e), ERR_OK);
    lists[15] = (char)0x91;
    lists[16] = (char)0x90;
    ck_assert_int_eq(wire_walk(lists, 17, &e), ERR_FORMAT);
    for (int i = 0; i < 17; i++)
        memcpy(maps + 2 * i, "\x81\1", 2);
    maps[32] = 1;
    ck_assert_int_eq(wire_walk(maps, 33, &e), ERR_OK);
    maps[32] = (char)0x80;
    ck_assert_int_eq(wire_walk(maps, 33, &e), ERR_FORMAT);
}
END_TEST

/* --- the parse --- */

static int parse(struct wire_header h, size_t head_len, const char *map, size_t len)
{
    struct wire_msg m = {0};
    int rc = wire_parse(&m, &h, head_len, map, len, &e);

    wire_msg_fini(&m);
    return rc;
}

START_TEST(parse_refuses_a_wrong_header_by_what_is_wrong)
{
    struct wire_header good = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7}, h = good;

    ck_assert_int_eq(parse(good, sizeof good, "\x80", 1), ERR_OK);
    ck_assert_int_eq(parse(good, sizeof good - 1, "\x80", 1), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "15 bytes"));
    h.magic++;
    ck_assert_int_eq(parse(h, sizeof h, "\x80", 1), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "magic"));
    h = good;
    h.version = WIRE_VERSION + 1;
    ck_assert_int_eq(parse(h, sizeof h, "\x80", 1), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "version 2"));
    h = good;
    h.type = 0;
    ck_assert_int_eq(parse(h, sizeof h, "\x80", 1), ERR_FORMAT);
    h.type = WIRE_NTYPES;
    ck_assert_int_eq(parse(h, sizeof h, "\x80", 1), ERR_FORMAT);
}
END_TEST

START_TEST(parse_refuses_what_is_no_map_and_what_is_too_large)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};

    ck_assert_int_eq(parse(h, sizeof h, "\x90", 1), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "not a map"));
    ck_assert_int_eq(parse(h, sizeof h, "\xA1x", 2), ERR_FORMAT);
    ck_assert_int_eq(parse(h, sizeof h, "", 0), ERR_FORMAT);
    ck_assert_int_eq(parse(h, sizeof h, "\x80", (size_t)WIRE_MAX_BYTES + 1), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "67108865"));
}
END_TEST

/* --- put and get --- */

static void pack_all(struct wire_out *o)
{
    wire_begin(o, 7);
    wire_put_int(o, "least", INT64_MIN);
    wire_put_int(o, "most", INT64_MAX);
    wire_put_str(o, "text", "h\xC3\xA4");
    wire_put_str(o, "empty", "");
    wire_put_array(o, "list", 5);
    wire_add_int(o, -1);
    wire_add_str(o, "a\0b", 3);
    wire_add_bin(o, "\xFF\0", 2);
    wire_add_array(o, 1);
    wire_add_int(o, 9);
    wire_add_map(o, 1);
    wire_add_str(o, "k", 1);
    wire_add_int(o, 5);
    wire_put_array(o, "none", 0);
    wire_put_int(o, "a key that nobody reads", 1);
}

START_TEST(what_is_put_is_what_is_got)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};
    const msgpack_object_array *list;
    struct wire_msg m = {0};
    struct wire_out o;

    pack_all(&o);
    ck_assert_int_eq(wire_parse(&m, &h, sizeof h, o.buf.data, o.buf.size, &e), ERR_OK);
    ck_assert_uint_eq(m.head.request_id, 7);
    ck_assert_int_eq(wire_int(&m.map, "least", 0), INT64_MIN);
    ck_assert_int_eq(wire_int(&m.map, "most", 0), INT64_MAX);
    ck_assert_uint_eq(wire_str(&m.map, "text").len, 3);
    ck_assert_uint_eq(wire_str(&m.map, "empty").len, 0);
    ck_assert_ptr_nonnull(wire_str(&m.map, "empty").at);
    ck_assert_ptr_nonnull(list = wire_array(&m.map, "list"));
    ck_assert_uint_eq(list->size, 5);
    ck_assert_int_eq(wire_at_int(list, 0, 0), -1);
    ck_assert_uint_eq(wire_at_str(list, 1).len, 3);
    ck_assert_mem_eq(wire_at_str(list, 1).at, "a\0b", 3);
    ck_assert_mem_eq(wire_at_str(list, 2).at, "\xFF\0", 2);
    ck_assert_int_eq(wire_at_int(wire_at_array(list, 3), 0, 0), 9);
    ck_assert_int_eq(wire_int(&list->ptr[4], "k", 0), 5);
    ck_assert_uint_eq(wire_array(&m.map, "none")->size, 0);
    wire_msg_fini(&m);
    wire_fini(&o);
}
END_TEST

START_TEST(a_missing_key_or_another_type_gives_the_default)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};
    struct wire_msg m = {0};
    struct wire_out o;
    char text[4];

    pack_all(&o);
    ck_assert_int_eq(wire_parse(&m, &h, sizeof h, o.buf.data, o.buf.size, &e), ERR_OK);
    ck_assert_int_eq(wire_int(&m.map, "tex", 42), 42);
    ck_assert_int_eq(wire_int(&m.map, "texts", 42), 42);
    ck_assert_int_eq(wire_int(&m.map, "text", 42), 42);
    ck_assert_uint_eq(wire_str(&m.map, "most").len, 0);
    ck_assert_ptr_null(wire_array(&m.map, "text"));
    ck_assert_int_eq(wire_at_int(wire_array(&m.map, "list"), 5, 42), 42);
    ck_assert_int_eq(wire_at_int(wire_array(&m.map, "list"), 1, 42), 42);
    ck_assert_uint_eq(wire_at_str(wire_array(&m.map, "list"), 5).len, 0);
    ck_assert_ptr_null(wire_at_array(wire_array(&m.map, "list"), 0));
    ck_assert_ptr_null(wire_get(&wire_array(&m.map, "list")->ptr[0], "k")); /* not a map */
    wire_copy(&m.map, "text", text, 3); /* cut to fit, and ended */
    ck_assert_str_eq(text, "h\xC3");
    wire_copy(&m.map, "missing", text, sizeof text);
    ck_assert_str_eq(text, "");
    wire_msg_fini(&m);
    wire_fini(&o);
}
END_TEST

START_TEST(a_float_is_read_back_and_an_integer_passes_for_one)
{
    struct wire_msg m = {0};
    struct wire_out o;
    const struct wire_header head = {WIRE_MAGIC, WIRE_VERSION, WIRE_PROFILE, 1};

    wire_begin(&o, 3);
    wire_put_float(&o, "k1", 0.125);
    wire_put_int(&o, "k2", -3);
    wire_put_str(&o, "k3", "1.5");
    ck_assert_int_eq(wire_parse(&m, &head, sizeof head, o.buf.data, o.buf.size, &e), ERR_OK);
    ck_assert_double_eq(wire_float(&m.map, "k1", 9), 0.125);
    ck_assert_double_eq(wire_float(&m.map, "k2", 9), -3);
    ck_assert_double_eq(wire_float(&m.map, "k3", 9), 9);
    ck_assert_double_eq(wire_float(&m.map, "k4", 9), 9);
    wire_msg_fini(&m);
    wire_fini(&o);
}
END_TEST

START_TEST(an_integer_above_int64_gives_the_default)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};
    struct wire_msg m = {0};
    static const char MAP[] = "\x81\xA1k\xCF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF";

    ck_assert_int_eq(wire_parse(&m, &h, sizeof h, MAP, sizeof MAP - 1, &e), ERR_OK);
    ck_assert_int_eq(wire_int(&m.map, "k", 42), 42);
    wire_msg_fini(&m);
}
END_TEST

START_TEST(every_type_has_a_name)
{
    for (unsigned t = 1; t < WIRE_NTYPES; t++)
        ck_assert_str_ne(wire_type_name(t), "?");
    ck_assert_str_eq(wire_type_name(0), "?");
    ck_assert_str_eq(wire_type_name(WIRE_NTYPES), "?");
    ck_assert_str_eq(wire_type_name(~0u), "?");
}
END_TEST

/* --- on a socket --- */

struct pair {
    void *zmq, *router, *dealer;
};

static struct pair pair_open(void)
{
    struct pair p = {.zmq = zmq_ctx_new()};
    int none = 0;
    char address[600];

    snprintf(address, sizeof address, "ipc://%s", test_path("s"));
    p.router = zmq_socket(p.zmq, ZMQ_ROUTER);
    p.dealer = zmq_socket(p.zmq, ZMQ_DEALER);
    zmq_setsockopt(p.dealer, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(p.router, ZMQ_LINGER, &none, sizeof none);
    ck_assert_int_eq(zmq_bind(p.router, address), 0);
    ck_assert_int_eq(zmq_connect(p.dealer, address), 0);
    return p;
}

static void pair_close(struct pair *p)
{
    zmq_close(p->router);
    zmq_close(p->dealer);
    zmq_ctx_term(p->zmq);
}

/* The next message or refusal, within two seconds. */
static int hear(void *socket, bool router, struct wire_msg *m)
{
    zmq_pollitem_t item = {socket, 0, ZMQ_POLLIN, 0};

    ck_assert_int_gt(zmq_poll(&item, 1, 2000), 0);
    return wire_recv(socket, router, m, &e);
}

static void send_ping(void *dealer, uint64_t id)
{
    struct wire_out o;

    pack_all(&o);
    ck_assert_int_eq(wire_send(dealer, NULL, 0, WIRE_PING, id, &o), ERR_OK);
    wire_fini(&o);
}

static void expect_ping(void *router, uint64_t id)
{
    struct wire_msg m;

    ck_assert_msg(!hear(router, true, &m), "%s", e.text);
    ck_assert_int_eq(m.head.type, WIRE_PING);
    ck_assert_uint_eq(m.head.request_id, id);
    ck_assert_int_eq(wire_int(&m.map, "most", 0), INT64_MAX);
    wire_msg_fini(&m);
}

START_TEST(an_answer_goes_back_to_who_asked)
{
    struct pair p = pair_open();
    struct wire_msg m;
    struct wire_out o;

    send_ping(p.dealer, 3);
    ck_assert_int_eq(hear(p.router, true, &m), ERR_OK);
    wire_begin(&o, 0);
    ck_assert_int_eq(wire_send(p.router, m.peer, m.peer_len, WIRE_PONG, m.head.request_id, &o), 0);
    wire_fini(&o);
    wire_msg_fini(&m);
    ck_assert_int_eq(hear(p.dealer, false, &m), ERR_OK);
    ck_assert_int_eq(m.head.type, WIRE_PONG);
    ck_assert_uint_eq(m.head.request_id, 3);
    wire_msg_fini(&m);
    ck_assert_int_eq(wire_recv(p.dealer, false, &m, &e), ERR_EMPTY);
    pair_close(&p);
}
END_TEST

START_TEST(sending_to_a_peer_that_is_gone_is_full)
{
    struct pair p = pair_open();
    struct wire_out o;
    int one = 1;

    zmq_setsockopt(p.router, ZMQ_ROUTER_MANDATORY, &one, sizeof one);
    wire_begin(&o, 0);
    ck_assert_int_eq(wire_send(p.router, "nobody", 6, WIRE_PONG, 1, &o), ERR_FULL);
    wire_fini(&o);
    send_ping(p.dealer, 1); /* and nothing of it was left in the way */
    expect_ping(p.router, 1);
    pair_close(&p);
}
END_TEST

START_TEST(after_one_frame_the_next_good_message_arrives)
{
    struct pair p = pair_open();
    struct wire_msg m;

    ck_assert_int_eq(zmq_send(p.dealer, "x", 1, 0), 1);
    send_ping(p.dealer, 2);
    ck_assert_int_eq(hear(p.router, true, &m), ERR_FORMAT);
    ck_assert_uint_gt(m.peer_len, 0);
    wire_msg_fini(&m);
    expect_ping(p.router, 2);
    pair_close(&p);
}
END_TEST

START_TEST(after_three_frames_the_next_good_message_arrives)
{
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};
    struct pair p = pair_open();
    struct wire_msg m;

    zmq_send(p.dealer, &h, sizeof h, ZMQ_SNDMORE);
    zmq_send(p.dealer, "\x80", 1, ZMQ_SNDMORE);
    zmq_send(p.dealer, "\x80", 1, ZMQ_SNDMORE);
    zmq_send(p.dealer, "\x80", 1, 0);
    send_ping(p.dealer, 2);
    ck_assert_int_eq(hear(p.router, true, &m), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "more than two"));
    wire_msg_fini(&m);
    expect_ping(p.router, 2);
    pair_close(&p);
}
END_TEST

START_TEST(after_rubbish_the_next_good_message_arrives)
{
    static const char *const RUBBISH[] = {"", "x", "\x81", "\xC1", "\x91\x91\x91"};
    struct wire_header h = {WIRE_MAGIC, WIRE_VERSION, WIRE_PING, 7};
    struct pair p = pair_open();
    struct wire_msg m;

    for (uint64_t i = 0; i < 5; i++) {
        zmq_send(p.dealer, &h, i % 2 ? sizeof h : 3, ZMQ_SNDMORE);
        zmq_send(p.dealer, RUBBISH[i], strlen(RUBBISH[i]), 0);
        send_ping(p.dealer, 10 + i);
        ck_assert_int_eq(hear(p.router, true, &m), ERR_FORMAT);
        wire_msg_fini(&m);
        expect_ping(p.router, 10 + i);
    }
    pair_close(&p);
}
END_TEST

START_TEST(a_routing_id_that_is_too_long_is_refused_alone)
{
    struct pair p = pair_open();
    struct wire_msg m;
    char id[100], address[600];
    void *other = zmq_socket(p.zmq, ZMQ_DEALER);

    memset(id, 'i', sizeof id);
    zmq_setsockopt(other, ZMQ_ROUTING_ID, id, sizeof id);
    snprintf(address, sizeof address, "ipc://%s", test_path("s"));
    zmq_connect(other, address);
    send_ping(other, 1);
    ck_assert_int_eq(hear(p.router, true, &m), ERR_FORMAT);
    wire_msg_fini(&m);
    send_ping(p.dealer, 2);
    expect_ping(p.router, 2);
    zmq_close(other);
    pair_close(&p);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("wire");
    TCase *t = tcase_create("wire");

    tcase_add_test(t, walk_takes_every_kind_of_value);
    tcase_add_test(t, walk_refuses_every_cut_of_a_message);
    tcase_add_test(t, walk_refuses_a_count_that_lies);
    tcase_add_test(t, walk_refuses_trailing_bytes_and_the_unused_tag);
    tcase_add_test(t, walk_takes_depth_16_and_refuses_17);
    tcase_add_test(t, parse_refuses_a_wrong_header_by_what_is_wrong);
    tcase_add_test(t, parse_refuses_what_is_no_map_and_what_is_too_large);
    tcase_add_test(t, what_is_put_is_what_is_got);
    tcase_add_test(t, a_missing_key_or_another_type_gives_the_default);
    tcase_add_test(t, a_float_is_read_back_and_an_integer_passes_for_one);
    tcase_add_test(t, an_integer_above_int64_gives_the_default);
    tcase_add_test(t, every_type_has_a_name);
    tcase_add_test(t, an_answer_goes_back_to_who_asked);
    tcase_add_test(t, sending_to_a_peer_that_is_gone_is_full);
    tcase_add_test(t, after_one_frame_the_next_good_message_arrives);
    tcase_add_test(t, after_three_frames_the_next_good_message_arrives);
    tcase_add_test(t, after_rubbish_the_next_good_message_arrives);
    tcase_add_test(t, a_routing_id_that_is_too_long_is_refused_alone);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
