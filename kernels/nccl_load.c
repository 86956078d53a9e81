/* nccl_load.c - finds NCCL and its functions. */
#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/coll_nccl.h"

/* The first file that the pattern below prefix finds and that opens. */
static void *open_below(const char *prefix)
{
    static const char PATTERN[] = "/lib*/python3*/*-packages/nvidia/nccl/lib/" NCCL_LIBRARY;
    char pattern[PATH_MAX];
    void *lib = NULL;
    glob_t found;

    if (snprintf(pattern, sizeof pattern, "%s%s", prefix, PATTERN) >= (int)sizeof pattern)
        return NULL;
    if (glob(pattern, 0, NULL, &found)) return NULL;
    for (size_t i = 0; i < found.gl_pathc && !lib; i++)
        lib = dlopen(found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
    globfree(&found);
    return lib;
}

/* DIR of each DIR/bin in the path that has a python3. */
static void *open_beside_python(void)
{
    const char *at = getenv("PATH");
    void *lib = NULL;

    while (at && *at && !lib) {
        const int n = (int)strcspn(at, ":");
        char path[PATH_MAX];

        if (snprintf(path, sizeof path, "%.*s/python3", n, at) < (int)sizeof path &&
            !access(path, X_OK)) {
            path[n] = '\0';
            if (strrchr(path, '/')) *strrchr(path, '/') = '\0';
            lib = open_below(path);
        }
        at += n + (at[n] == ':');
    }
    return lib;
}

static void *open_library(char *why, size_t size)
{
    static const char *const PREFIXES[] = {"VIRTUAL_ENV", "CONDA_PREFIX"};
    const char *given = getenv(NCCL_ENV), *home = getenv("HOME");
    const bool is_given = given && *given;
    void *lib = dlopen(is_given ? given : NCCL_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    char local[PATH_MAX];

    if (!lib) snprintf(why, size, "%s", dlerror());
    if (lib || is_given) return lib;
    for (size_t i = 0; i < sizeof PREFIXES / sizeof PREFIXES[0] && !lib; i++)
        if (getenv(PREFIXES[i])) lib = open_below(getenv(PREFIXES[i]));
    if (!lib) lib = open_beside_python();
    if (!lib && home && snprintf(local, sizeof local, "%s/.local", home) < (int)sizeof local)
        lib = open_below(local);
    return lib;
}

static int find(void *lib, void *fn, const char *name, struct errmsg *e)
{
    void *at = dlsym(lib, name);

    if (!at) return err_set(e, ERR_UNSUPPORTED, "NCCL has no %s", name);
    memcpy(fn, &at, sizeof at);
    return ERR_OK;
}

static int find_all(struct nccl *n, void *lib, struct errmsg *e)
{
    int rc = find(lib, &n->version, "ncclGetVersion", e);

    if (!rc) rc = find(lib, &n->text, "ncclGetErrorString", e);
    if (!rc) rc = find(lib, &n->open_all, "ncclCommInitAll", e);
    if (!rc) rc = find(lib, &n->close, "ncclCommDestroy", e);
    if (!rc) rc = find(lib, &n->abort, "ncclCommAbort", e);
    if (!rc) rc = find(lib, &n->sum, "ncclAllReduce", e);
    if (!rc) rc = find(lib, &n->send, "ncclSend", e);
    if (!rc) rc = find(lib, &n->receive, "ncclRecv", e);
    if (!rc) rc = find(lib, &n->group_start, "ncclGroupStart", e);
    if (!rc) rc = find(lib, &n->group_end, "ncclGroupEnd", e);
    return rc;
}

int nccl_load(struct nccl *out, struct errmsg *e)
{
    char why[300] = "";
    void *lib = open_library(why, sizeof why);
    int version = 0, rc;

    if (!lib) return err_set(e, ERR_UNSUPPORTED, "no NCCL: %s", why);
    rc = find_all(out, lib, e);
    if (!rc && (out->version(&version) || version < NCCL_LEAST))
        rc = err_set(e, ERR_UNSUPPORTED, "NCCL has version %d, and %d is the least", version,
                     NCCL_LEAST);
    if (rc) dlclose(lib);
    return rc;
}
