/* gguf_parts.c - a GGUF in several files. */
#include "model/gguf_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENDING     ".gguf"
#define MAX_PARTS  10000
#define PATH_BYTES 4096
#define TAIL_BYTES 20 /* "-00001-of-00003.gguf" */

size_t gguf_stem(const char *name, int *no, int *count)
{
    const size_t len = strlen(name), ending = sizeof ENDING - 1;
    const char *tail = name + (len > TAIL_BYTES ? len - TAIL_BYTES : 0);
    int at = 0;

    *no = *count = 1;
    if (len <= ending || strcmp(name + len - ending, ENDING) != 0) return len;
    if (len > TAIL_BYTES && strspn(tail + 1, "0123456789") == 5 &&
        strspn(tail + 10, "0123456789") == 5 &&
        sscanf(tail, "-%5d-of-%5d" ENDING "%n", no, count, &at) == 2 && at == TAIL_BYTES)
        return len - TAIL_BYTES;
    *no = *count = 1;
    return len - ending;
}

/* split.no and split.count; 0 and 1 where the file is whole. */
static int read_split(const struct gguf *g, int64_t *no, int64_t *count, struct errmsg *e)
{
    const struct gguf_value *n = gguf_find(g, "split.no"), *c = gguf_find(g, "split.count");

    *no = 0;
    *count = 1;
    if (c && !gguf_int(c, 0, count)) *count = -1;
    if (n && !gguf_int(n, 0, no)) *no = -1;
    if (!*count) *count = 1; /* some writers say so of a whole file */
    if (*count < 1 || *count > MAX_PARTS)
        return err_set(e, ERR_FORMAT, "%s: split.count is %lld, not in [1, %d]", gguf_path(g),
                       (long long)*count, MAX_PARTS);
    if (*no < 0 || *no >= *count)
        return err_set(e, ERR_FORMAT, "%s: split.no is %lld, not in [0, %lld]", gguf_path(g),
                       (long long)*no, (long long)*count - 1);
    return ERR_OK;
}

static int open_part(struct gguf **out, const struct gguf *first, int64_t i, int64_t count,
                     struct errmsg *e)
{
    const char *path = gguf_path(first);
    char name[PATH_BYTES];
    int named, of, rc, n;
    const size_t stem = gguf_stem(path, &named, &of);
    int64_t no, parts;

    *out = NULL;
    if (named != 1 || of != count)
        return err_set(e, ERR_FORMAT,
                       "%s: split.count is %lld, and it is not called ...-%05d-of-%05d" ENDING,
                       path, (long long)count, 1, (int)count);
    n = snprintf(name, sizeof name, "%.*s-%05d-of-%05d" ENDING, (int)stem, path, (int)i + 1,
                 (int)count);
    if (n < 0 || (size_t)n >= sizeof name)
        return err_set(e, ERR_ARG, "%s: the path is too long", path);
    rc = gguf_open(out, name, e);
    if (!rc) rc = read_split(*out, &no, &parts, e);
    if (!rc && (no != i || parts != count))
        rc = err_set(e, ERR_FORMAT, "%s: it says to be part %lld of %lld", name, (long long)no + 1,
                     (long long)parts);
    if (rc) gguf_close(out);
    return rc;
}

/* The first says how many there are in all. */
static int check_total(const struct gguf *g, struct errmsg *e)
{
    const struct gguf_value *v = gguf_find(g, "split.tensors.count");
    int64_t n;

    if (!gguf_int(v, 0, &n) || n == gguf_count(g)) return ERR_OK;
    return err_set(e, ERR_FORMAT, "%s: split.tensors.count is %lld, the files have %d",
                   gguf_path(g), (long long)n, gguf_count(g));
}

int gguf_open_parts(struct gguf **out, const char *path, struct errmsg *e)
{
    struct gguf *g = NULL, *part = NULL;
    int64_t no = 0, count = 1;
    int rc = gguf_open(&g, path, e);

    *out = NULL;
    if (!rc) rc = read_split(g, &no, &count, e);
    if (!rc && no > 0)
        rc = err_set(e, ERR_ARG, "%s: part %lld of %lld: name the first", path, (long long)no + 1,
                     (long long)count);
    for (int64_t i = 1; i < count && !rc; i++) {
        rc = open_part(&part, g, i, count, e);
        if (!rc) rc = gguf_join(g, &part, e);
    }
    if (!rc && count > 1) rc = check_total(g, e);
    gguf_close(&part);
    if (rc) gguf_close(&g);
    *out = g;
    return rc;
}
