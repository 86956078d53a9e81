/* part.cu - parts of devices, by the driver's green contexts. */
#include "kernels/part.cuh"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEVICES 64
#define MAX_GROUPS  256
#define SINCE       12050 /* the version of CUDA that has all of these */

struct part {
    int device;
    CUgreenCtx context;
    cudaStream_t stream;
};

/* Groups of multiprocessors of a device, as they were split for the first part of it. */
struct split {
    CUdevResource groups[MAX_GROUPS]; /* the last may be the rest of the split */
    const struct part *owners[MAX_GROUPS];
    unsigned n; /* 0: not split yet */
};

/* The driver's, by name: the plug-in also opens where there is none. */
struct driver {
    CUresult (*device_resource)(CUdevice, CUdevResource *, CUdevResourceType);
    CUresult (*split)(CUdevResource *, unsigned *, const CUdevResource *, CUdevResource *, unsigned,
                      unsigned);
    CUresult (*descriptor)(CUdevResourceDesc *, CUdevResource *, unsigned);
    CUresult (*context)(CUgreenCtx *, CUdevResourceDesc, CUdevice, unsigned);
    CUresult (*stream)(CUstream *, CUgreenCtx, unsigned, int);
    CUresult (*destroy)(CUgreenCtx);
};

/* A process has one driver, and its devices' multiprocessors are given out once. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct split *splits[MAX_DEVICES];

static int find(void *fn, const char *name, struct errmsg *e)
{
    enum cudaDriverEntryPointQueryResult found;
    void *at = NULL;
    const cudaError_t rc =
        cudaGetDriverEntryPointByVersion(name, &at, SINCE, cudaEnableDefault, &found);

    if (rc != cudaSuccess || found != cudaDriverEntryPointSuccess || !at) {
        cudaGetLastError();
        return err_set(e, ERR_UNSUPPORTED, "--sm-count: the driver has no %s", name);
    }
    memcpy(fn, &at, sizeof at);
    return ERR_OK;
}

static int driver_find(struct driver *d, struct errmsg *e)
{
    int rc = find(&d->device_resource, "cuDeviceGetDevResource", e);

    if (!rc) rc = find(&d->split, "cuDevSmResourceSplitByCount", e);
    if (!rc) rc = find(&d->descriptor, "cuDevResourceGenerateDesc", e);
    if (!rc) rc = find(&d->context, "cuGreenCtxCreate", e);
    if (!rc) rc = find(&d->stream, "cuGreenCtxStreamCreate", e);
    if (!rc) rc = find(&d->destroy, "cuGreenCtxDestroy", e);
    return rc;
}

/* The driver's numbers are the runtime's. */
static int told(CUresult rc, const char *what, struct errmsg *e)
{
    if (rc == CUDA_SUCCESS) return ERR_OK;
    return err_set(e, ERR_CUDA, "CUDA: %s, %s", cudaGetErrorString((cudaError_t)rc), what);
}

static int split_device(struct split *s, const struct driver *d, int device, struct errmsg *e)
{
    CUdevResource all, rest;
    unsigned n = 0, least;
    int rc = told(d->device_resource(device, &all, CU_DEV_RESOURCE_TYPE_SM),
                  "asking for the multiprocessors", e);

    if (rc) return rc;
    least = all.sm.minSmPartitionSize;
    if ((rc = told(d->split(NULL, &n, &all, NULL, 0, least), "counting groups", e))) return rc;
    if (n == 0 || n >= MAX_GROUPS)
        return err_set(e, ERR_UNSUPPORTED, "cuda:%d falls into %u groups of multiprocessors",
                       device, n);
    memset(&rest, 0, sizeof rest);
    if ((rc = told(d->split(s->groups, &n, &all, &rest, 0, least), "splitting the device", e)))
        return rc;
    s->n = n;
    if (rest.type == CU_DEV_RESOURCE_TYPE_SM && rest.sm.smCount > 0) s->groups[s->n++] = rest;
    return ERR_OK;
}

/* Groups for p, at least `wanted` multiprocessors; how many groups, 0: too few are left. */
static unsigned groups_take(struct split *s, struct part *p, int wanted, CUdevResource *out,
                            int *got, int *left)
{
    unsigned n = 0;

    *got = *left = 0;
    for (unsigned i = 0; i < s->n; i++) {
        if (s->owners[i]) continue;
        *left += (int)s->groups[i].sm.smCount;
        if (*got >= wanted) continue;
        out[n++] = s->groups[i];
        *got += (int)s->groups[i].sm.smCount;
        s->owners[i] = p;
    }
    return *got >= wanted ? n : 0;
}

static void groups_give(struct split *s, const struct part *p)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->owners[i] == p) s->owners[i] = NULL;
}

/* Under the lock. */
static int part_take(struct part *p, const struct driver *d, int wanted, int *got, struct errmsg *e)
{
    struct split **at = &splits[p->device];
    CUdevResource groups[MAX_GROUPS];
    CUdevResourceDesc descriptor;
    int left, rc = ERR_OK;
    unsigned n;

    if (!*at && !(*at = (struct split *)calloc(1, sizeof **at)))
        return err_set(e, ERR_NOMEM, "no memory for a part of a device");
    if (!(*at)->n) rc = split_device(*at, d, p->device, e);
    if (rc) return rc;
    n = groups_take(*at, p, wanted, groups, got, &left);
    if (!n)
        return err_set(e, ERR_FULL, "cuda:%d: %d multiprocessors are asked for, %d are left",
                       p->device, wanted, left);
    rc = told(d->descriptor(&descriptor, groups, n), "describing a part", e);
    if (!rc)
        rc = told(d->context(&p->context, descriptor, p->device, CU_GREEN_CTX_DEFAULT_STREAM),
                  "making a green context", e);
    if (!rc)
        rc = told(d->stream(&p->stream, p->context, CU_STREAM_NON_BLOCKING, 0),
                  "making a stream of a green context", e);
    return rc;
}

void part_close(struct part **p)
{
    struct part *at = *p;
    struct driver d = {};
    struct errmsg e;

    if (!at) return;
    if (at->stream) cudaStreamDestroy(at->stream);
    if (at->context && !find(&d.destroy, "cuGreenCtxDestroy", &e)) d.destroy(at->context);
    pthread_mutex_lock(&lock);
    if (splits[at->device]) groups_give(splits[at->device], at);
    pthread_mutex_unlock(&lock);
    free(at);
    *p = NULL;
}

int part_open(struct part **out, int device, int n, cudaStream_t *stream, int *got,
              struct errmsg *e)
{
    struct part *p = NULL;
    struct driver d;
    int rc = driver_find(&d, e);

    *out = NULL;
    if (rc) goto out;
    rc =
        err_set(e, ERR_ARG, "cuda:%d: parts are made of the first %d devices", device, MAX_DEVICES);
    if (device >= MAX_DEVICES) goto out;
    rc = err_set(e, ERR_NOMEM, "no memory for a part of a device");
    if (!(p = (struct part *)calloc(1, sizeof *p))) goto out;
    p->device = device;
    pthread_mutex_lock(&lock);
    rc = part_take(p, &d, n, got, e);
    pthread_mutex_unlock(&lock);
    if (rc) goto out;
    *stream = p->stream;
    *out = p;
    p = NULL;
out:
    part_close(&p);
    return rc;
}
