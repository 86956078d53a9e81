/* weights.c - named tensors in one file or many, found by name. */
#include "model/weights.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/gguf.h"
#include "model/gguf_names.h"
#include "model/gguf_parts.h"
#include "model/jsonfile.h"
#include "model/safetensors.h"

#define SINGLE          "model.safetensors"
#define INDEX           "model.safetensors.index.json"
#define MAX_INDEX_BYTES ((size_t)64 << 20)
#define MAX_SHARDS      4096
#define PATH_BYTES      4096
#define LAYERS          ".layers."
#define INFINITE_BITS   0x7F800000u
#define F16_OVER_BITS   0x477FF000u /* 65520, which is rounded to infinity */
#define NAME_BYTES      320 /* of a GGUF's tensor: at most 255, and what Hugging Face adds */

struct weights {
    struct safetensors **shards; /* in the order in which they were opened */
    int n_shards;
    struct gguf *gguf;      /* or this */
    char *names;            /* of its tensors */
    struct tensor *tensors; /* copies of the views, sorted by name */
    int n;
};

static int add_shard(struct weights *w, const char *path, struct errmsg *e)
{
    struct safetensors **more = realloc(w->shards, ((size_t)w->n_shards + 1) * sizeof *w->shards);
    int rc;

    if (!more) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    w->shards = more;
    rc = safetensors_open(&w->shards[w->n_shards], path, e);
    if (!rc) w->n_shards++;
    return rc;
}

static bool has_shard(const struct weights *w, const char *path)
{
    for (int i = 0; i < w->n_shards; i++)
        if (!strcmp(safetensors_path(w->shards[i]), path)) return true;
    return false;
}

static int shard_path(char out[PATH_BYTES], const char *dir, const char *tensor, const json_t *file,
                      struct errmsg *e)
{
    const char *name = json_string_value(file);
    int n;

    if (!name || !*name || strchr(name, '/'))
        return err_set(e, ERR_FORMAT, "%s/%s: tensor %s: '%s' is not a file name", dir, INDEX,
                       tensor, name ? name : "");
    n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);
    if (n < 0 || n >= PATH_BYTES) return err_set(e, ERR_ARG, "%s: the path is too long", name);
    return ERR_OK;
}

static int open_shards(struct weights *w, const char *dir, json_t *map, struct errmsg *e)
{
    char path[PATH_BYTES];
    const char *tensor;
    json_t *file;
    int rc;

    json_object_foreach(map, tensor, file)
    {
        rc = shard_path(path, dir, tensor, file, e);
        if (rc) return rc;
        if (has_shard(w, path)) continue;
        if (w->n_shards == MAX_SHARDS)
            return err_set(e, ERR_FORMAT, "%s/%s: more than %d files", dir, INDEX, MAX_SHARDS);
        rc = add_shard(w, path, e);
        if (rc) return rc;
    }
    return ERR_OK;
}

static int open_index(struct weights *w, const char *dir, json_t **index, struct errmsg *e)
{
    json_t *map;
    int rc = jsonfile_read(index, dir, INDEX, MAX_INDEX_BYTES, e);

    if (rc) return rc;
    map = json_object_get(*index, "weight_map");
    if (!json_is_object(map)) return err_set(e, ERR_FORMAT, "%s/%s: no weight_map", dir, INDEX);
    return open_shards(w, dir, map, e);
}

static int by_name(const void *a, const void *b)
{
    const struct tensor *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int sort_tensors(struct weights *w, const char *path, struct errmsg *e)
{
    if (w->n) qsort(w->tensors, (size_t)w->n, sizeof *w->tensors, by_name);
    for (int i = 1; i < w->n; i++)
        if (!by_name(&w->tensors[i - 1], &w->tensors[i]))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: %s", path, w->tensors[i].name,
                           w->gguf ? "it is there twice" : "in two files");
    return ERR_OK;
}

static int collect(struct weights *w, const char *path, struct errmsg *e)
{
    size_t total = 0;

    for (int i = 0; i < w->n_shards; i++)
        total += (size_t)safetensors_count(w->shards[i]);
    if (total > INT_MAX) return err_set(e, ERR_FORMAT, "%s: %zu tensors", path, total);
    w->tensors = calloc(total + 1, sizeof *w->tensors);
    if (!w->tensors) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    for (int i = 0; i < w->n_shards; i++)
        for (int j = 0; j < safetensors_count(w->shards[i]); j++)
            w->tensors[w->n++] = *safetensors_at(w->shards[i], j);
    return sort_tensors(w, path, e);
}

/* Under Hugging Face's names, and without what is configuration. */
static int collect_gguf(struct weights *w, struct errmsg *e)
{
    const int n = gguf_count(w->gguf);
    const char *path = gguf_path(w->gguf);
    char arch[64], *name;

    if (gguf_architecture(arch, sizeof arch, w->gguf, e)) return ERR_FORMAT;
    w->tensors = calloc((size_t)n + 1, sizeof *w->tensors);
    w->names = name = malloc((size_t)n * NAME_BYTES + 1);
    if (!w->tensors || !w->names) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    for (int i = 0; i < n; i++) {
        const struct tensor *t = gguf_at(w->gguf, i);

        if (gguf_is_rope_table(t->name)) continue;
        if (!gguf_rename(name, NAME_BYTES, arch, t->name))
            return err_set(e, ERR_FORMAT, "%s: tensor %s: the name is too long", path, t->name);
        w->tensors[w->n] = *t;
        w->tensors[w->n++].name = name;
        name += strlen(name) + 1;
    }
    return sort_tensors(w, path, e);
}

/* Every tensor that the index names is in one of its files. */
static int check_index(const struct weights *w, const char *dir, json_t *index, struct errmsg *e)
{
    json_t *file, *map = json_object_get(index, "weight_map");
    const char *name;

    json_object_foreach(map, name, file)
    {
        if (!weights_find(w, name))
            return err_set(e, ERR_FORMAT, "%s/%s: tensor %s: not in %s", dir, INDEX, name,
                           json_string_value(file));
    }
    return ERR_OK;
}

static int open_dir(struct weights *w, const char *dir, struct errmsg *e)
{
    char path[PATH_BYTES];
    json_t *index = NULL;
    int rc;

    if (jsonfile_exists(dir, SINGLE) || !jsonfile_exists(dir, INDEX)) {
        int n = snprintf(path, sizeof path, "%s/%s", dir, SINGLE);

        if (n < 0 || n >= PATH_BYTES) return err_set(e, ERR_ARG, "%s: the path is too long", dir);
        rc = add_shard(w, path, e);
        return rc ? rc : collect(w, dir, e);
    }
    rc = open_index(w, dir, &index, e);
    if (!rc) rc = collect(w, dir, e);
    if (!rc) rc = check_index(w, dir, index, e);
    json_decref(index);
    return rc;
}

static int open_gguf(struct weights *w, const char *path, struct errmsg *e)
{
    int rc = gguf_open_parts(&w->gguf, path, e);

    return rc ? rc : collect_gguf(w, e);
}

int weights_open(struct weights **out, const char *path, struct errmsg *e)
{
    struct weights *w = calloc(1, sizeof *w);
    char gguf[PATH_BYTES];
    struct stat st;
    int rc = gguf_locate(gguf, sizeof gguf, path, e);

    *out = NULL;
    if (!w) {
        rc = err_set(e, ERR_NOMEM, "%s: no memory", path);
    } else if (rc != ERR_EMPTY) {
        rc = rc ? rc : open_gguf(w, gguf, e);
    } else if (stat(path, &st)) {
        rc = err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    } else if (S_ISDIR(st.st_mode)) {
        rc = open_dir(w, path, e);
    } else {
        rc = add_shard(w, path, e);
        if (!rc) rc = collect(w, path, e);
    }
    if (rc) goto out;
    *out = w;
    w = NULL;
out:
    weights_close(&w);
    return rc;
}

void weights_close(struct weights **w)
{
    if (!*w) return;
    for (int i = 0; i < (*w)->n_shards; i++)
        safetensors_close(&(*w)->shards[i]);
    gguf_close(&(*w)->gguf);
    free((*w)->shards);
    free((*w)->names);
    free((*w)->tensors);
    free(*w);
    *w = NULL;
}

const struct tensor *weights_find(const struct weights *w, const char *name)
{
    struct tensor key = {.name = name};

    return w->n ? bsearch(&key, w->tensors, (size_t)w->n, sizeof key, by_name) : NULL;
}

int weights_count(const struct weights *w)
{
    return w->n;
}

const struct tensor *weights_at(const struct weights *w, int i)
{
    return i >= 0 && i < w->n ? &w->tensors[i] : NULL;
}

enum dtype weights_dtype(const struct weights *w)
{
    size_t bytes[N_DTYPES] = {0};
    enum dtype most = DTYPE_F32;

    for (int i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);

        if (t->n_dims == 2 && strstr(t->name, LAYERS)) bytes[t->dtype] += t->bytes;
    }
    for (int d = 0; d < N_DTYPES; d++)
        if (bytes[d] > bytes[most]) most = (enum dtype)d;
    return most;
}

/* What is infinite or no number in the file is left to the model. */
static size_t over_f16(const struct tensor *t, float *largest)
{
    const bool narrow = t->dtype == DTYPE_BF16;
    const size_t all = t->bytes / dtype_bytes(t->dtype);
    uint32_t most = 0;
    size_t n = 0;

    for (size_t i = 0; i < all; i++) {
        const uint32_t bits = narrow ? (uint32_t)((const uint16_t *)t->data)[i] << 16
                                     : ((const uint32_t *)t->data)[i];
        const uint32_t mag = bits & INT32_MAX;

        if (mag < F16_OVER_BITS || mag >= INFINITE_BITS) continue;
        n++;
        if (mag > most) most = mag;
    }
    memcpy(largest, &most, sizeof *largest);
    return n;
}

const struct tensor *weights_over_f16(const struct weights *w, bool layers, size_t *n,
                                      float *largest)
{
    for (int i = 0; i < weights_count(w); i++) {
        const struct tensor *t = weights_at(w, i);

        if (t->n_dims != 2 || (t->dtype != DTYPE_F32 && t->dtype != DTYPE_BF16)) continue;
        if (!layers && strstr(t->name, LAYERS)) continue;
        if ((*n = over_f16(t, largest)) > 0) return t;
    }
    return NULL;
}

const struct gguf *weights_gguf(const struct weights *w)
{
    return w->gguf;
}

const char *weights_file(const struct weights *w, int i)
{
    if (w->gguf) return gguf_file(w->gguf, i);
    return i >= 0 && i < w->n_shards ? safetensors_path(w->shards[i]) : NULL;
}
