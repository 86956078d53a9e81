/* machine.c - what this machine has to offer. */
#include "clients/machine.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/jsontext.h"
#include "kernels/plugin.h"
#include "worker/estimate.h"
#include "worker/meter.h"
#include "worker/place.h"

/* "model name : AMD EPYC 9654 96-Core Processor" */
static void processor_name(char *out, size_t cap)
{
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256], *at;

    snprintf(out, cap, "cpu");
    while (f && fgets(line, sizeof line, f)) {
        if (strncmp(line, "model name", 10) || !(at = strchr(line, ':'))) continue;
        at[strcspn(at, "\n")] = '\0';
        snprintf(out, cap, "%.*s", (int)cap - 1, at + 1 + (at[1] == ' '));
        break;
    }
    if (f) fclose(f);
}

static void look_at_cards(struct machine *m)
{
    struct errmsg e;
    const struct plugin *p = plugin_open(&e);
    const int n = p && !p->emulated ? p->device->count(&e) : 0;

    for (int i = 0; i < n && m->n_devices < PLAN_DEVICES; i++) {
        struct machine_device *d = &m->devices[m->n_devices];
        struct device_facts facts;

        if (p->device->facts(i, &facts, &e) || facts.arch < PLACE_LEAST_ARCH) continue;
        snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, facts.name);
        snprintf(d->device, sizeof d->device, "cuda:%d", i);
        d->bytes = (double)facts.memory_bytes;
        m->n_devices++;
    }
}

static void look_at_processors(struct machine *m)
{
    const struct device_speed speed = estimate_host(m->cores);
    struct machine_device *d = &m->devices[0];
    char name[44];

    processor_name(name, sizeof name);
    snprintf(d->name, sizeof d->name, "%s, %d cores", name, m->cores);
    strcpy(d->device, "cpu");
    d->bytes = (double)m->memory_bytes;
    d->flops = speed.flops * speed.flops_share;
    d->bytes_per_s = speed.bytes_per_s * speed.bytes_share;
    m->n_devices = 1;
}

/* Is the device of that word, "cuda:1", among those of "cuda:0,1"? */
static bool is_named(const char *device, const char *only)
{
    const char *index = strchr(device, ':') + 1, *at = strchr(only, ':');

    if (!at) return true; /* "cuda" */
    for (at++; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == strlen(index) && !strncmp(at, index, strlen(index))) return true;
    return false;
}

static void keep_named(struct machine *m, const char *only)
{
    int n = 0;

    for (int i = 0; i < m->n_devices; i++)
        if (is_named(m->devices[i].device, only)) m->devices[n++] = m->devices[i];
    m->n_devices = n;
}

int machine_look(struct machine *m, const char *only, struct errmsg *e)
{
    const bool cpu = only && !strcmp(only, "cpu");
    char host[64] = "";

    cpu_set_t set;

    memset(m, 0, sizeof *m);
    snprintf(m->host, sizeof m->host, "%s", gethostname(host, sizeof host - 1) ? "unknown" : host);
    m->cores = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
    m->memory_bytes = meter_available_bytes("");
    if (only && !cpu && !place_is_cuda(only))
        return err_set(e, ERR_ARG, "--device is '%s', not cpu, cuda or cuda:N,M,...", only);
    if (!cpu) look_at_cards(m);
    if (only && !cpu) keep_named(m, only);
    if (only && !cpu && !m->n_devices)
        return err_set(e, ERR_CUDA, "there is no device %s on this machine", only);
    if (!m->n_devices) look_at_processors(m);
    return ERR_OK;
}

/* --- as the table has it ---------------------------------------------------------------------- */

int machine_devices_json(const struct machine *m, struct buf *out)
{
    buf_addc(out, '[');
    for (int i = 0; i < m->n_devices; i++) {
        const struct machine_device *d = &m->devices[i];

        buf_adds(out, i ? ",{\"name\":" : "{\"name\":");
        (void)jsontext_adds(out, d->name);
        buf_printf(out, ",\"device\":\"%s\",\"bytes\":%.0f,\"flops\":%.0f,\"bytes_per_s\":%.0f}",
                   d->device, d->bytes, d->flops, d->bytes_per_s);
    }
    buf_addc(out, ']');
    return out->failed ? ERR_NOMEM : ERR_OK;
}

static int parse_device(struct machine_device *d, json_t *o, struct errmsg *e)
{
    const char *name, *device;
    json_error_t why;

    if (json_unpack_ex(o, &why, 0, "{s:s, s:s, s:F, s?F, s?F}", "name", &name, "device", &device,
                       "bytes", &d->bytes, "flops", &d->flops, "bytes_per_s", &d->bytes_per_s))
        return err_set(e, ERR_FORMAT, "a node's device: %s", why.text);
    if (strlen(name) >= sizeof d->name || strlen(device) >= sizeof d->device)
        return err_set(e, ERR_FORMAT, "a node's device: a name of %zu bytes", strlen(name));
    strcpy(d->name, name);
    strcpy(d->device, device);
    return ERR_OK;
}

int machine_devices_parse(struct machine *m, const char *json, struct errmsg *e)
{
    json_error_t why;
    json_t *list = json_loads(json, 0, &why);
    const size_t n = json_array_size(list);
    int rc = ERR_OK;

    if (!json_is_array(list) || n > PLAN_DEVICES)
        rc = err_set(e, ERR_FORMAT, "a node has %zu devices, not 1 to %d in an array", n,
                     PLAN_DEVICES);
    m->n_devices = 0;
    for (size_t i = 0; i < n && !rc; i++)
        rc = parse_device(&m->devices[m->n_devices++], json_array_get(list, i), e);
    json_decref(list);
    return rc;
}

/* --- as the search takes it ------------------------------------------------------------------- */

static int plan_one(const struct machine_device *d, struct plan_device *out, struct errmsg *e)
{
    snprintf(out->name, sizeof out->name, "%s", d->name);
    out->bytes = d->bytes;
    if (!place_is_cuda(d->device)) {
        out->speed = (struct device_speed){.flops = d->flops,
                                           .bytes_per_s = d->bytes_per_s,
                                           .flops_share = 1,
                                           .bytes_share = 1,
                                           .launch_s = 20e-6};
        return ERR_OK;
    }
    out->card = card_find(d->name);
    if (!out->card)
        return err_set(e, ERR_ARG,
                       "the card '%s' of %s is not known: nothing is known of its speed", d->name,
                       d->device);
    snprintf(out->name, sizeof out->name, "%s", out->card->name);
    out->speed = card_speed(out->card, N_DTYPES);
    return ERR_OK;
}

int machine_plan(const struct machine *m, struct plan_machine *out, struct errmsg *e)
{
    int rc = ERR_OK;

    snprintf(out->name, sizeof out->name, "%s", m->host);
    out->n_devices = 0;
    /* A worker on the host takes half of the memory there is for KV (worker.h). */
    out->utilisation = m->n_devices && !place_is_cuda(m->devices[0].device) ? 0.5 : 0;
    for (int i = 0; i < m->n_devices && !rc; i++)
        rc = plan_one(&m->devices[i], &out->devices[out->n_devices++], e);
    return rc;
}
