/* wire.h - the messages between clients, broker and workers.
 *
 * A message is two ZeroMQ frames: struct wire_header, then one MessagePack map with text keys.  The
 * broker's socket is a ROUTER, which puts the sender's routing id in front; everyone else's is a
 * DEALER.
 *
 *   worker:  hello -> welcome; profile; want -> lease -> lease_ack; results -> results_ack;
 *            (cancel) -> results; heartbeat -> (rehello); bye; crashed -> crashed_ok
 *   node:    node -> node_plan, again and again
 *   client:  batch -> batch_ok; rows -> rows_ok; control -> control_ok; plan -> plan_ok;
 *            ping -> pong; any -> refused
 *
 * The maps, by type (s text, i integer, b bytes, [] array; keys not listed are ignored):
 *
 *   hello        uuid s, name s, host s, device s, model s, model_hash s, dtype s, kv_dtype s,
 *                engine s, tp i, threads i, kv_tokens i, max_model_len i, max_num_seqs i,
 *                max_num_batched_tokens i, prefix_caching i, unstarted i (1: it knows that key of a
 *                cancel, and says unbegun), pid i,
 *                vmin i, vmax i, db_uuid s, held [[job i, generation i]]
 *   welcome      db_uuid s, epoch i, instance i, heartbeat_ms i, version i
 *   profile      source s, k0 f, kw f, k1 f, k2 f, k3 f, k4 f (ms), kv_tokens i, mape f,
 *                held_out_mape f, samples i, shared i, drift i, start_mape f
 *   want         rows i, tokens i, held i: how much more this instance can take now, beside the
 *                `held` jobs that it has; it stands until it is used up or said anew.  Without
 *                `held` one lease ends it
 *   lease        db_uuid s, epoch i,
 *                jobs [[job i, generation i, attempt i, endpoint i, body b]]
 *   lease_ack    jobs [i]
 *   results      db_uuid s, epoch i, results [map]: see enum wire_kind
 *   cancel       jobs [i], why s, unstarted i: what still runs of them comes back as a put_back,
 *                within one step; with unstarted 1 only what has not been in a step yet
 *   results_ack  jobs [i]: sent after the commit; refused ones too, they are settled
 *   heartbeat    held [i], state s ("busy" or "idle"), steps i, beats i, step_ms i, rows i,
 *                prompt_tokens i, output_tokens i, cached_tokens i, running i, waiting i,
 *                unbegun i (jobs held that have not been in a step), queued_tokens i, kv_blocks i,
 * kv_free i, memory_bytes i, power_mw i, clock_mhz i, others i (the last four only where they are
 * known) rehello      (empty): the broker does not know this worker, say hello again bye (empty):
 * what the worker still holds goes back to ready crashed      uuid s, why s, signal i, others i,
 * jobs [[job i, generation i]]: the rows of the last step of an instance that ended by a signal of
 * Q8 (0: whose device failed), and how many more were in steps of its process; from the process
 * that saw it crashed_ok suspects i batch        name s, model s, priority i, max_attempts i,
 * not_before_ms i, deadline_ms i, window_from i, window_to i, reuse i batch_ok     batch i, existed
 * i, db_uuid s, and when it existed its values under the keys of `batch` rows         batch i,
 * replace i, rows [[custom_id s, line i, endpoint i, body b, code s, message s, param s, priority i
 * or nil (the batch's), prefix_group i, fixed i]]; with a code the row is stored as failed; fixed:
 * the same tokens each time (temperature 0, or a seed) rows_ok      added i, same i, differs i,
 * replaced i, mended i, reused i control      verb s ("pause", "resume", "cancel", "retry",
 * "delete"), batch s, job s (a custom_id; "" all of the batch), code s (retry: only rows that
 * failed with it) control_ok   rows i ping         (empty) pong         db_uuid s, db s, version s,
 * pid i, epoch i, workers i, leases i, window i, refused i, trouble s (why nothing can be written
 * now, or "") node         name s, uuid s (of this run), host s, devices s (JSON: [{"name",
 * "device", "bytes", "flops", "bytes_per_s"}]), cores i, memory_bytes i, usd_per_hour f, ending i
 * (1: it goes); the first one joins, the next ones say that it is still there node_plan    plan i
 * (0: there is none), model s, beat_ms i (say node again after so long), instances [map]: this
 * node's, each n i, devices s, tp i, dtype s, kv_dtype s plan         model s, batch s, rows i,
 * seconds f, usd f, detail s (JSON), instances [map], each node s, devices s, tp i, dtype s,
 * kv_dtype s, kv_tokens i, rows_per_s f, source s, mape f (under 0: not known); none of them: no
 * plan is active any more plan_ok      plan i refused      code s, message s
 *
 * Before a map is parsed, wire_walk checks that its declared counts fit the bytes left and that its
 * depth is at most WIRE_MAX_DEPTH.
 *
 * To change a message: add keys, never reuse one; when an old program could act wrongly on it,
 * raise WIRE_VERSION and answer both for one release.
 *
 * Threads  no shared state; a socket belongs to one thread.
 */
#ifndef SCHEMA_WIRE_H
#define SCHEMA_WIRE_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WIRE_MAGIC     0x4C494D4Eu /* "NMIL" */
#define WIRE_VERSION   1
#define WIRE_MAX_DEPTH 16
#define WIRE_MAX_BYTES (64u << 20) /* a message */
#define WIRE_USER      41          /* a key of 40 characters, and a NUL */
#define WIRE_GROUP_BYTES                                                                           \
    (1u << 20) /* leases, results and rows are cut into messages of about this size */

enum wire_type {
    WIRE_HELLO = 1,
    WIRE_WELCOME,
    WIRE_WANT,
    WIRE_LEASE,
    WIRE_LEASE_ACK,
    WIRE_RESULTS,
    WIRE_RESULTS_ACK,
    WIRE_HEARTBEAT,
    WIRE_REHELLO,
    WIRE_BYE,
    WIRE_BATCH,
    WIRE_BATCH_OK,
    WIRE_ROWS,
    WIRE_ROWS_OK,
    WIRE_CONTROL,
    WIRE_CONTROL_OK,
    WIRE_PING,
    WIRE_PONG,
    WIRE_REFUSED,
    WIRE_PROFILE,
    WIRE_CANCEL,
    WIRE_CRASHED,
    WIRE_CRASHED_OK,
    WIRE_NODE,
    WIRE_NODE_PLAN,
    WIRE_PLAN,
    WIRE_PLAN_OK,
    WIRE_NTYPES
};
const char *wire_type_name(unsigned type);
bool wire_is_workers(unsigned type); /* said by a worker, or the process above it */

struct wire_header { /* little-endian */
    uint32_t magic;
    uint16_t version;
    uint16_t type;
    uint64_t request_id; /* an answer carries its question's */
};
_Static_assert(sizeof(struct wire_header) == 16, "wire v1");

/* Of a result.  Each has job i, generation i, kind i; beside these
 *   done      finish_reason s, prompt_tokens i, cached_tokens i, output_tokens i, queue_ms i,
 *             prefill_ms i, decode_ms i, seed i, batch_invariant i, text s, choices s (JSON)
 *   error     code s, message s, param s, final i (1: no use to try again), attempt i (of the
 *             lease: an error that is sent again counts once)
 *   put_back  code s, need_tokens i (of KV memory, when it does not fit there) */
enum wire_kind { WIRE_DONE, WIRE_ERROR, WIRE_PUT_BACK };

/* A message that came in; the map borrows from the frame. */
struct wire_msg {
    struct wire_header head;
    char peer[64]; /* routing id, ROUTER only */
    size_t peer_len;
    char user[WIRE_USER]; /* ROUTER only: the public key that the link was made with; "": none */
    msgpack_unpacked unpacked;
    msgpack_object map;
    void *frame; /* zmq_msg_t */
};

/* Receives one message without waiting.  ERR_EMPTY when there is none; ERR_FORMAT, with the reason,
 * for one that is malformed (it has been taken off the socket; m->peer is set where it was there);
 * ERR_IO otherwise. wire_msg_fini in every case but ERR_EMPTY. */
int wire_recv(void *socket, bool router, struct wire_msg *m, struct errmsg *e) MUSTCHECK;
void wire_msg_fini(struct wire_msg *m);
size_t wire_msg_bytes(const struct wire_msg *m); /* of its map; 0 where that lies elsewhere */

/* Checks the header, then the map's form, of two frames in memory; what wire_recv and the fuzzers
 * run. */
int wire_parse(struct wire_msg *m, const void *head, size_t head_len, const void *map,
               size_t map_len, struct errmsg *e);
int wire_walk(const void *map, size_t len, struct errmsg *e);

/* A message that goes out. */
struct wire_out {
    msgpack_sbuffer buf;
    msgpack_packer pk; /* holds this struct's address: it stays where wire_begin had it */
    bool failed;       /* no memory for a part of it: it is never sent */
};
void wire_begin(struct wire_out *o, int n_keys);
void wire_begin_part(struct wire_out *o); /* elements alone, for wire_add_part */
void wire_fini(struct wire_out *o);
/* Sends without waiting; peer NULL on a DEALER.  ERR_FULL when the peer is gone or its queue is
 * full, ERR_NOMEM when the message was not made whole: nothing was sent. */
int wire_send(void *socket, const char *peer, size_t peer_len, enum wire_type type,
              uint64_t request_id, const struct wire_out *o) MUSTCHECK;

/* One key with its value. */
void wire_put_int(struct wire_out *o, const char *key, int64_t v);
void wire_put_float(struct wire_out *o, const char *key, double v);
void wire_put_str(struct wire_out *o, const char *key, const char *v);
void wire_put_array(struct wire_out *o, const char *key, size_t n); /* n elements follow */
/* Elements. */
void wire_add_int(struct wire_out *o, int64_t v);
void wire_add_str(struct wire_out *o, const char *v, size_t len);
void wire_add_bin(struct wire_out *o, const void *v, size_t len);
void wire_add_array(struct wire_out *o, size_t n);
void wire_add_map(struct wire_out *o, size_t n);
void wire_add_part(struct wire_out *o, const void *packed, size_t len); /* what was packed before */
void wire_add_nil(struct wire_out *o);
/* An integer that is known later: its place in the message, and its value. */
size_t wire_add_hole(struct wire_out *o);
void wire_fill(struct wire_out *o, size_t at, int64_t v);

/* Look-ups in a map: NULL or the default when the key is missing or of another type. */
const msgpack_object *wire_get(const msgpack_object *map, const char *key);
int64_t wire_int(const msgpack_object *map, const char *key, int64_t dflt);
double wire_float(const msgpack_object *map, const char *key, double dflt); /* an integer too */
struct wire_text {
    const char *at; /* borrowed; not NUL-terminated; never NULL */
    size_t len;
};
struct wire_text wire_str(const msgpack_object *map, const char *key); /* text or bytes */
void wire_copy(const msgpack_object *map, const char *key, char *out, size_t cap); /* cut to fit */
const msgpack_object_array *wire_array(const msgpack_object *map,
                                       const char *key); /* NULL when missing */
/* Element i of an array as an integer or text; the default when it is not one. */
int64_t wire_at_int(const msgpack_object_array *a, uint32_t i, int64_t dflt);
struct wire_text wire_at_str(const msgpack_object_array *a, uint32_t i);
const msgpack_object_array *wire_at_array(const msgpack_object_array *a, uint32_t i);

#endif
