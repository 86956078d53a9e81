/* gguf_locate.c - which GGUF a user's path means. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/gguf.h"
#include "model/gguf_parts.h"
#include "model/jsonfile.h"

static bool has_magic(const char *path)
{
    char magic[4] = "";
    FILE *f = fopen(path, "rbe");
    bool is = f && fread(magic, 1, sizeof magic, f) == sizeof magic && !memcmp(magic, "GGUF", 4);

    if (f) fclose(f);
    return is;
}

/* Not a later part of one; pictures' projectors lie beside a model under a name of their own. */
static bool is_model(const char *name)
{
    int no, count;

    return gguf_stem(name, &no, &count) < strlen(name) && no == 1 &&
           strncmp(name, "mmproj", 6) != 0;
}

static int find_one(char *out, size_t size, const char *dir, struct errmsg *e)
{
    DIR *d = opendir(dir);
    const struct dirent *x;
    int n = 0, len = 0;

    if (!d) return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    while ((x = readdir(d)))
        if (is_model(x->d_name) && n++ == 0) len = snprintf(out, size, "%s/%s", dir, x->d_name);
    closedir(d);
    if (n > 1) return err_set(e, ERR_ARG, "%s: %d .gguf files in it: name one of them", dir, n);
    if (n && (len < 0 || (size_t)len >= size))
        return err_set(e, ERR_ARG, "%s: the path is too long", dir);
    return n ? ERR_OK : ERR_EMPTY;
}

/* A file of another form is somebody else's, but not under this ending. */
static int no_gguf(const char *path, struct errmsg *e)
{
    int no, count;

    if (gguf_stem(path, &no, &count) == strlen(path)) return ERR_EMPTY;
    if (access(path, R_OK)) return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    return err_set(e, ERR_FORMAT, "%s: not a GGUF file", path);
}

int gguf_locate(char *out, size_t size, const char *path, struct errmsg *e)
{
    struct stat st;
    int n;

    if (stat(path, &st)) return no_gguf(path, e);
    if (S_ISDIR(st.st_mode)) {
        if (jsonfile_exists(path, "model.safetensors") ||
            jsonfile_exists(path, "model.safetensors.index.json"))
            return ERR_EMPTY;
        return find_one(out, size, path, e);
    }
    if (!S_ISREG(st.st_mode) || !has_magic(path)) return no_gguf(path, e);
    n = snprintf(out, size, "%s", path);
    return n < 0 || (size_t)n >= size ? err_set(e, ERR_ARG, "%s: the path is too long", path)
                                      : ERR_OK;
}
