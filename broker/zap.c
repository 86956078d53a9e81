/* zap.c - who gets through the door. */
#include "broker/zap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#define HANDLER    "inproc://zeromq.zap.01"
#define MONITOR    "inproc://nightmill.handshakes"
#define ZAP_DOMAIN "nightmill"
/* A refused link is silent until this ends it; then its other side may knock again. */
#define HANDSHAKE_MS 1000
#define FAILURES                                                                                   \
    (ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                  \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

/* The frames of a question (ZeroMQ's RFC 27); an answer has the first two, and four of its own. */
enum frame { VERSION, REQUEST, DOMAIN_NAME, ADDRESS, IDENTITY, MECHANISM, CREDENTIALS, N_FRAMES };
#define FRAME_BYTES 256

struct question {
    char at[N_FRAMES][FRAME_BYTES];
    size_t len[N_FRAMES];
    int n;
    bool good; /* as many frames as there should be, none too long */
};

struct zap {
    struct keyring *keys;
    void *handler, *monitor;
    void *guarded;
    char stranger[FRAME_BYTES]; /* where the last key that was not taken came from */
};

/* --- questions -------------------------------------------------------------------------------- */

static bool take_question(void *socket, struct question *q)
{
    int more = 1;
    size_t size = sizeof more;

    memset(q, 0, sizeof *q);
    q->good = true;
    while (more) {
        char *at = q->at[q->n < N_FRAMES ? q->n : N_FRAMES - 1];
        int len = zmq_recv(socket, at, FRAME_BYTES - 1, ZMQ_DONTWAIT);

        if (len < 0) return false;
        if (len >= FRAME_BYTES || q->n >= N_FRAMES)
            q->good = false;
        else
            q->len[q->n] = (size_t)len;
        q->n++;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size)) return false;
    }
    q->good = q->good && q->n == N_FRAMES;
    return true;
}

/* The member behind a question, or NULL. */
static const struct key *judge(const struct zap *z, const struct question *q)
{
    char public_key[KEY_Z85];

    if (!q->good || strcmp(q->at[VERSION], "1.0") || strcmp(q->at[MECHANISM], "CURVE") ||
        q->len[CREDENTIALS] != 32)
        return NULL;
    zmq_z85_encode(public_key, (const uint8_t *)q->at[CREDENTIALS], 32);
    return keyring_find(z->keys, public_key); /* Z1 */
}

static void answer(struct zap *z, const struct question *q)
{
    const struct key *k = judge(z, q);
    /* After a 400 the other side would never knock again, and its key may be taken in yet. */
    const char *code = k ? "200" : "300", *text = k ? "" : "no such key";
    const char *user = k ? k->public_key : "";

    if (!k) snprintf(z->stranger, sizeof z->stranger, "%s", q->good ? q->at[ADDRESS] : "?");
    if (zmq_send(z->handler, "1.0", 3, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0) return;
    zmq_send(z->handler, q->at[REQUEST], q->len[REQUEST], ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(z->handler, code, strlen(code), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(z->handler, text, strlen(text), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(z->handler, user, strlen(user), ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(z->handler, "", 0, ZMQ_DONTWAIT);
}

/* --- failures --------------------------------------------------------------------------------- */

/* The kind of the next failure, or 0. */
static unsigned take_failure(void *monitor)
{
    unsigned char event[6], endpoint[1];
    uint16_t kind = 0;
    int n = zmq_recv(monitor, event, sizeof event, ZMQ_DONTWAIT);

    if (n < 0) return 0;
    memcpy(&kind, event, sizeof kind);
    zmq_recv(monitor, endpoint, sizeof endpoint, ZMQ_DONTWAIT);
    return n == sizeof event ? kind : 0;
}

int64_t zap_answer(struct zap *z, int64_t wall_ms, struct errmsg *why)
{
    struct question q;
    unsigned kind;
    int64_t n = 0;

    if (take_question(z->handler, &q)) {
        keyring_refresh(z->keys, wall_ms); /* its key may have been made or revoked just now */
        do
            answer(z, &q);
        while (take_question(z->handler, &q));
    }
    while ((kind = take_failure(z->monitor))) {
        n++; /* Z3 */
        if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
            err_set(why, ERR_ARG, "a key that is not taken, from %s", z->stranger);
        else /* the two sides race to hang up, so the kinds do not tell the reasons apart */
            err_set(why, ERR_ARG, "a handshake without a key, with another broker's, or cut short");
    }
    return n;
}

/* --- opened ----------------------------------------------------------------------------------- */

int zap_open(struct zap **out, void *zmq, const char *keys_dir, int64_t wall_ms, struct errmsg *e)
{
    struct zap *z = calloc(1, sizeof *z);
    int none = 0, unlimited = 0, rc;

    *out = NULL;
    if (!z) return err_set(e, ERR_NOMEM, "out of memory");
    snprintf(z->stranger, sizeof z->stranger, "?");
    if ((rc = keyring_open(&z->keys, keys_dir, wall_ms, e))) goto out;
    z->handler = zmq_socket(zmq, ZMQ_REP);
    z->monitor = zmq_socket(zmq, ZMQ_PAIR);
    rc = ERR_IO;
    if (!z->handler || !z->monitor || zmq_bind(z->handler, HANDLER)) {
        err_set(e, rc, "ZeroMQ: %s", zmq_strerror(zmq_errno()));
        goto out;
    }
    zmq_setsockopt(z->handler, ZMQ_LINGER, &none, sizeof none);
    zmq_setsockopt(z->monitor, ZMQ_LINGER, &none, sizeof none);
    /* A monitor's full queue would stop the thread that all links share. */
    zmq_setsockopt(z->monitor, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
    *out = z;
    z = NULL;
    rc = ERR_OK;
out:
    zap_close(&z);
    return rc;
}

void zap_close(struct zap **z)
{
    if (!*z) return;
    if ((*z)->guarded) zmq_socket_monitor((*z)->guarded, NULL, 0);
    if ((*z)->monitor) zmq_close((*z)->monitor);
    if ((*z)->handler) zmq_close((*z)->handler);
    keyring_close(&(*z)->keys);
    free(*z);
    *z = NULL;
}

int zap_guard(struct zap *z, void *socket, struct errmsg *e)
{
    const char *secret = keyring_own(z->keys)->secret_key;
    int on = 1, patience = HANDSHAKE_MS;

    if (zmq_setsockopt(socket, ZMQ_CURVE_SERVER, &on, sizeof on) ||
        zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, KEY_Z85) ||
        zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN)) ||
        zmq_setsockopt(socket, ZMQ_HANDSHAKE_IVL, &patience, sizeof patience) ||
        zmq_socket_monitor(socket, MONITOR, FAILURES) || zmq_connect(z->monitor, MONITOR))
        return err_set(e, ERR_UNSUPPORTED, "CURVE: %s", zmq_strerror(zmq_errno()));
    z->guarded = socket;
    return ERR_OK;
}

void *zap_socket(const struct zap *z)
{
    return z->handler;
}

void *zap_monitor(const struct zap *z)
{
    return z->monitor;
}

void zap_refresh(struct zap *z, int64_t wall_ms)
{
    keyring_refresh(z->keys, wall_ms);
}

enum role zap_role(const struct zap *z, const char *user)
{
    const struct key *k = keyring_find(z->keys, user);

    return k ? k->role : ROLE_NONE;
}
