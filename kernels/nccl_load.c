/* nccl_load.c - finds NCCL and its functions. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/coll_nccl.h"
#include "kernels/nvidia_library.h"

static void *open_library(char *why, size_t size)
{
    const char *given = getenv(NCCL_ENV);
    void *lib;

    if (!given || !*given) return nvidia_library_open(NCCL_LIBRARY, why, size);
    lib = dlopen(given, RTLD_NOW | RTLD_LOCAL);
    if (!lib) snprintf(why, size, "%s", dlerror());
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
