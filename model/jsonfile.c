/* jsonfile.c - a JSON file of a model directory. */
#include "model/jsonfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

static int path_join(char out[PATH_BYTES], const char *dir, const char *name, struct errmsg *e)
{
    int n = snprintf(out, PATH_BYTES, "%s/%s", dir, name);

    if (n < 0 || n >= PATH_BYTES) return err_set(e, ERR_ARG, "%s: the path is too long", name);
    return ERR_OK;
}

bool jsonfile_exists(const char *dir, const char *name)
{
    char path[PATH_BYTES];

    return !path_join(path, dir, name, NULL) && !access(path, F_OK);
}

static int read_all(struct buf *out, int fd, const char *path, size_t max, struct errmsg *e)
{
    char chunk[65536];

    for (;;) {
        ssize_t n = read(fd, chunk, sizeof chunk);

        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        if (n == 0) return ERR_OK;
        if (out->len + (size_t)n > max)
            return err_set(e, ERR_FORMAT, "%s: more than %zu bytes", path, max);
        if (buf_add(out, chunk, (size_t)n)) return err_set(e, ERR_NOMEM, "%s: no memory", path);
    }
}

int jsonfile_bytes(struct buf *out, const char *dir, const char *name, size_t max, struct errmsg *e)
{
    char path[PATH_BYTES];
    int fd, rc = path_join(path, dir, name, e);

    if (rc) return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    rc = read_all(out, fd, path, max, e);
    close(fd);
    return rc;
}

int jsonfile_read(json_t **out, const char *dir, const char *name, size_t max, struct errmsg *e)
{
    struct buf text = {0};
    json_error_t bad;
    int rc;

    *out = NULL;
    rc = jsonfile_bytes(&text, dir, name, max, e);
    if (rc) goto out;
    *out = json_loadb(text.data ? text.data : "", text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                      &bad);
    if (!*out)
        rc = err_set(e, ERR_FORMAT, "%s/%s: line %d: %s", dir, name, bad.line, bad.text);
    else if (!json_is_object(*out))
        rc = err_set(e, ERR_FORMAT, "%s/%s: not a JSON object", dir, name);
    if (rc) {
        json_decref(*out);
        *out = NULL;
    }
out:
    buf_fini(&text);
    return rc;
}
