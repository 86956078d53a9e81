/* node.c - nightmill node: this machine's devices, at the plan's disposal.
 *
 * Says again and again to the broker who it is, hears what the active plan gives it, and keeps its
 * workers so.  A broker that is away changes nothing: the workers wait for it themselves.
 */
#include <poll.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "clients/broker_flags.h"
#include "clients/command.h"
#include "clients/crew.h"
#include "clients/machine.h"
#include "model/model.h"

#define MAX_NAME   55 /* as in a cluster file: a worker's name is longer */
#define NAME_BYTES "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_" /* too */
#define ANSWER_MS  2000
#define TEND_MS    100
#define BEAT_MS    1000 /* where the broker does not say */

struct config {
    const char *model, *name, *usd_per_hour;
    struct broker_flags broker;
    struct engine_flags engine;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL", "a model directory in Hugging Face's layout, or a .gguf file", OPT_STR,
     AT(model), 0, 0},
    BROKER_OPTS(AT(broker)),
    {"name", 0, "NAME", "how plans and tables call this machine (default: its host name)", OPT_STR,
     AT(name), 0, 0},
    {"usd-per-hour", 0, "USD", "what this machine costs, for plans (default: not known)", OPT_STR,
     AT(usd_per_hour), 0, 0},
    ENGINE_OPTS(AT(engine)),
    {0}};
static const struct opt_command COMMAND = {
    "node",
    "",
    "Offers this machine's devices to a broker and runs the workers that the active plan gives it, "
    "until it is interrupted; without a plan one worker for each device.",
    OPTS,
    0,
    0};

struct node_run {
    const struct config *c;
    struct machine machine;
    char name[NODES_NAME], uuid[40], model[MODEL_NAME], devices[4096];
    double usd_per_hour;
    const char *address;
    char room[256];
    struct client *client;
    struct crew crew;
    int64_t plan_id;                             /* the last one heard of; -1: none was */
    char told[sizeof((struct errmsg *)0)->text]; /* the last trouble: each is told once */
    int signals;
};

/* --- what it is ------------------------------------------------------------------------------- */

static int read_price(struct node_run *r, struct errmsg *e)
{
    const char *text = r->c->usd_per_hour;
    char *end;

    if (!text) return ERR_OK;
    r->usd_per_hour = strtod(text, &end);
    if (end != text && !*end && r->usd_per_hour >= 0 && r->usd_per_hour <= 1e6) return ERR_OK;
    return err_set(e, ERR_ARG, "--usd-per-hour is '%s', not 0 to 1000000", text);
}

static void make_uuid(char out[40])
{
    unsigned char r[16];

    randombytes_buf(r, sizeof r);
    for (size_t i = 0; i < sizeof r; i++)
        snprintf(out + 2 * i, 3, "%02x", r[i]);
}

static int describe(struct node_run *r, struct errmsg *e)
{
    const char *name = r->c->name ? r->c->name : r->machine.host;
    struct buf json = {0};
    int rc = read_price(r, e);

    if (rc) return rc;
    if (!*name || strlen(name) > MAX_NAME)
        return err_set(e, ERR_ARG, "--name has %zu bytes, not 1 to %d", strlen(name), MAX_NAME);
    if (name[strspn(name, NAME_BYTES)])
        return err_set(e, ERR_ARG, "--name '%s' is not letters, digits, dots, dashes, underlines",
                       name);
    strcpy(r->name, name);
    if ((rc = machine_devices_json(&r->machine, &json)) || json.len >= sizeof r->devices)
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        strcpy(r->devices, json.data);
    buf_fini(&json);
    make_uuid(r->uuid);
    return rc;
}

/* --- what it is to do ------------------------------------------------------------------------- */

/* Without a plan: a worker for each device. */
static int own_plan(const struct node_run *r, struct node_instance *want)
{
    for (int i = 0; i < r->machine.n_devices; i++) {
        want[i] = (struct node_instance){.n = i + 1, .tp = 1};
        strcpy(want[i].node, r->name);
        strcpy(want[i].devices, r->machine.devices[i].device);
    }
    return r->machine.n_devices;
}

static int read_plan(const struct node_run *r, const msgpack_object *map,
                     struct node_instance *want)
{
    const msgpack_object_array *all = wire_array(map, "instances");
    int n = 0;

    for (uint32_t i = 0; all && i < all->size && n < CREW_MOST; i++) {
        const msgpack_object *m = &all->ptr[i];
        struct node_instance *one = &want[n++];

        if (m->type != MSGPACK_OBJECT_MAP) return 0;
        *one = (struct node_instance){.n = wire_int(m, "n", 0), .tp = wire_int(m, "tp", 1)};
        strcpy(one->node, r->name);
        wire_copy(m, "devices", one->devices, sizeof one->devices);
        wire_copy(m, "dtype", one->dtype, sizeof one->dtype);
        wire_copy(m, "kv_dtype", one->kv_dtype, sizeof one->kv_dtype);
    }
    return n;
}

static void tell(struct node_run *r, const char *text)
{
    if (!strcmp(r->told, text)) return;
    snprintf(r->told, sizeof r->told, "%s", text);
    if (*text) fprintf(stderr, "nightmill node: %s\n", text);
}

static void take_plan(struct node_run *r, const msgpack_object *map, int64_t now_ms)
{
    const int64_t plan_id = wire_int(map, "plan", 0);
    struct node_instance want[CREW_MOST];
    char model[MODEL_NAME], text[2 * MODEL_NAME + NODES_NAME + 96];
    int n = 0;

    if (plan_id == r->plan_id) return;
    r->plan_id = plan_id;
    wire_copy(map, "model", model, sizeof model);
    if (!plan_id) {
        n = own_plan(r, want);
    } else if (strcmp(model, r->model)) {
        snprintf(text, sizeof text,
                 "plan %lld is for model %s, and this node has %s: it runs nothing",
                 (long long)plan_id, model, r->model);
        tell(r, text);
    } else {
        n = read_plan(r, map, want);
        snprintf(text, sizeof text, "plan %lld does not name %s: it runs nothing",
                 (long long)plan_id, r->name);
        if (!n) tell(r, text);
    }
    if (plan_id) log_info("node", "plan %lld gives it %d instances", (long long)plan_id, n);
    crew_plan(&r->crew, want, n, now_ms);
}

/* --- the broker ------------------------------------------------------------------------------- */

/* Says who it is and hears the plan; *beat_ms: until the next time. */
static int say_node(struct node_run *r, bool ending, int64_t *beat_ms, struct errmsg *e)
{
    struct wire_msg reply;
    struct wire_out o;
    int rc = r->client ? ERR_OK : client_open(&r->client, r->address, r->c->broker.key, e);

    *beat_ms = BEAT_MS;
    if (rc) return rc;
    wire_begin(&o, 8);
    wire_put_str(&o, "name", r->name);
    wire_put_str(&o, "uuid", r->uuid);
    wire_put_str(&o, "host", r->machine.host);
    wire_put_str(&o, "devices", r->devices);
    wire_put_int(&o, "cores", r->machine.cores);
    wire_put_int(&o, "memory_bytes", r->machine.memory_bytes);
    wire_put_float(&o, "usd_per_hour", r->usd_per_hour);
    wire_put_int(&o, "ending", ending);
    rc = client_ask(r->client, WIRE_NODE, &o, e);
    if (!rc) rc = client_hear(r->client, WIRE_NODE_PLAN, &reply, ANSWER_MS, e);
    if (rc) { /* an answer that comes late is not one to the next question */
        client_close(&r->client);
        return rc;
    }
    if (!ending) take_plan(r, &reply.map, clock_mono_ms());
    *beat_ms = wire_int(&reply.map, "beat_ms", BEAT_MS);
    if (*beat_ms < TEND_MS) *beat_ms = TEND_MS;
    wire_msg_fini(&reply);
    return ERR_OK;
}

static bool is_asked_to_end(const struct node_run *r, int wait_ms)
{
    struct pollfd p = {r->signals, POLLIN, 0};

    return poll(&p, 1, wait_ms) > 0;
}

static void work(struct node_run *r)
{
    int64_t next_ms = 0, beat_ms;
    struct errmsg e;

    while (!is_asked_to_end(r, TEND_MS)) {
        int64_t now_ms = clock_mono_ms();

        if (now_ms >= next_ms) {
            const int rc = say_node(r, false, &beat_ms, &e);

            tell(r, rc ? e.text : "");
            next_ms = clock_mono_ms() + beat_ms;
        }
        (void)crew_tend(&r->crew, clock_mono_ms());
    }
    crew_plan(&r->crew, NULL, 0, clock_mono_ms());
    while (crew_tend(&r->crew, clock_mono_ms()))
        usleep(TEND_MS * 100);
    if (r->plan_id >= 0 && say_node(r, true, &beat_ms, &e)) log_info("node", "%s", e.text);
}

int command_node(int argc, char **argv)
{
    struct config c = {.broker = BROKER_FLAGS_DEFAULT, .engine = ENGINE_FLAGS_DEFAULT};
    struct node_run r = {.c = &c, .plan_id = -1, .signals = -1};
    struct errmsg e = {{0}};
    int rc;

    c.engine.device = NULL; /* all */
    rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);
    if (!rc && !c.model) rc = err_set(&e, ERR_ARG, "--model is missing");
    if (!rc) rc = model_name(r.model, c.model, &e);
    if (!rc) rc = machine_look(&r.machine, c.engine.device, &e);
    if (!rc) c.engine.device = r.machine.devices[0].device; /* for the check: each has its own */
    if (!rc) rc = engine_flags_apply(&c.engine, &(struct worker_opts){0}, &e);
    if (!rc) rc = broker_flags_address(&c.broker, r.room, sizeof r.room, &r.address, &e);
    if (!rc) rc = describe(&r, &e);
    /* Before it offers anything: what cannot be a model here would end every worker. */
    if (!rc) rc = worker_check(c.model, r.machine.devices[0].device, 1, c.engine.context_dir, &e);
    if (!rc && (r.signals = command_signals(&e)) < 0) rc = ERR_IO;
    r.crew.start = child_start;
    r.crew.spec = (struct child_spec){
        .model = c.model, .address = r.address, .key = c.broker.key, .engine = &c.engine};
    if (!rc) work(&r);
    client_close(&r.client);
    if (r.signals >= 0) close(r.signals);
    return rc ? command_fail("node", rc, &e) : EXIT_ALL_DONE;
}
