/* instance.c - the instances that have said hello. */
#include "broker/instance.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static int64_t peer_key(const char *peer, size_t peer_len)
{
    return (int64_t)(hash64(peer, peer_len) >> 1 | 1);
}

static void forget_peer(struct instance_table *t, const struct instance *i)
{
    const int64_t key = peer_key(i->peer, i->peer_len);

    if (idmap_get(&t->by_peer, key) == i) (void)idmap_remove(&t->by_peer, key);
}

static struct instance *add(struct instance_table *t, int64_t instance_id)
{
    struct instance *i;

    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct instance **at = realloc(t->at, cap * sizeof(*at));

        if (!at) return NULL;
        t->at = at;
        t->cap = cap;
    }
    i = calloc(1, sizeof *i);
    if (!i || idmap_put(&t->by_id, instance_id, i)) {
        free(i);
        return NULL;
    }
    i->instance_id = instance_id;
    t->at[t->n++] = i;
    return i;
}

struct instance *instance_join(struct instance_table *t, const struct instance_row *row,
                               int64_t instance_id, const char *peer, size_t peer_len,
                               int64_t now_ms)
{
    struct instance *known = instance_of_id(t, instance_id);
    struct instance *i = known ? known : add(t, instance_id);

    if (!i) return NULL;
    if (!known) i->metric_ms = now_ms;
    if (known) forget_peer(t, i);
    i->row = *row;
    memcpy(i->peer, peer, peer_len);
    i->peer_len = peer_len;
    i->heard_ms = i->moved_ms = now_ms;
    if (!idmap_put(&t->by_peer, peer_key(peer, peer_len), i)) return i;
    if (!known) instance_leave(t, i);
    return NULL; /* a known one is not found by its address until it has said hello again */
}

struct instance *instance_of_peer(const struct instance_table *t, const char *peer, size_t peer_len)
{
    struct instance *i = idmap_get(&t->by_peer, peer_key(peer, peer_len));

    return i && i->peer_len == peer_len && !memcmp(i->peer, peer, peer_len) ? i : NULL;
}

struct instance *instance_of_id(const struct instance_table *t, int64_t instance_id)
{
    return instance_id > 0 ? idmap_get(&t->by_id, instance_id) : NULL;
}

void instance_leave(struct instance_table *t, struct instance *i)
{
    forget_peer(t, i);
    (void)idmap_remove(&t->by_id, i->instance_id);
    for (size_t k = 0; k < t->n; k++) {
        if (t->at[k] != i) continue;
        t->at[k] = t->at[--t->n];
        free(i);
        return;
    }
}

void instance_table_fini(struct instance_table *t)
{
    for (size_t k = 0; k < t->n; k++)
        free(t->at[k]);
    free(t->at);
    idmap_fini(&t->by_id);
    idmap_fini(&t->by_peer);
    *t = (struct instance_table){0};
}

int64_t instance_limit(const struct instance *i)
{
    return i->row.kv_tokens < i->row.max_model_len ? i->row.kv_tokens : i->row.max_model_len;
}

int64_t instance_largest(const struct instance_table *t, const char *model)
{
    int64_t most = 0;

    for (size_t k = 0; k < t->n; k++) {
        if (model[0] && strcmp(t->at[k]->row.model, model)) continue;
        if (instance_limit(t->at[k]) > most) most = instance_limit(t->at[k]);
    }
    return most;
}
