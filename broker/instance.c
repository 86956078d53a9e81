/* instance.c - the instances that have said hello. */
#include "broker/instance.h"

#include <stdlib.h>
#include <string.h>

struct instance *instance_join(struct instance_table *t, const struct instance_row *row,
                               int64_t instance_id, const char *peer, size_t peer_len,
                               int64_t now_ms)
{
    struct instance *i = instance_of_id(t, instance_id);

    if (!i) {
        if (t->n == t->cap) {
            size_t cap = t->cap ? t->cap * 2 : 16;
            struct instance **at = realloc(t->at, cap * sizeof(*at));

            if (!at) return NULL;
            t->at = at;
            t->cap = cap;
        }
        i = calloc(1, sizeof *i);
        if (!i) return NULL;
        i->instance_id = instance_id;
        i->metric_ms = now_ms;
        t->at[t->n++] = i;
    }
    i->row = *row;
    memcpy(i->peer, peer, peer_len);
    i->peer_len = peer_len;
    i->heard_ms = i->moved_ms = now_ms;
    return i;
}

struct instance *instance_of_peer(const struct instance_table *t, const char *peer, size_t peer_len)
{
    for (size_t k = 0; k < t->n; k++)
        if (t->at[k]->peer_len == peer_len && !memcmp(t->at[k]->peer, peer, peer_len))
            return t->at[k];
    return NULL;
}

struct instance *instance_of_id(const struct instance_table *t, int64_t instance_id)
{
    for (size_t k = 0; k < t->n; k++)
        if (t->at[k]->instance_id == instance_id) return t->at[k];
    return NULL;
}

void instance_leave(struct instance_table *t, struct instance *i)
{
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
