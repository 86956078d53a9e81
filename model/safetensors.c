/* safetensors.c - one .safetensors file, mapped and checked. */
#include "model/safetensors.h"

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mapping.h"

#define LENGTH_BYTES     8
#define MAX_HEADER_BYTES 100000000u /* the format's own limit */
#define MAX_HEADER_DEPTH 8          /* a good header has 3 */

struct safetensors {
    char *path;
    struct mapping file;
    size_t data_at; /* offset of the data part */
    json_t *header; /* owns the names */
    struct tensor *tensors;
    int n;
};

static const struct {
    const char *name;
    enum dtype dtype;
} DTYPES[] = {{"F32", DTYPE_F32}, {"F16", DTYPE_F16}, {"BF16", DTYPE_BF16}};

/* Deep nesting costs the JSON parser's stack; a header has no use for it. */
static bool is_shallow(const char *json, size_t len)
{
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (json[i] == '\\')
                i++;
            else if (json[i] == '"')
                in_string = false;
        } else if (json[i] == '"') {
            in_string = true;
        } else if (json[i] == '{' || json[i] == '[') {
            if (++depth > MAX_HEADER_DEPTH) return false;
        } else if (json[i] == '}' || json[i] == ']') {
            depth--;
        }
    }
    return true;
}

static int read_header(struct safetensors *s, struct errmsg *e)
{
    const char *json = s->file.at + LENGTH_BYTES;
    uint64_t len = 0;
    json_error_t bad;

    for (int i = 0; i < LENGTH_BYTES; i++)
        len |= (uint64_t)(unsigned char)s->file.at[i] << (8 * i);
    if (len > s->file.size - LENGTH_BYTES)
        return err_set(e, ERR_FORMAT, "%s: header of %llu bytes in a file of %zu", s->path,
                       (unsigned long long)len, s->file.size);
    if (len > MAX_HEADER_BYTES)
        return err_set(e, ERR_FORMAT, "%s: header of %llu bytes, at most %u are allowed", s->path,
                       (unsigned long long)len, MAX_HEADER_BYTES);
    if (!is_shallow(json, (size_t)len))
        return err_set(e, ERR_FORMAT, "%s: header nested deeper than %d", s->path,
                       MAX_HEADER_DEPTH);
    s->header = json_loadb(json, (size_t)len, JSON_REJECT_DUPLICATES, &bad);
    if (!s->header)
        return err_set(e, ERR_FORMAT, "%s: header: line %d column %d: %s", s->path, bad.line,
                       bad.column, bad.text);
    if (!json_is_object(s->header))
        return err_set(e, ERR_FORMAT, "%s: the header is not a JSON object", s->path);
    s->data_at = LENGTH_BYTES + (size_t)len;
    return ERR_OK;
}

static int read_dtype(struct tensor *t, const json_t *entry, const char *path, struct errmsg *e)
{
    const char *name = json_string_value(json_object_get(entry, "dtype"));

    if (!name) return err_set(e, ERR_FORMAT, "%s: tensor %s: no dtype", path, t->name);
    for (size_t i = 0; i < sizeof DTYPES / sizeof DTYPES[0]; i++) {
        if (strcmp(name, DTYPES[i].name)) continue;
        t->dtype = DTYPES[i].dtype;
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: dtype %s; known are F32, F16, BF16", path,
                   t->name, name);
}

/* Sets shape and bytes, the product checked at each step. */
static int read_shape(struct tensor *t, const json_t *entry, const char *path, struct errmsg *e)
{
    const json_t *shape = json_object_get(entry, "shape");
    size_t n = json_array_size(shape);
    int64_t total = (int64_t)dtype_bytes(t->dtype);

    if (!json_is_array(shape))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: no shape", path, t->name);
    if (n > TENSOR_MAX_DIMS)
        return err_set(e, ERR_UNSUPPORTED, "%s: tensor %s: %zu dimensions, at most %d are known",
                       path, t->name, n, TENSOR_MAX_DIMS);
    t->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(shape, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0)
            return err_set(e, ERR_FORMAT, "%s: tensor %s: extent %zu is not a number >= 0", path,
                           t->name, i);
        t->shape[i] = json_integer_value(v);
        if (__builtin_mul_overflow(total, t->shape[i], &total))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: the shape overflows at extent %lld", path,
                           t->name, (long long)t->shape[i]);
    }
    t->bytes = (size_t)total;
    return ERR_OK;
}

static int read_offsets(const struct safetensors *s, struct tensor *t, const json_t *entry,
                        struct errmsg *e)
{
    const json_t *pair = json_object_get(entry, "data_offsets");
    const json_t *b = json_array_get(pair, 0), *n = json_array_get(pair, 1);
    long long begin = json_integer_value(b), end = json_integer_value(n);
    size_t room = s->file.size - s->data_at;

    if (json_array_size(pair) != 2 || !json_is_integer(b) || !json_is_integer(n))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: data_offsets are not two numbers", s->path,
                       t->name);
    if (begin < 0 || end < begin)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: data_offsets [%lld, %lld] are no range",
                       s->path, t->name, begin, end);
    if ((unsigned long long)end > room)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: ends at %lld, the data has %zu bytes",
                       s->path, t->name, end, room);
    if ((size_t)(end - begin) != t->bytes)
        return err_set(e, ERR_FORMAT, "%s: tensor %s: %lld bytes, shape and dtype need %zu",
                       s->path, t->name, end - begin, t->bytes);
    if ((s->data_at + (size_t)begin) % dtype_bytes(t->dtype))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: offset %zu is not aligned to %zu", s->path,
                       t->name, s->data_at + (size_t)begin, dtype_bytes(t->dtype));
    t->data = s->file.at + s->data_at + begin;
    return ERR_OK;
}

static int read_tensor(const struct safetensors *s, struct tensor *t, const json_t *entry,
                       struct errmsg *e)
{
    int rc;

    if (!json_is_object(entry))
        return err_set(e, ERR_FORMAT, "%s: tensor %s: not a JSON object", s->path, t->name);
    rc = read_dtype(t, entry, s->path, e);
    if (!rc) rc = read_shape(t, entry, s->path, e);
    if (!rc) rc = read_offsets(s, t, entry, e);
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty ones first */
}

/* The tensors in order of place fill the data part exactly. */
static int check_cover(struct safetensors *s, struct errmsg *e)
{
    const char *data = s->file.at + s->data_at;
    size_t at = 0, room = s->file.size - s->data_at;

    if (s->n) qsort(s->tensors, (size_t)s->n, sizeof *s->tensors, by_place);
    for (int i = 0; i < s->n; i++) {
        const struct tensor *t = &s->tensors[i];
        size_t begin = (size_t)((const char *)t->data - data);

        if (begin < at)
            return err_set(e, ERR_FORMAT, "%s: tensor %s: begins at %zu and overlaps %s", s->path,
                           t->name, begin, s->tensors[i - 1].name);
        if (begin > at)
            return err_set(e, ERR_FORMAT,
                           "%s: tensor %s: begins at %zu, %zu bytes before it are "
                           "nobody's",
                           s->path, t->name, begin, begin - at);
        at = begin + t->bytes;
    }
    if (at != room)
        return err_set(e, ERR_FORMAT, "%s: %zu bytes behind the last tensor", s->path, room - at);
    return ERR_OK;
}

static int read_tensors(struct safetensors *s, struct errmsg *e)
{
    size_t n = json_object_size(s->header);
    const char *name;
    json_t *entry;
    int rc;

    if (n > INT_MAX) return err_set(e, ERR_FORMAT, "%s: %zu tensors", s->path, n);
    s->tensors = calloc(n + 1, sizeof *s->tensors);
    if (!s->tensors) return err_set(e, ERR_NOMEM, "%s: no memory", s->path);
    json_object_foreach(s->header, name, entry)
    {
        if (!strcmp(name, "__metadata__")) continue;
        s->tensors[s->n].name = name;
        rc = read_tensor(s, &s->tensors[s->n], entry, e);
        if (rc) return rc;
        s->n++;
    }
    return check_cover(s, e);
}

/* Takes the file, also when it fails. */
static int open_file(struct safetensors **out, struct mapping file, const char *path,
                     struct errmsg *e)
{
    struct safetensors *s = calloc(1, sizeof *s);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!s || !(s->path = strdup(path))) {
        mapping_close(&file);
        err_set(e, rc, "%s: no memory", path);
        goto out;
    }
    s->file = file;
    rc = read_header(s, e);
    if (!rc) rc = read_tensors(s, e);
    if (rc) goto out;
    *out = s;
    s = NULL;
out:
    safetensors_close(&s);
    return rc;
}

int safetensors_open(struct safetensors **out, const char *path, struct errmsg *e)
{
    struct mapping file;
    int rc = mapping_open(&file, path, LENGTH_BYTES, e);

    *out = NULL;
    return rc ? rc : open_file(out, file, path, e);
}

int safetensors_from_bytes(struct safetensors **out, const void *bytes, size_t len,
                           const char *where, struct errmsg *e)
{
    *out = NULL;
    if (len < LENGTH_BYTES)
        return err_set(e, ERR_FORMAT, "%s: %zu bytes, too short for a header length", where, len);
    return open_file(out, mapping_of(bytes, len), where, e);
}

void safetensors_close(struct safetensors **s)
{
    if (!*s) return;
    mapping_close(&(*s)->file);
    json_decref((*s)->header);
    free((*s)->tensors);
    free((*s)->path);
    free(*s);
    *s = NULL;
}

const char *safetensors_path(const struct safetensors *s)
{
    return s->path;
}

int safetensors_count(const struct safetensors *s)
{
    return s->n;
}

const struct tensor *safetensors_at(const struct safetensors *s, int i)
{
    return i >= 0 && i < s->n ? &s->tensors[i] : NULL;
}
