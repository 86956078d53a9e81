/* gguf.c - one GGUF file, mapped and checked. */
#include "model/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "model/gguf_file.h"

#define MAGIC         "GGUF"
#define HEADER_BYTES  24
#define MAX_KEYS      65536
#define MAX_ALIGNMENT (1 << 20)

/* Bytes of one item; 0: none of fixed size. */
static const uint8_t ITEM_BYTES[N_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

int gguf_cut(const struct gguf *g, const char *what, struct errmsg *e)
{
    return err_set(e, ERR_FORMAT, "%s: %s at %zu ends behind the file's %zu bytes", g->path, what,
                   g->at, g->file.size);
}

static uint64_t load(const char *at, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return v;
}

int gguf_take_number(struct gguf *g, size_t bytes, const char *what, uint64_t *out,
                     struct errmsg *e)
{
    if (gguf_left(g) < bytes) return gguf_cut(g, what, e);
    *out = load(g->file.at + g->at, bytes);
    g->at += bytes;
    return ERR_OK;
}

int gguf_take_text(struct gguf *g, const char *what, const char **text, size_t *len,
                   struct errmsg *e)
{
    uint64_t n = 0;
    int rc = gguf_take_number(g, 8, what, &n, e);

    if (rc) return rc;
    if (n > gguf_left(g))
        return err_set(e, ERR_FORMAT, "%s: %s of %llu bytes at %zu, the file has %zu", g->path,
                       what, (unsigned long long)n, g->at, g->file.size);
    *text = g->file.at + g->at;
    *len = (size_t)n;
    g->at += *len;
    return ERR_OK;
}

static int take_header(struct gguf *g, uint64_t *n_tensors, uint64_t *n_values, struct errmsg *e)
{
    uint64_t version = 0;

    if (g->file.size < HEADER_BYTES || memcmp(g->file.at, MAGIC, 4))
        return err_set(e, ERR_FORMAT, "%s: not a GGUF file of at least %d bytes", g->path,
                       HEADER_BYTES);
    version = load(g->file.at + 4, 4);
    if (version && !(version & 0xFFFF))
        return err_set(e, ERR_UNSUPPORTED, "%s: a big-endian GGUF; known is little-endian",
                       g->path);
    if (version != 2 && version != 3)
        return err_set(e, ERR_UNSUPPORTED, "%s: GGUF version %llu; known are 2, 3", g->path,
                       (unsigned long long)version);
    *n_tensors = load(g->file.at + 8, 8);
    *n_values = load(g->file.at + 16, 8);
    g->at = HEADER_BYTES;
    if (*n_values > MAX_KEYS)
        return err_set(e, ERR_FORMAT, "%s: %llu keys, at most %d are allowed", g->path,
                       (unsigned long long)*n_values, MAX_KEYS);
    if (*n_tensors > GGUF_MAX_TENSORS)
        return err_set(e, ERR_FORMAT, "%s: %llu tensors, at most %d are allowed", g->path,
                       (unsigned long long)*n_tensors, GGUF_MAX_TENSORS);
    return ERR_OK;
}

static int key_error(const struct gguf *g, const struct gguf_value *v, const char *what,
                     unsigned long long n, struct errmsg *e)
{
    return err_set(e, ERR_FORMAT, "%s: key %.*s: %s %llu", g->path,
                   (int)(v->key_len < 100 ? v->key_len : 100), v->key, what, n);
}

/* Walks the items once, so that no reader needs to look at a length again. */
static int take_items(struct gguf *g, struct gguf_value *v, struct errmsg *e)
{
    const size_t begin = g->at, size = ITEM_BYTES[v->type];

    v->at = g->file.at + begin;
    if (size) {
        if (v->n > gguf_left(g) / size) return key_error(g, v, "cut short, it has items:", v->n, e);
        g->at += v->n * size;
    }
    for (size_t i = 0; !size && i < v->n; i++) {
        const char *text;
        size_t len;
        int rc = gguf_take_text(g, "a text", &text, &len, e);

        if (rc) return rc;
    }
    v->bytes = g->at - begin;
    return ERR_OK;
}

static int take_value(struct gguf *g, struct gguf_value *v, struct errmsg *e)
{
    uint64_t type = 0, n = 1;
    int rc = gguf_take_text(g, "a key", &v->key, &v->key_len, e);

    if (!rc) rc = gguf_take_number(g, 4, "a key's type", &type, e);
    if (rc) return rc;
    if (!v->key_len || memchr(v->key, 0, v->key_len))
        return key_error(g, v, "no name; its bytes:", v->key_len, e);
    v->is_array = type == GGUF_ARRAY;
    if (v->is_array) {
        rc = gguf_take_number(g, 4, "an array's type", &type, e);
        if (!rc) rc = gguf_take_number(g, 8, "an array's length", &n, e);
        if (rc) return rc;
    }
    if (type >= N_GGUF_TYPES || type == GGUF_ARRAY)
        return key_error(g, v, v->is_array ? "an array of type" : "type", type, e);
    if (n > gguf_left(g)) return key_error(g, v, "cut short, it has items:", n, e);
    v->type = (enum gguf_type)type;
    v->n = (size_t)n;
    return take_items(g, v, e);
}

static int compare_key(const char *a, size_t a_len, const char *b, size_t b_len)
{
    const int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

    return c ? c : (a_len > b_len) - (a_len < b_len);
}

static int by_key(const void *a, const void *b)
{
    const struct gguf_value *x = a, *y = b;

    return compare_key(x->key, x->key_len, y->key, y->key_len);
}

static int read_values(struct gguf *g, size_t n, struct errmsg *e)
{
    g->values = calloc(n + 1, sizeof *g->values);
    if (!g->values) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    for (size_t i = 0; i < n; i++) {
        int rc = take_value(g, &g->values[i], e);

        if (rc) return rc;
        g->n_values++;
    }
    if (n) qsort(g->values, n, sizeof *g->values, by_key);
    for (size_t i = 1; i < n; i++)
        if (!by_key(&g->values[i - 1], &g->values[i]))
            return key_error(g, &g->values[i], "it is there again; keys:", n, e);
    return ERR_OK;
}

static int read_alignment(struct gguf *g, struct errmsg *e)
{
    const struct gguf_value *v = gguf_find(g, "general.alignment");
    int64_t n = 32;

    if (v && !gguf_int(v, 0, &n)) n = 0;
    if (n < 8 || n > MAX_ALIGNMENT || (n & (n - 1)))
        return err_set(e, ERR_FORMAT,
                       "%s: general.alignment is %lld, not a power of two in [8, %d]", g->path,
                       (long long)n, MAX_ALIGNMENT);
    g->alignment = (size_t)n;
    return ERR_OK;
}

static int read_file(struct gguf *g, struct errmsg *e)
{
    uint64_t n_tensors = 0, n_values = 0;
    int rc = take_header(g, &n_tensors, &n_values, e);

    if (!rc) rc = read_values(g, (size_t)n_values, e);
    if (!rc) rc = read_alignment(g, e);
    return rc ? rc : gguf_read_tensors(g, (size_t)n_tensors, e);
}

/* Takes the file, also when it fails. */
static int open_file(struct gguf **out, struct mapping file, const char *path, struct errmsg *e)
{
    struct gguf *g = calloc(1, sizeof *g);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!g || !(g->path = strdup(path))) {
        mapping_close(&file);
        err_set(e, rc, "%s: no memory", path);
        goto out;
    }
    g->file = file;
    rc = read_file(g, e);
    if (rc) goto out;
    *out = g;
    g = NULL;
out:
    gguf_close(&g);
    return rc;
}

int gguf_open(struct gguf **out, const char *path, struct errmsg *e)
{
    struct mapping file;
    int rc = mapping_open(&file, path, HEADER_BYTES, e);

    *out = NULL;
    return rc ? rc : open_file(out, file, path, e);
}

int gguf_from_bytes(struct gguf **out, const void *bytes, size_t len, const char *where,
                    struct errmsg *e)
{
    return open_file(out, mapping_of(bytes, len), where, e);
}

void gguf_close(struct gguf **g)
{
    if (!*g) return;
    for (int i = 0; i < (*g)->n_parts; i++)
        gguf_close(&(*g)->parts[i]);
    free((*g)->parts);
    mapping_close(&(*g)->file);
    free((*g)->values);
    free((*g)->tensors);
    free((*g)->names);
    free((*g)->path);
    free(*g);
    *g = NULL;
}

const char *gguf_path(const struct gguf *g)
{
    return g->path;
}

const char *gguf_file(const struct gguf *g, int i)
{
    if (i == 0) return g->path;
    return i > 0 && i <= g->n_parts ? g->parts[i - 1]->path : NULL;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    struct gguf_value want = {.key = key, .key_len = strlen(key)};

    return g->n_values ? bsearch(&want, g->values, (size_t)g->n_values, sizeof want, by_key) : NULL;
}
