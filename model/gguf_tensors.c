/* gguf_tensors.c - the tensors of a GGUF: their entries, checked, and their places. */
#include <stdlib.h>
#include <string.h>

#include "model/gguf_file.h"

#define MAX_NAME    255
#define ENTRY_BYTES 24 /* of a tensor, at least, and its name's */
#define KNOWN       "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K"

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
    int rc = gguf_take_number(g, 4, "a tensor's dimensions", &n, e);

    if (rc) return rc;
    if (!n || n > TENSOR_MAX_DIMS)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: %llu dimensions, known are 1 to %d",
                       g->path, t->name, (unsigned long long)n, TENSOR_MAX_DIMS);
    t->n_dims = (int)n;
    for (int i = t->n_dims - 1; i >= 0; i--) {
        rc = gguf_take_number(g, 8, "a tensor's shape", &extent, e);
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
    int rc = gguf_take_text(g, "a tensor's name", &text, &len, e);

    if (rc) return rc;
    if (!len || len > MAX_NAME || memchr(text, 0, len))
        return err_set(e, ERR_FORMAT, "%s: tensor %d: a name of %zu bytes, not in [1, %d]", g->path,
                       g->n, len, MAX_NAME);
    memcpy(*name, text, len);
    (*name)[len] = 0;
    t->name = *name;
    *name += len + 1;
    rc = take_shape(g, t, e);
    if (!rc) rc = gguf_take_number(g, 4, "a tensor's type", &type, e);
    if (!rc) rc = gguf_take_number(g, 8, "a tensor's offset", offset, e);
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

int gguf_read_tensors(struct gguf *g, size_t n, struct errmsg *e)
{
    uint64_t *offsets;
    char *name;
    int rc = ERR_OK;

    if (n > gguf_left(g) / ENTRY_BYTES)
        return err_set(e, ERR_FORMAT, "%s: %zu tensors in %zu bytes", g->path, n, gguf_left(g));
    offsets = calloc(n + 1, sizeof *offsets);
    g->names = name = malloc(n * (MAX_NAME + 1) + 1);
    g->tensors = calloc(n + 1, sizeof *g->tensors);
    if (!name || !offsets || !g->tensors) rc = err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    for (; !rc && (size_t)g->n < n; g->n++) {
        rc = take_tensor(g, &g->tensors[g->n], &name, &offsets[g->n], e);
        if (rc) break;
    }
    if (rc || !n) goto out;
    g->data_at = (g->at + g->alignment - 1) / g->alignment * g->alignment;
    if (g->data_at > g->file.size) rc = gguf_cut(g, "the data part", e);
    for (int i = 0; !rc && i < g->n; i++)
        rc = place(g, &g->tensors[i], offsets[i], e);
    if (!rc) rc = check_overlaps(g, e);
    if (!rc) rc = sort_by_name(g, e);
out:
    free(offsets);
    return rc;
}

int gguf_join(struct gguf *g, struct gguf **part, struct errmsg *e)
{
    const int n = (*part)->n;
    struct tensor *tensors = realloc(g->tensors, (size_t)(g->n + n + 1) * sizeof *tensors);
    struct gguf **parts = realloc(g->parts, (size_t)(g->n_parts + 1) * sizeof *parts);

    if (tensors) g->tensors = tensors;
    if (parts) g->parts = parts;
    if (!tensors || !parts) return err_set(e, ERR_NOMEM, "%s: no memory", g->path);
    if (n > GGUF_MAX_TENSORS - g->n)
        return err_set(e, ERR_FORMAT, "%s: over %d tensors", (*part)->path, GGUF_MAX_TENSORS);
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
