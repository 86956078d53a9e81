/* merges.c - the merge table. */
#include "model/merges.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"

#define MAX_MERGES  ((size_t)1 << 25)
#define FIRST_SLOTS 64 /* a power of two */

struct merges {
    const struct merge *slots; /* open addressing, at most 5/8 full */
    size_t n_slots;            /* a power of two */
    size_t n;
    struct merge *own; /* slots, or NULL when they are a view */
};

static size_t slot_of(const struct merge *slots, size_t n_slots, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (n_slots - 1);

    while (slots[at].left >= 0 && (slots[at].left != left || slots[at].right != right))
        at = (at + 1) & (n_slots - 1);
    return at;
}

const struct merge *merges_find(const struct merges *m, int32_t left, int32_t right)
{
    const struct merge *x = &m->slots[slot_of(m->slots, m->n_slots, left, right)];

    return x->left >= 0 ? x : NULL;
}

const struct merge *merges_slots(const struct merges *m, size_t *n_slots)
{
    *n_slots = m->n_slots;
    return m->slots;
}

static int grow(struct merges *m, size_t n_slots)
{
    struct merge *own = malloc(n_slots * sizeof *own);

    if (!own) return ERR_NOMEM;
    for (size_t i = 0; i < n_slots; i++)
        own[i].left = -1;
    for (size_t i = 0; i < m->n_slots; i++)
        if (m->own[i].left >= 0)
            own[slot_of(own, n_slots, m->own[i].left, m->own[i].right)] = m->own[i];
    free(m->own);
    m->slots = m->own = own;
    m->n_slots = n_slots;
    return ERR_OK;
}

static int put(struct merges *m, struct merge x, struct errmsg *e)
{
    struct merge *slot;

    if (m->n == MAX_MERGES) return err_set(e, ERR_FORMAT, "more than %zu merges", MAX_MERGES);
    if ((m->n + 1) * 8 > m->n_slots * 5 && grow(m, m->n_slots * 2))
        return err_set(e, ERR_NOMEM, "merges: no memory");
    slot = &m->own[slot_of(m->slots, m->n_slots, x.left, x.right)];
    m->n += slot->left < 0;
    *slot = x;
    return ERR_OK;
}

int merges_open(struct merges **out, struct errmsg *e)
{
    struct merges *m = calloc(1, sizeof *m);

    *out = NULL;
    if (!m || grow(m, FIRST_SLOTS)) {
        merges_close(&m);
        return err_set(e, ERR_NOMEM, "merges: no memory");
    }
    *out = m;
    return ERR_OK;
}

void merges_close(struct merges **m)
{
    if (!*m) return;
    free((*m)->own);
    free(*m);
    *m = NULL;
}

struct halves {
    const char *left, *right;
    size_t left_len, right_len;
};

static bool split(struct halves *h, const char *text, size_t len)
{
    const char *space = memchr(text, ' ', len);

    if (!space || memchr(space + 1, ' ', len - (size_t)(space + 1 - text))) return false;
    *h = (struct halves){text, space + 1, (size_t)(space - text), len - (size_t)(space - text) - 1};
    return true;
}

static bool read_halves(struct halves *h, const json_t *m)
{
    const json_t *a = json_array_get(m, 0), *b = json_array_get(m, 1);

    if (json_is_string(m)) return split(h, json_string_value(m), json_string_length(m));
    if (json_array_size(m) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
    *h = (struct halves){json_string_value(a), json_string_value(b), json_string_length(a),
                         json_string_length(b)};
    return true;
}

static int not_known(struct errmsg *e, size_t rank, const char *text, size_t len)
{
    return err_set(e, ERR_FORMAT, "merge %zu: '%.*s' is not in the vocabulary", rank,
                   VOCAB_SHOW(text, len));
}

static int add_halves(struct merges *m, const struct vocab *v, const struct halves *h, size_t rank,
                      struct errmsg *e)
{
    struct merge x = {.rank = (int32_t)rank};
    struct buf both = {0};
    int rc = ERR_OK;

    if (rank >= MAX_MERGES) return err_set(e, ERR_FORMAT, "more than %zu merges", MAX_MERGES);
    if (buf_add(&both, h->left, h->left_len) || buf_add(&both, h->right, h->right_len)) {
        rc = err_set(e, ERR_NOMEM, "merges: no memory");
        goto out;
    }
    x.left = vocab_find(v, h->left, h->left_len);
    x.right = vocab_find(v, h->right, h->right_len);
    x.joined = vocab_find(v, both.data, both.len);
    if (x.left < 0)
        rc = not_known(e, rank, h->left, h->left_len);
    else if (x.right < 0)
        rc = not_known(e, rank, h->right, h->right_len);
    else if (x.joined < 0)
        rc = not_known(e, rank, both.data, both.len);
    if (!rc) rc = put(m, x, e);
out:
    buf_fini(&both);
    return rc;
}

int merges_add(struct merges *m, const struct vocab *v, const char *text, size_t len, size_t rank,
               struct errmsg *e)
{
    struct halves h;

    if (!split(&h, text, len)) return err_set(e, ERR_FORMAT, "merge %zu: not two tokens", rank);
    return add_halves(m, v, &h, rank, e);
}

int merges_read(struct merges *m, const struct vocab *v, const json_t *list, struct errmsg *e)
{
    struct halves h;
    int rc = ERR_OK;

    for (size_t i = 0; i < json_array_size(list) && !rc; i++) {
        if (!read_halves(&h, json_array_get(list, i)))
            return err_set(e, ERR_FORMAT, "merge %zu: not two tokens", i);
        rc = add_halves(m, v, &h, i, e);
    }
    return rc;
}

struct scored {
    float score;
    int32_t id;
};

static int by_score(const void *a, const void *b)
{
    const struct scored *x = a, *y = b;

    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* Every cut of the token into two tokens. */
static int add_cuts(struct merges *m, const struct vocab *v, int32_t id, int32_t rank,
                    struct errmsg *e)
{
    size_t len;
    const char *text = vocab_text(v, id, &len);
    int rc = ERR_OK;

    for (size_t at = 0; at < len && !rc;) {
        const int n = utf8_next(text + at, len - at, NULL);
        int32_t left, right;

        at += n > 0 ? (size_t)n : 1;
        if (at >= len) break;
        left = vocab_find(v, text, at);
        right = left < 0 ? -1 : vocab_find(v, text + at, len - at);
        if (right >= 0) rc = put(m, (struct merge){left, right, rank, id}, e);
    }
    return rc;
}

int merges_score(struct merges *m, const struct vocab *v, const float *scores, struct errmsg *e)
{
    const size_t size = (size_t)vocab_size(v);
    struct scored *all = malloc((size + 1) * sizeof *all);
    size_t n = 0, len;
    int32_t rank = 0;
    int rc = all ? ERR_OK : err_set(e, ERR_NOMEM, "merges: no memory");

    for (size_t id = 0; id < size && !rc; id++) {
        if (isnan(scores[id])) rc = err_set(e, ERR_FORMAT, "score %zu is not a number", id);
        if (vocab_text(v, (int32_t)id, &len) && scores[id] > -INFINITY)
            all[n++] = (struct scored){scores[id], (int32_t)id};
    }
    if (!rc) qsort(all, n, sizeof *all, by_score);
    for (size_t i = 0; i < n && !rc; i++) {
        if (i && all[i].score < all[i - 1].score) rank = (int32_t)i;
        rc = add_cuts(m, v, all[i].id, rank, e);
    }
    free(all);
    return rc;
}

static bool is_good(const struct merge *x, int size)
{
    return x->right >= 0 && x->joined >= 0 && x->rank >= 0 && x->left < size && x->right < size &&
           x->joined < size;
}

int merges_view(struct merges **out, const struct merge *slots, size_t n_slots, int size,
                struct errmsg *e)
{
    struct merges *m;
    size_t n = 0;

    *out = NULL;
    if (!n_slots || n_slots & (n_slots - 1))
        return err_set(e, ERR_FORMAT, "merges: %zu slots", n_slots);
    for (size_t i = 0; i < n_slots; i++) {
        if (slots[i].left < 0) continue;
        if (!is_good(&slots[i], size)) return err_set(e, ERR_FORMAT, "merges: slot %zu lies", i);
        n++;
    }
    if (n == n_slots) return err_set(e, ERR_FORMAT, "merges: no slot is free");
    m = calloc(1, sizeof *m);
    if (!m) return err_set(e, ERR_NOMEM, "merges: no memory");
    m->slots = slots;
    m->n_slots = n_slots;
    m->n = n;
    *out = m;
    return ERR_OK;
}
