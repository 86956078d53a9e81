/* gguf.c - one GGUF file, mapped and checked. */
#include "model/gguf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapping.h"

#define MAGIC         "GGUF"
#define HEADER_BYTES  24
#define MAX_KEYS      65536
#define MAX_TENSORS   (1 << 20)
#define MAX_NAME      255
#define MAX_ALIGNMENT (1 << 20)
#define KNOWN         "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K"

struct gguf {
    char *path;
    struct mapping file;
    size_t at;      /* how far the header is read */
    size_t data_at; /* offset of the data part */
    size_t alignment;
    struct gguf_value *values; /* by key */
    int n_values;
    struct tensor *tensors; /* by name */
    int n;
    char *names;         /* of the tensors, each with a NUL */
    struct gguf **parts; /* the other files of a split one, whose tensors are in tensors too */
    int n_parts;
};

/* Bytes of one item; 0: none of fixed size. */
static const uint8_t ITEM_BYTES[N_GGUF_TYPES] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static int cut(const struct gguf *g, const char *what, struct errmsg *e)
{
    return err_set(e, ERR_FORMAT, "%s: %s at %zu ends behind the file's %zu bytes", g->path, what,
                   g->at, g->file.size);
}

static size_t left(const struct gguf *g)
{
    return g->file.size - g->at;
}

static uint64_t load(const char *at, size_t bytes)
{
    uint64_t v = 0;

    for (size_t i = 0; i < bytes; i++)
        v |= (uint64_t)(unsigned char)at[i] << (8 * i);
    return v;
}

static int take_number(struct gguf *g, size_t bytes, const char *what, uint64_t *out,
                       struct errmsg *e)
{
    if (left(g) < bytes) return cut(g, what, e);
    *out = load(g->file.at + g->at, bytes);
    g->at += bytes;
    return ERR_OK;
}

static int take_text(struct gguf *g, const char *what, const char **text, size_t *len,
                     struct errmsg *e)
{
    uint64_t n = 0;
    int rc = take_number(g, 8, what, &n, e);

    if (rc) return rc;
    if (n > left(g))
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
    if (*n_tensors > MAX_TENSORS)
        return err_set(e, ERR_FORMAT, "%s: %llu tensors, at most %d are allowed", g->path,
                       (unsigned long long)*n_tensors, MAX_TENSORS);
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
        if (v->n > left(g) / size) return key_error(g, v, "cut short, it has items:", v->n, e);
        g->at += v->n * size;
    }
    for (size_t i = 0; !size && i < v->n; i++) {
        const char *text;
        size_t len;
        int rc = take_text(g, "a text", &text, &len, e);

        if (rc) return rc;
    }
    v->bytes = g->at - begin;
    return ERR_OK;
}

static int take_value(struct gguf *g, struct gguf_value *v, struct errmsg *e)
{
    uint64_t type = 0, n = 1;
    int rc = take_text(g, "a key", &v->key, &v->key_len, e);

    if (!rc) rc = take_number(g, 4, "a key's type", &type, e);
    if (rc) return rc;
    if (!v->key_len || memchr(v->key, 0, v->key_len))
        return key_error(g, v, "no name; its bytes:", v->key_len, e);
    v->is_array = type == GGUF_ARRAY;
    if (v->is_array) {
        rc = take_number(g, 4, "an array's type", &type, e);
        if (!rc) rc = take_number(g, 8, "an array's length", &n, e);
        if (rc) return rc;
    }
    if (type >= N_GGUF_TYPES || type == GGUF_ARRAY)
        return key_error(g, v, v->is_array ? "an array of type" : "type", type, e);
    if (n > left(g)) return key_error(g, v, "cut short, it has items:", n, e);
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

/* By the file's number.  What is not known has a name here too, for the one who reads the error. */
static int find_dtype(struct gguf *g, struct tensor *t, uint64_t type, struct errmsg *e)
{
    static const struct {
        uint16_t type;
        int16_t dtype; /* -1: not known */
        const char *name;
    } TYPES[] = {
        {0, DTYPE_F32, "F32"},    {1, DTYPE_F16, "F16"},    {2, DTYPE_Q4_0, "Q4_0"},
        {8, DTYPE_Q8_0, "Q8_0"},  {12, DTYPE_Q4_K, "Q4_K"}, {14, DTYPE_Q6_K, "Q6_K"},
        {30, DTYPE_BF16, "BF16"}, {3, -1, "Q4_1"},          {6, -1, "Q5_0"},
        {7, -1, "Q5_1"},          {9, -1, "Q8_1"},          {10, -1, "Q2_K"},
        {11, -1, "Q3_K"},         {13, -1, "Q5_K"},         {15, -1, "Q8_K"},
        {16, -1, "IQ2_XXS"},      {17, -1, "IQ2_XS"},       {18, -1, "IQ3_XXS"},
        {19, -1, "IQ1_S"},        {20, -1, "IQ4_NL"},       {21, -1, "IQ3_S"},
        {22, -1, "IQ2_S"},        {23, -1, "IQ4_XS"},       {24, -1, "I8"},
        {25, -1, "I16"},          {26, -1, "I32"},          {27, -1, "I64"},
        {28, -1, "F64"},          {29, -1, "IQ1_M"},        {34, -1, "TQ1_0"},
        {35, -1, "TQ2_0"},        {39, -1, "MXFP4"},
    };

    for (size_t i = 0; i < sizeof TYPES / sizeof TYPES[0]; i++) {
        if (type != TYPES[i].type) continue;
        if (TYPES[i].dtype < 0)
            return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: type %s; known are " KNOWN, g->path,
                           t->name, TYPES[i].name);
        t->dtype = (enum dtype)TYPES[i].dtype;
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: type %llu; known are " KNOWN, g->path,
                   t->name, (unsigned long long)type);
}

static int take_shape(struct gguf *g, struct tensor *t, struct errmsg *e)
{
    uint64_t n = 0, extent = 0;
    int rc = take_number(g, 4, "a tensor's dimensions", &n, e);

    if (rc) return rc;
    if (!n || n > TENSOR_MAX_DIMS)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: %llu dimensions, known are 1 to %d",
                       g->path, t->name, (unsigned long long)n, TENSOR_MAX_DIMS);
    t->n_dims = (int)n;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        rc = take_number(g, 8, "a tensor's shape", &extent, e);
        if (rc) return rc;
        if (!extent || extent > INT64_MAX)
            return err_set(e, ERR_FORMAT, "%s: tensor %s: extent %d is %llu", g->path, t->name, i,
                           (unsigned long long)extent);
        t->shape[i] = (int64_t)extent;
    }
    return ERR_OK;
}

/* G2 */
static int count_bytes(const struct gguf *g, struct tensor *t, struct errmsg *e)
{
    const int64_t row = t->shape[t->n_dims - 1];
    int64_t total = row / dtype_block(t->dtype);

    if (row % dtype_block(t->dtype))
        return err_set(
            e, ERR_FORMAT, "%s: tensor %s: rows of %lld numbers are no whole blocks of %d (%s)",
            g->path, t->name, (long long)row, dtype_block(t->dtype), dtype_name(t->dtype));
    for (int i = 0; i < t->n_dims; i++) {
        const int64_t by = i < t->n_dims - 1 ? t->shape[i] : (int64_t)dtype_block_bytes(t->dtype);

        if (__builtin_mul_overflow(total, by, &total))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: the shape overflows at extent %lld",
                           g->path, t->name, (long long)by);
    }
    t->bytes = (size_t)total;
    return ERR_OK;
}

/* The offset stays in data until the place of the data part is known. */
static int take_tensor(struct gguf *g, struct tensor *t, char **name, uint64_t *offset,
                       struct errmsg *e)
{
    const char *text;
    size_t len = 0;
    uint64_t type = 0;
    int rc = take_text(g, "a tensor's name", &text, &len, e);

    if (rc) return rc;
    if (!len || len > MAX_NAME || memchr(text, 0, len))
        return err_set(e, ERR_FORMAT, "%s: tensor %d: a name of %zu bytes, not in [1, %d]", g->path,
                       g->n, len, MAX_NAME);
    memcpy(*name, text, len);
    (*name)[len] = 0;
    t->name = *name;
    *name += len + 1;
    rc = take_shape(g, t, e);
    if (!rc) rc = take_number(g, 4, "a tensor's type", &type, e);
    if (!rc) rc = take_number(g, 8, "a tensor's offset", offset, e);
    if (!rc) rc = find_dtype(g, t, type, e);
    return rc ? rc : count_bytes(g, t, e);
}

static int place(struct gguf *g, struct tensor *t, uint64_t offset, struct errmsg *e)
{
    const size_t room = g->file.size - g->data_at;

    if (offset % g->alignment)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: offset %llu is not aligned to %zu", g->path,
                       t->name, (unsigned long long)offset, g->alignment);
    if (offset > room || t->bytes > room - (size_t)offset)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: %zu bytes at %llu, the data has %zu", g->path,
                       t->name, t->bytes, (unsigned long long)offset, room);
    t->data = g->file.at + g->data_at + offset;
    return ERR_OK;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return x->data < y->data ? -1 : x->data > y->data;
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int sort_by_name(struct gguf *g, struct errmsg *e)
{
    if (g->n) qsort(g->tensors, (size_t)g->n, sizeof *g->tensors, by_name);
    for (int i = 1; i < g->n; i++)
        if (!by_name(&g->tensors[i - 1], &g->tensors[i]))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: it is there again", g->path,
                           g->tensors[i].name);
    return ERR_OK;
}

static int check_overlaps(struct gguf *g, struct errmsg *e)
{
    if (g->n) qsort(g->tensors, (size_t)g->n, sizeof *g->tensors, by_place);
    for (int i = 1; i < g->n; i++) {
        const struct tensor *t = &g->tensors[i], *before = t - 1;

        if ((const char *)before->data + before->bytes > (const char *)t->data)
            return err_set(e, ERR_FORMAT, "%s: tensor %s: begins at %zu and overlaps %s", g->path,
                           t->name, (size_t)((const char *)t->data - g->file.at) - g->data_at,
                           before->name);
    }
    return ERR_OK;
}

static int read_tensors(struct gguf *g, size_t n, struct errmsg *e)
{
    const bool fits = n <= left(g) / 24; /* an entry has as many bytes, and its name's */
    char *name = g->names = fits ? malloc(n * (MAX_NAME + 1) + 1) : NULL;
    uint64_t *offsets = calloc(n + 1, sizeof *offsets);
    int rc = ERR_OK;

    g->tensors = calloc(n + 1, sizeof *g->tensors);
    if (!fits)
        rc = err_set(e, ERR_FORMAT, "%s: %zu tensors in %zu bytes", g->path, n, left(g));
    else if (!name || !offsets || !g->tensors)
        rc = err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    for (; !rc && (size_t)g->n < n; g->n++) {
        rc = take_tensor(g, &g->tensors[g->n], &name, &offsets[g->n], e);
        if (rc) break;
    }
    if (rc || !n) goto out;
    g->data_at = (g->at + g->alignment - 1) / g->alignment * g->alignment;
    if (g->data_at > g->file.size) rc = cut(g, "the data part", e);
    for (int i = 0; !rc && i < g->n; i++)
        rc = place(g, &g->tensors[i], offsets[i], e);
    if (!rc) rc = check_overlaps(g, e);
    if (!rc) rc = sort_by_name(g, e);
out:
    free(offsets);
    return rc;
}

static int read_file(struct gguf *g, struct errmsg *e)
{
    uint64_t n_tensors = 0, n_values = 0;
    int rc = take_header(g, &n_tensors, &n_values, e);

    if (!rc) rc = read_values(g, (size_t)n_values, e);
    if (!rc) rc = read_alignment(g, e);
    return rc ? rc : read_tensors(g, (size_t)n_tensors, e);
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

int gguf_join(struct gguf *g, struct gguf **part, struct errmsg *e)
{
    const int n = (*part)->n;
    struct tensor *tensors = realloc(g->tensors, (size_t)(g->n + n + 1) * sizeof *tensors);
    struct gguf **parts = realloc(g->parts, (size_t)(g->n_parts + 1) * sizeof *parts);

    if (tensors) g->tensors = tensors;
    if (parts) g->parts = parts;
    if (!tensors || !parts) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    if (n > MAX_TENSORS - g->n)
        return err_set(e, ERR_FORMAT, "%s: over %d tensors", (*part)->path, MAX_TENSORS);
    if (n) memcpy(g->tensors + g->n, (*part)->tensors, (size_t)n * sizeof *tensors);
    g->n += n;
    g->parts[g->n_parts++] = *part;
    *part = NULL;
    return sort_by_name(g, e);
}

int gguf_count(const struct gguf *g)
{
    return g->n;
}

const struct tensor *gguf_at(const struct gguf *g, int i)
{
    return i >= 0 && i < g->n ? &g->tensors[i] : NULL;
}

const struct tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    struct tensor key = {.name = name};

    return g->n ? bsearch(&key, g->tensors, (size_t)g->n, sizeof key, by_name) : NULL;
}

const struct gguf_value *gguf_find(const struct gguf *g, const char *key)
{
    struct gguf_value want = {.key = key, .key_len = strlen(key)};

    return g->n_values ? bsearch(&want, g->values, (size_t)g->n_values, sizeof want, by_key) : NULL;
}
