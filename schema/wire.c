/* wire.c - the messages between clients, broker and workers. */
#include "schema/wire.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static const char *const TYPE_NAMES[WIRE_NTYPES] = {
    [WIRE_HELLO] = "hello",
    [WIRE_WELCOME] = "welcome",
    [WIRE_WANT] = "want",
    [WIRE_LEASE] = "lease",
    [WIRE_LEASE_ACK] = "lease_ack",
    [WIRE_RESULTS] = "results",
    [WIRE_RESULTS_ACK] = "results_ack",
    [WIRE_HEARTBEAT] = "heartbeat",
    [WIRE_REHELLO] = "rehello",
    [WIRE_BYE] = "bye",
    [WIRE_BATCH] = "batch",
    [WIRE_BATCH_OK] = "batch_ok",
    [WIRE_ROWS] = "rows",
    [WIRE_ROWS_OK] = "rows_ok",
    [WIRE_CONTROL] = "control",
    [WIRE_CONTROL_OK] = "control_ok",
    [WIRE_PING] = "ping",
    [WIRE_PONG] = "pong",
    [WIRE_REFUSED] = "refused",
    [WIRE_PROFILE] = "profile",
    [WIRE_CANCEL] = "cancel",
    [WIRE_CRASHED] = "crashed",
    [WIRE_CRASHED_OK] = "crashed_ok",
    [WIRE_NODE] = "node",
    [WIRE_NODE_PLAN] = "node_plan",
    [WIRE_PLAN] = "plan",
    [WIRE_PLAN_OK] = "plan_ok",
};

const char *wire_type_name(unsigned type)
{
    return type > 0 && type < WIRE_NTYPES ? TYPE_NAMES[type] : "?";
}

bool wire_is_workers(unsigned type)
{
    switch (type) {
    case WIRE_HELLO:
    case WIRE_PROFILE:
    case WIRE_WANT:
    case WIRE_LEASE_ACK:
    case WIRE_RESULTS:
    case WIRE_HEARTBEAT:
    case WIRE_BYE:
    case WIRE_CRASHED: return true;
    default: return false;
    }
}

/* --- the walk --------------------------------------------------------------------------------- */

/* Big-endian unsigned of n bytes; MessagePack's lengths. */
static uint64_t be(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

struct token {
    size_t head;   /* bytes of the tag and its length */
    uint64_t body; /* bytes of payload that follow */
    uint64_t kids; /* elements that follow */
    bool nests;    /* a list or a map, even an empty one */
};

/* Tags 0xC0 to 0xDF: width of the length field, and what it counts. */
static const struct {
    uint8_t width;               /* bytes of the length field */
    uint8_t fixed;               /* payload without a length field */
    enum { SIZE, LIST, MAP } is; /* what the length counts */
    uint8_t extra;               /* payload beside the counted bytes: an extension's type */
} TAGS[32] = {
    [0x04] = {1, 0, SIZE, 0}, [0x05] = {2, 0, SIZE, 0},  [0x06] = {4, 0, SIZE, 0}, /* bin */
    [0x07] = {1, 0, SIZE, 1}, [0x08] = {2, 0, SIZE, 1},  [0x09] = {4, 0, SIZE, 1}, /* ext */
    [0x0A] = {0, 4, SIZE, 0}, [0x0B] = {0, 8, SIZE, 0},                            /* float */
    [0x0C] = {0, 1, SIZE, 0}, [0x0D] = {0, 2, SIZE, 0},  [0x0E] = {0, 4, SIZE, 0},
    [0x0F] = {0, 8, SIZE, 0}, [0x10] = {0, 1, SIZE, 0},  [0x11] = {0, 2, SIZE, 0},
    [0x12] = {0, 4, SIZE, 0}, [0x13] = {0, 8, SIZE, 0},  [0x14] = {0, 2, SIZE, 0},
    [0x15] = {0, 3, SIZE, 0}, [0x16] = {0, 5, SIZE, 0}, /* fixext */
    [0x17] = {0, 9, SIZE, 0}, [0x18] = {0, 17, SIZE, 0}, [0x19] = {1, 0, SIZE, 0},
    [0x1A] = {2, 0, SIZE, 0}, [0x1B] = {4, 0, SIZE, 0}, /* str */
    [0x1C] = {2, 0, LIST, 0}, [0x1D] = {4, 0, LIST, 0},  [0x1E] = {2, 0, MAP, 0},
    [0x1F] = {4, 0, MAP, 0},
};

/* Reads the tag at p; false when its length field is cut or the tag is unused. */
static bool read_token(const uint8_t *p, size_t left, struct token *t)
{
    uint8_t c = p[0];
    size_t width;

    *t = (struct token){.head = 1};
    if (c < 0x80 || c >= 0xE0) return true; /* small integers */
    t->nests = c < 0xA0 || c >= 0xDC;
    if (c < 0x90) {
        t->kids = 2u * (c & 15u);
    } else if (c < 0xA0) {
        t->kids = c & 15u;
    } else if (c < 0xC0) {
        t->body = c & 31u;
    } else if (c == 0xC1) {
        return false;
    } else {
        width = TAGS[c & 31].width;
        if (left < 1 + width) return false;
        t->head += width;
        if (!width)
            t->body = TAGS[c & 31].fixed;
        else if (TAGS[c & 31].is == SIZE)
            t->body = be(p + 1, width) + TAGS[c & 31].extra;
        else
            t->kids = be(p + 1, width) * (TAGS[c & 31].is == MAP ? 2 : 1);
    }
    return true;
}

int wire_walk(const void *map, size_t len, struct errmsg *e)
{
    const uint8_t *p = map;
    uint64_t left_at[WIRE_MAX_DEPTH + 1]; /* elements still to come, for each open container */
    size_t at = 0;
    int depth = 0;

    left_at[0] = 1;
    while (depth >= 0) {
        struct token t;

        if (!left_at[depth]) {
            depth--;
            continue;
        }
        left_at[depth]--;
        if (at >= len || !read_token(p + at, len - at, &t))
            return err_set(e, ERR_FORMAT, "message is cut or holds a bad tag at byte %zu of %zu",
                           at, len);
        at += t.head;
        if (t.body > len - at || t.kids > len - at)
            return err_set(e, ERR_FORMAT, "message declares %llu where %zu bytes are left",
                           (unsigned long long)(t.body > t.kids ? t.body : t.kids), len - at);
        at += (size_t)t.body;
        if (t.nests && depth == WIRE_MAX_DEPTH)
            return err_set(e, ERR_FORMAT, "message is nested deeper than %d", WIRE_MAX_DEPTH);
        if (t.kids) left_at[++depth] = t.kids;
    }
    if (at != len) return err_set(e, ERR_FORMAT, "message has %zu bytes behind its map", len - at);
    return ERR_OK;
}

/* --- in --------------------------------------------------------------------------------------- */

int wire_parse(struct wire_msg *m, const void *head, size_t head_len, const void *map,
               size_t map_len, struct errmsg *e)
{
    size_t at = 0;
    int rc;

    if (head_len != sizeof m->head)
        return err_set(e, ERR_FORMAT, "header of %zu bytes, not %zu", head_len, sizeof m->head);
    memcpy(&m->head, head, sizeof m->head);
    if (m->head.magic != WIRE_MAGIC)
        return err_set(e, ERR_FORMAT, "header without our magic number");
    if (m->head.version != WIRE_VERSION)
        return err_set(e, ERR_FORMAT, "message version %u, this program speaks %d", m->head.version,
                       WIRE_VERSION);
    if (m->head.type == 0 || m->head.type >= WIRE_NTYPES)
        return err_set(e, ERR_FORMAT, "unknown message type %u", m->head.type);
    if (map_len > WIRE_MAX_BYTES)
        return err_set(e, ERR_FORMAT, "message of %zu bytes, at most %u", map_len, WIRE_MAX_BYTES);
    if ((rc = wire_walk(map, map_len, e))) return rc;
    if (msgpack_unpack_next(&m->unpacked, map, map_len, &at) != MSGPACK_UNPACK_SUCCESS)
        return err_set(e, ERR_FORMAT, "message is not MessagePack");
    if (m->unpacked.data.type != MSGPACK_OBJECT_MAP)
        return err_set(e, ERR_FORMAT, "message is not a map");
    m->map = m->unpacked.data;
    return ERR_OK;
}

/* Drops the frames that are left of the current message. */
static void drop_rest(void *socket, bool more)
{
    zmq_msg_t frame;

    while (more) {
        zmq_msg_init(&frame);
        more = zmq_msg_recv(&frame, socket, ZMQ_DONTWAIT) >= 0 && zmq_msg_more(&frame);
        zmq_msg_close(&frame);
    }
}

static int recv_frame(void *socket, zmq_msg_t *frame, struct errmsg *e)
{
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return ERR_EMPTY;
        return err_set(e, ERR_IO, "receive: %s", zmq_strerror(errno));
    }
    return ERR_OK;
}

/* The routing id that a ROUTER puts in front. */
static int recv_peer(void *socket, struct wire_msg *m, struct errmsg *e)
{
    zmq_msg_t frame;
    int rc;

    zmq_msg_init(&frame);
    rc = recv_frame(socket, &frame, e);
    if (!rc && (zmq_msg_size(&frame) > sizeof m->peer || !zmq_msg_more(&frame))) {
        drop_rest(socket, zmq_msg_more(&frame));
        rc = err_set(e, ERR_FORMAT, "message with a routing id of %zu bytes and no more",
                     zmq_msg_size(&frame));
    }
    if (!rc) {
        m->peer_len = zmq_msg_size(&frame);
        memcpy(m->peer, zmq_msg_data(&frame), m->peer_len);
    }
    zmq_msg_close(&frame);
    return rc;
}

/* Who the sender has proved to be; ZeroMQ keeps it with each message of the link. */
static void note_user(zmq_msg_t *frame, struct wire_msg *m)
{
    const char *user = zmq_msg_gets(frame, "User-Id");

    if (user) snprintf(m->user, sizeof m->user, "%s", user);
}

int wire_recv(void *socket, bool router, struct wire_msg *m, struct errmsg *e)
{
    zmq_msg_t head;
    int rc;

    memset(m, 0, sizeof *m);
    msgpack_unpacked_init(&m->unpacked);
    if (router && (rc = recv_peer(socket, m, e))) return rc;
    zmq_msg_init(&head);
    if ((rc = recv_frame(socket, &head, e))) goto out;
    if (router) note_user(&head, m);
    rc = ERR_FORMAT;
    if (!zmq_msg_more(&head)) {
        err_set(e, rc, "message of one frame");
        goto out;
    }
    m->frame = malloc(sizeof(zmq_msg_t));
    if (!m->frame) {
        drop_rest(socket, true);
        rc = err_set(e, ERR_NOMEM, "out of memory");
        goto out;
    }
    zmq_msg_init(m->frame);
    if ((rc = recv_frame(socket, m->frame, e))) goto out;
    if (zmq_msg_more((zmq_msg_t *)m->frame)) {
        drop_rest(socket, true);
        rc = err_set(e, ERR_FORMAT, "message of more than two frames");
        goto out;
    }
    rc = wire_parse(m, zmq_msg_data(&head), zmq_msg_size(&head), zmq_msg_data(m->frame),
                    zmq_msg_size(m->frame), e);
out:
    zmq_msg_close(&head);
    return rc;
}

size_t wire_msg_bytes(const struct wire_msg *m)
{
    return m->frame ? zmq_msg_size(m->frame) : 0;
}

void wire_msg_fini(struct wire_msg *m)
{
    msgpack_unpacked_destroy(&m->unpacked);
    if (m->frame) {
        zmq_msg_close(m->frame);
        free(m->frame);
        m->frame = NULL;
    }
}

/* --- out -------------------------------------------------------------------------------------- */

/* What the packer writes to.  A piece that found no memory would leave a message that lies. */
static int append(void *out, const char *data, size_t len)
{
    struct wire_out *o = out;

    if (!o->failed && msgpack_sbuffer_write(&o->buf, data, len)) o->failed = true;
    return o->failed ? -1 : 0;
}

void wire_begin_part(struct wire_out *o)
{
    msgpack_sbuffer_init(&o->buf);
    o->failed = false;
    msgpack_packer_init(&o->pk, o, append);
}

void wire_add_part(struct wire_out *o, const void *packed, size_t len)
{
    append(o, packed, len);
}

void wire_begin(struct wire_out *o, int n_keys)
{
    wire_begin_part(o);
    msgpack_pack_map(&o->pk, (size_t)n_keys);
}

void wire_fini(struct wire_out *o)
{
    msgpack_sbuffer_destroy(&o->buf);
}

int wire_send(void *socket, const char *peer, size_t peer_len, enum wire_type type,
              uint64_t request_id, const struct wire_out *o)
{
    struct wire_header head = {WIRE_MAGIC, WIRE_VERSION, (uint16_t)type, request_id};

    if (o->failed) return ERR_NOMEM;
    assert(o->buf.size <= WIRE_MAX_BYTES);
    if (peer && zmq_send(socket, peer, peer_len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return ERR_FULL;
    if (zmq_send(socket, &head, sizeof head, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return ERR_FULL;
    /* ZeroMQ takes or refuses a message as a whole, at its first frame. */
    return zmq_send(socket, o->buf.data, o->buf.size, ZMQ_DONTWAIT) < 0 ? ERR_FULL : ERR_OK;
}

void wire_add_int(struct wire_out *o, int64_t v)
{
    msgpack_pack_int64(&o->pk, v);
}

void wire_add_str(struct wire_out *o, const char *v, size_t len)
{
    msgpack_pack_str(&o->pk, len);
    msgpack_pack_str_body(&o->pk, v, len);
}

void wire_add_bin(struct wire_out *o, const void *v, size_t len)
{
    msgpack_pack_bin(&o->pk, len);
    msgpack_pack_bin_body(&o->pk, v, len);
}

void wire_add_array(struct wire_out *o, size_t n)
{
    msgpack_pack_array(&o->pk, n);
}

void wire_add_map(struct wire_out *o, size_t n)
{
    msgpack_pack_map(&o->pk, n);
}

void wire_add_nil(struct wire_out *o)
{
    msgpack_pack_nil(&o->pk);
}

size_t wire_add_hole(struct wire_out *o)
{
    msgpack_pack_fix_int64(&o->pk, 0);
    return o->buf.size - sizeof(int64_t);
}

void wire_fill(struct wire_out *o, size_t at, int64_t v)
{
    uint64_t be_v = htobe64((uint64_t)v);

    assert(at + sizeof be_v <= o->buf.size);
    memcpy(o->buf.data + at, &be_v, sizeof be_v);
}

static void put_key(struct wire_out *o, const char *key)
{
    wire_add_str(o, key, strlen(key));
}

void wire_put_int(struct wire_out *o, const char *key, int64_t v)
{
    put_key(o, key);
    wire_add_int(o, v);
}

void wire_put_float(struct wire_out *o, const char *key, double v)
{
    put_key(o, key);
    msgpack_pack_double(&o->pk, v);
}

void wire_put_str(struct wire_out *o, const char *key, const char *v)
{
    put_key(o, key);
    wire_add_str(o, v, strlen(v));
}

void wire_put_array(struct wire_out *o, const char *key, size_t n)
{
    put_key(o, key);
    wire_add_array(o, n);
}

/* --- look-ups --------------------------------------------------------------------------------- */

const msgpack_object *wire_get(const msgpack_object *map, const char *key)
{
    size_t len = strlen(key);

    if (map->type != MSGPACK_OBJECT_MAP) return NULL;
    for (uint32_t i = 0; i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];

        if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == len &&
            !memcmp(kv->key.via.str.ptr, key, len))
            return &kv->val;
    }
    return NULL;
}

static int64_t as_int(const msgpack_object *v, int64_t dflt)
{
    if (v && v->type == MSGPACK_OBJECT_POSITIVE_INTEGER && v->via.u64 <= INT64_MAX)
        return (int64_t)v->via.u64;
    if (v && v->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) return v->via.i64;
    return dflt;
}

static struct wire_text as_text(const msgpack_object *v)
{
    if (v && v->type == MSGPACK_OBJECT_STR && v->via.str.size)
        return (struct wire_text){v->via.str.ptr, v->via.str.size};
    if (v && v->type == MSGPACK_OBJECT_BIN && v->via.bin.size)
        return (struct wire_text){v->via.bin.ptr, v->via.bin.size};
    return (struct wire_text){"", 0};
}

int64_t wire_int(const msgpack_object *map, const char *key, int64_t dflt)
{
    return as_int(wire_get(map, key), dflt);
}

double wire_float(const msgpack_object *map, const char *key, double dflt)
{
    const msgpack_object *v = wire_get(map, key);

    if (v && (v->type == MSGPACK_OBJECT_FLOAT64 || v->type == MSGPACK_OBJECT_FLOAT32))
        return v->via.f64;
    return v && (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER ||
                 v->type == MSGPACK_OBJECT_NEGATIVE_INTEGER)
               ? (double)as_int(v, 0)
               : dflt;
}

struct wire_text wire_str(const msgpack_object *map, const char *key)
{
    return as_text(wire_get(map, key));
}

void wire_copy(const msgpack_object *map, const char *key, char *out, size_t cap)
{
    struct wire_text t = wire_str(map, key);
    size_t n = t.len < cap ? t.len : cap - 1;

    memcpy(out, t.at, n);
    out[n] = '\0';
}

const msgpack_object_array *wire_array(const msgpack_object *map, const char *key)
{
    const msgpack_object *v = wire_get(map, key);

    return v && v->type == MSGPACK_OBJECT_ARRAY ? &v->via.array : NULL;
}

int64_t wire_at_int(const msgpack_object_array *a, uint32_t i, int64_t dflt)
{
    return i < a->size ? as_int(&a->ptr[i], dflt) : dflt;
}

struct wire_text wire_at_str(const msgpack_object_array *a, uint32_t i)
{
    return as_text(i < a->size ? &a->ptr[i] : NULL);
}

const msgpack_object_array *wire_at_array(const msgpack_object_array *a, uint32_t i)
{
    return i < a->size && a->ptr[i].type == MSGPACK_OBJECT_ARRAY ? &a->ptr[i].via.array : NULL;
}
