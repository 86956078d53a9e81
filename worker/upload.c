/* upload.c - a TP rank's share of the layers, brought to its device. */
#include "worker/upload.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define PACK_BYTES ((size_t)4 << 20) /* of columns on the host, on their way */

struct upload {
    const struct upload_opts *o;
    char *base; /* NULL: it is only counted what there is */
    size_t at;
    char *pack; /* [pack_bytes] */
    size_t pack_bytes;
    struct errmsg *e;
};

static size_t aligned(size_t bytes)
{
    return (bytes + DEVICE_ALIGN - 1) & ~(size_t)(DEVICE_ALIGN - 1);
}

static size_t packed_row(const struct weight *w)
{
    return dtype_row_bytes(w->dtype, (size_t)w->K);
}

static int put(struct upload *u, void *to, const void *from, size_t bytes)
{
    const int rc = u->o->device->put(u->o->stream, to, from, bytes);

    return rc ? err_set(u->e, rc, "%s: %zu bytes of weights did not get to the device",
                        u->o->device->name, bytes)
              : ERR_OK;
}

/* n rows of w from the first one on, as they lie in memory without what is between them. */
static int put_rows(struct upload *u, char *to, const struct weight *w, int first, int n)
{
    const size_t row = packed_row(w), step = weight_row_bytes(w);
    const char *from = (const char *)w->data + (size_t)first * step;
    int rc = ERR_OK;

    if (step == row) return put(u, to, from, (size_t)n * row);
    for (int i = 0, some; i < n && !rc; i += some) {
        const size_t fit = u->pack_bytes / row;

        some = fit < (size_t)(n - i) ? (int)fit : n - i;
        if (some == 0)
            return err_set(u->e, ERR_FULL, "a row of %zu bytes is over %zu", row, u->pack_bytes);
        for (int k = 0; k < some; k++)
            memcpy(u->pack + (size_t)k * row, from + (size_t)(i + k) * step, row);
        rc = put(u, to + (size_t)i * row, u->pack, (size_t)some * row);
    }
    return rc;
}

static int change_rows(struct upload *u, const struct weight *to, const struct weight *from)
{
    const size_t fit = u->o->room_bytes / packed_row(from);
    int rc = ERR_OK;

    if (fit == 0)
        return err_set(u->e, ERR_FULL, "a row of %zu bytes does not fit the room of %zu bytes",
                       packed_row(from), u->o->room_bytes);
    for (int first = 0, n; first < from->N && !rc; first += n) {
        struct weight piece = *to, source = {u->o->room, from->dtype, 0, from->K, 0, NULL};

        n = fit < (size_t)(from->N - first) ? (int)fit : from->N - first;
        piece.N = source.N = n;
        piece.data = (const char *)to->data + (size_t)first * packed_row(to);
        if (to->scales) piece.scales = to->scales + first;
        rc = put_rows(u, u->o->room, from, first, n);
        if (rc) return rc;
        rc = u->o->ops->convert(&piece, &source, u->o->stream);
        if (rc)
            return err_set(u->e, rc, "%s: a weight of %s did not become %s", u->o->device->name,
                           dtype_name(from->dtype), dtype_name(to->dtype));
    }
    return rc;
}

/* n matrices of the same K, one behind the other, floats as `floats`. */
static int put_matrices(struct upload *u, struct weight *const *w, int n, enum dtype floats)
{
    struct weight to[3];
    int rc = ERR_OK;

    assert(n <= 3);
    u->at = aligned(u->at);
    for (int i = 0; i < n; i++) {
        to[i] = (struct weight){
            NULL, dtype_is_float(w[i]->dtype) ? floats : w[i]->dtype, w[i]->N, w[i]->K, 0, NULL};
        if (u->base) to[i].data = u->base + u->at;
        u->at += (size_t)to[i].N * packed_row(&to[i]);
    }
    u->at = aligned(u->at);
    for (int i = 0; i < n; i++) {
        if (!dtype_is_scaled(to[i].dtype)) continue;
        if (u->base) to[i].scales = (float *)(void *)(u->base + u->at);
        u->at += (size_t)to[i].N * sizeof(float);
    }
    for (int i = 0; i < n && u->base && !rc; i++) {
        rc = to[i].dtype == w[i]->dtype
                 ? put_rows(u, (char *)(uintptr_t)to[i].data, w[i], 0, w[i]->N)
                 : change_rows(u, &to[i], w[i]);
        *w[i] = to[i];
    }
    return rc;
}

struct vector {
    const float **v; /* of NULL there is none */
    int n;
};

/* One behind the other. */
static int put_vectors(struct upload *u, const struct vector *v, int n)
{
    int rc = ERR_OK;

    u->at = aligned(u->at);
    for (int i = 0; i < n && !rc; i++) {
        const size_t bytes = (size_t)v[i].n * sizeof(float);

        if (!*v[i].v) continue;
        if (u->base) {
            rc = put(u, u->base + u->at, *v[i].v, bytes);
            *v[i].v = (const float *)(const void *)(u->base + u->at);
        }
        u->at += bytes;
    }
    return rc;
}

static int put_layer(struct upload *u, struct layer *l, const struct layers *s)
{
    const int Q = s->H * s->HD, KV = s->HK * s->HD, D = s->D;
    struct weight *const qkv[] = {&l->q, &l->k, &l->v}, *const o[] = {&l->o};
    struct weight *const up[] = {&l->gate, &l->up}, *const down[] = {&l->down};
    const struct vector qkv_bias[] = {{&l->q_bias, Q}, {&l->k_bias, KV}, {&l->v_bias, KV}};
    const struct vector up_bias[] = {{&l->gate_bias, s->F}, {&l->up_bias, s->F}};
    const struct vector rest[] = {{&l->o_bias, D},     {&l->down_bias, D}, {&l->norm1, D},
                                  {&l->norm2, D},      {&l->post1, D},     {&l->post2, D},
                                  {&l->q_norm, s->HD}, {&l->k_norm, s->HD}};
    int rc = put_matrices(u, qkv, 3, u->o->matrix);

    if (!rc) rc = put_matrices(u, o, 1, u->o->matrix);
    if (!rc) rc = put_matrices(u, up, 2, u->o->matrix);
    if (!rc) rc = put_matrices(u, down, 1, u->o->matrix);
    if (!rc) rc = put_vectors(u, qkv_bias, 3);
    if (!rc) rc = put_vectors(u, up_bias, 2);
    for (size_t i = 0; i < sizeof rest / sizeof rest[0] && !rc; i++)
        rc = put_vectors(u, &rest[i], 1);
    return rc;
}

/* The embedding's row that the head begins at; -1: it is a matrix of its own. */
static int head_row(const struct layers *s)
{
    const char *from = s->embed.data, *at = s->head.data;
    const size_t row = weight_row_bytes(&s->embed);

    return at >= from && at < from + (size_t)s->embed.N * row ? (int)((size_t)(at - from) / row)
                                                              : -1;
}

static int put_ends(struct upload *u, struct layers *s)
{
    const int tied = head_row(s);
    struct weight *const embed[] = {&s->embed}, *const head[] = {&s->head};
    int rc = put_matrices(u, embed, 1, u->o->ops->act);

    if (!rc && tied < 0) rc = put_matrices(u, head, 1, u->o->ops->act);
    if (!rc && tied >= 0 && u->base) {
        const int N = s->head.N;

        s->head = s->embed;
        s->head.N = N;
        s->head.data = (const char *)s->embed.data + (size_t)tied * packed_row(&s->embed);
    }
    return rc ? rc : put_vectors(u, &(struct vector){&s->norm, s->D}, 1);
}

static int put_all(struct upload *u, struct layers *s)
{
    int rc = put_ends(u, s);

    for (int l = 0; l < s->n && !rc; l++)
        rc = put_layer(u, &s->at[l], s);
    return rc;
}

int upload_layers(struct layers *share, const struct upload_opts *o, size_t *bytes,
                  struct errmsg *e)
{
    struct upload u = {.o = o, .pack_bytes = PACK_BYTES, .e = e};
    int rc = put_all(&u, share);

    assert(!rc); /* it has only counted */
    *bytes = u.at;
    u.base = o->device->take(o->stream, u.at, e);
    if (!u.base) return ERR_FULL;
    u.at = 0;
    u.pack = malloc(u.pack_bytes);
    rc = u.pack ? put_all(&u, share) : err_set(e, ERR_NOMEM, "no memory to bring weights through");
    /* What a failed copy or conversion was is what wait tells. */
    if (rc != ERR_NOMEM && rc != ERR_FULL) {
        const int waited = o->device->wait(o->stream, e);

        if (waited) rc = waited;
    }
    free(u.pack);
    return rc;
}
