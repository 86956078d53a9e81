/* place.c - where an instance computes. */
#include "worker/place.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/plugin.h"

#define CUDA "cuda"

bool place_is_cuda(const char *name)
{
    const size_t n = strlen(CUDA);

    return !strncmp(name, CUDA, n) && (name[n] == '\0' || name[n] == ':');
}

static int add_device(struct place *p, const char *name, long index, struct errmsg *e)
{
    if (p->n_devices == ENGINE_MAX_DEVICES)
        return err_set(e, ERR_ARG, "--device %s: more than %d devices", name, ENGINE_MAX_DEVICES);
    for (int i = 0; i < p->n_devices; i++)
        if (p->devices[i] == (int)index)
            return err_set(e, ERR_ARG, "--device %s: %ld is there twice", name, index);
    p->devices[p->n_devices++] = (int)index;
    return ERR_OK;
}

/* N[,M...] */
static int read_list(struct place *p, const char *name, const char *at, struct errmsg *e)
{
    int rc = ERR_OK;

    while (!rc) {
        char *end;
        const long index = strtol(at, &end, 10);

        if (!isdigit((unsigned char)*at) || index > 9999 || (*end && *end != ','))
            return err_set(e, ERR_ARG, "--device %s: not cuda:N or cuda:N,M,...", name);
        rc = add_device(p, name, index, e);
        if (!*end) break;
        at = end + 1;
    }
    return rc;
}

static int check_arch(const struct place *p, int i, struct errmsg *e)
{
    struct device_facts f;
    const int rc = p->device->facts(p->devices[i], &f, e);

    if (rc || f.arch >= PLACE_LEAST_ARCH) return rc;
    return err_set(e, ERR_UNSUPPORTED, "cuda:%d, %s, is sm_%d: the oldest that computes is sm_%d",
                   p->devices[i], f.name, f.arch, PLACE_LEAST_ARCH);
}

static int find_cuda(struct place *p, const char *name, int tp, struct errmsg *e)
{
    const char *list = strchr(name, ':');
    const struct plugin *plugin;
    int n, rc = ERR_OK;

    if (list) rc = read_list(p, name, list + 1, e);
    for (int i = 0; !list && !rc && i < (tp ? tp : 1); i++)
        rc = add_device(p, name, i, e);
    if (rc) return rc;
    p->tp = tp ? tp : p->n_devices;
    if (p->tp != p->n_devices)
        return err_set(e, ERR_ARG,
                       "--tensor-parallel-size is %d, and --device %s names %d: a rank works on a "
                       "device of its own",
                       p->tp, name, p->n_devices);
    if (!(plugin = plugin_open(e))) return ERR_UNSUPPORTED;
    p->device = plugin->device;
    if ((n = p->device->count(e)) == 0) return ERR_UNSUPPORTED;
    for (int i = 0; i < p->n_devices && !rc; i++)
        rc = p->devices[i] < n
                 ? check_arch(p, i, e)
                 : err_set(e, ERR_UNSUPPORTED, "--device %s: there is no cuda:%d, of %d devices",
                           name, p->devices[i], n);
    if (rc) return rc;
    if (p->tp > 1 && !(p->coll = plugin->nccl(e))) return ERR_UNSUPPORTED;
    return ERR_OK;
}

int place_find(struct place *out, const char *name, int tp, struct errmsg *e)
{
    *out = (struct place){.tp = tp ? tp : 1};
    if (place_is_cuda(name)) return find_cuda(out, name, tp, e);
    out->n_devices = 1;
    out->device = !strcmp(name, "cpu") ? device_cpu() : !strcmp(name, "ref") ? device_ref() : NULL;
    if (out->device) return ERR_OK;
    return err_set(e, ERR_ARG,
                   "--device '%s' is not known; known: cpu, ref, cuda, cuda:N,M,..., sim:FILE",
                   name);
}
