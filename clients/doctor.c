/* doctor.c - nightmill doctor: what works here, and what is missing. */
#include <sched.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "base/opt.h"
#include "broker/dbfile.h"
#include "clients/broker_flags.h"
#include "clients/command.h"
#include "kernels/plugin.h"
#include "model/model.h"
#include "worker/layers.h"
#include "worker/place.h"

#define PING_MS 1000

struct config {
    struct broker_flags broker;
    const char *model;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    BROKER_OPTS(AT(broker)),
    {"model", 'm', "MODEL", "a model directory or a .gguf file to try", OPT_STR, AT(model), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "doctor",
    "",
    "Says what works here, and what is missing. Ends with 3 when something is broken.",
    OPTS,
    0,
    0};

enum verdict { FINE, NOTE, BROKEN };
static const char *const VERDICTS[] = {"ok", "note", "BROKEN"};

/* One line; returns 1 for what is broken, to be summed. */
static int tell(enum verdict v, const char *what, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int tell(enum verdict v, const char *what, const char *fmt, ...)
{
    va_list ap;

    printf("%-7s %-9s ", VERDICTS[v], what);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    return v == BROKEN;
}

static const char *simd_name(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return "AVX-512";
    if (__builtin_cpu_supports("avx2")) return "AVX2";
    return "SSE2";
#else
    return "plain";
#endif
}

static int check_machine(void)
{
    struct sysinfo s;
    cpu_set_t set;
    int cpus = sched_getaffinity(0, sizeof set, &set) ? 0 : CPU_COUNT(&set);

    if (sysinfo(&s)) return tell(BROKEN, "machine", "sysinfo says nothing");
    return tell(FINE, "machine", "%d cores, %s, %.1f GiB of memory, %.1f free", cpus, simd_name(),
                (double)s.totalram * s.mem_unit / (1 << 30),
                (double)s.freeram * s.mem_unit / (1 << 30));
}

static void tell_devices(const struct device *d, int n)
{
    struct device_reading now;
    struct device_facts f;
    struct errmsg e;

    for (int i = 0; i < n; i++) {
        if (d->facts(i, &f, &e)) {
            tell(NOTE, "cuda", "cuda:%d cannot be used: %s", i, e.text);
            continue;
        }
        tell(FINE, "cuda", "cuda:%d: %s (sm_%d) at %s, %d multiprocessors, %.1f GiB, %.1f free", i,
             f.name, f.arch, f.bus, f.sm_count, (double)f.memory_bytes / (1 << 30),
             (double)f.free_bytes / (1 << 30));
        if (f.arch < PLACE_LEAST_ARCH)
            tell(NOTE, "cuda", "cuda:%d is too old: sm_%d is the oldest that computes", i,
                 PLACE_LEAST_ARCH);
        if (!d->read(i, &now) && now.others > 0)
            tell(NOTE, "cuda", "cuda:%d: %d other processes compute there", i, now.others);
    }
}

static int check_cuda(void)
{
    struct device_facts f;
    struct errmsg e;
    const struct plugin *p = plugin_open(&e);
    const int n = p ? p->device->count(&e) : 0;

    if (n == 0) return tell(NOTE, "cuda", "%s; workers run on the CPU", e.text);
    if (!p->device->facts(0, &f, &e))
        tell(FINE, "cuda", "%s plug-in for %s, %s", p->emulated ? "an emulating" : "a",
             p->built_for, f.library);
    tell_devices(p->device, n);
    if (n > 1 && p->nccl(&e))
        tell(FINE, "cuda", "NCCL is here, for an instance on several devices");
    if (n > 1 && !p->nccl(&e)) tell(NOTE, "cuda", "%s; an instance has one device", e.text);
    return 0;
}

static int check_disk(const char *db)
{
    char dir[4096];
    const char *slash = strrchr(db, '/');
    struct statvfs v;
    double free_gib;

    snprintf(dir, sizeof dir, "%.*s", slash ? (int)(slash - db) + 1 : 1, slash ? db : ".");
    if (statvfs(dir, &v)) return tell(BROKEN, "disk", "%s: there is no such directory", dir);
    free_gib = (double)v.f_bavail * (double)v.f_frsize / (1 << 30);
    return tell(free_gib < 1 ? NOTE : FINE, "disk", "%.1f GiB free for %s", free_gib, db);
}

static int tell_waiting(sqlite3 *db)
{
    static const char SQL[] =
        "SELECT batch, ready, model FROM progress p WHERE ready>0 AND NOT EXISTS"
        " (SELECT 1 FROM instances i WHERE i.state='here' AND (p.model='' OR i.model=p.model))";
    sqlite3_stmt *st = NULL;

    if (sqlite3_prepare_v2(db, SQL, -1, &st, NULL) != SQLITE_OK)
        return tell(BROKEN, "queue", "%s", sqlite3_errmsg(db));
    while (sqlite3_step(st) == SQLITE_ROW) {
        const char *model = (const char *)sqlite3_column_text(st, 2);

        tell(NOTE, "waiting", "batch %s: %lld rows, and no instance here holds %s%s",
             sqlite3_column_text(st, 0), (long long)sqlite3_column_int64(st, 1),
             *model ? "model " : "any model", model);
    }
    sqlite3_finalize(st);
    return 0;
}

static int check_queue(const char *path)
{
    struct errmsg e;
    sqlite3_stmt *st = NULL;
    sqlite3 *db;
    int rc = dbfile_open_read(&db, path, &e), bad = 0;

    if (rc == ERR_EMPTY) return tell(NOTE, "queue", "%s is not there yet; a broker makes it", path);
    if (rc) return tell(BROKEN, "queue", "%s", e.text);
    if (sqlite3_prepare_v2(db,
                           "SELECT count(*), ifnull(sum(jobs),0), ifnull(sum(done),0), "
                           "ifnull(sum(failed),0) FROM progress",
                           -1, &st, NULL) != SQLITE_OK ||
        sqlite3_step(st) != SQLITE_ROW)
        bad = tell(BROKEN, "queue", "%s: %s", path, sqlite3_errmsg(db));
    else
        tell(FINE, "queue", "%s: %d batch%s, %lld rows, %lld done, %lld failed", path,
             sqlite3_column_int(st, 0), sqlite3_column_int(st, 0) == 1 ? "" : "es",
             (long long)sqlite3_column_int64(st, 1), (long long)sqlite3_column_int64(st, 2),
             (long long)sqlite3_column_int64(st, 3));
    sqlite3_finalize(st);
    if (!bad) bad = tell_waiting(db);
    sqlite3_close(db);
    return bad;
}

static int check_broker(const struct broker_flags *f)
{
    struct client *c = NULL;
    struct wire_msg m;
    struct errmsg e;
    const char *address;
    char room[256];
    int rc = broker_flags_address(f, room, sizeof room, &address, &e);

    if (!rc) rc = client_open(&c, address, f->key, &e);
    if (!rc) rc = client_ping(c, &m, PING_MS, &e);
    if (rc) {
        client_close(&c);
        return tell(NOTE, "broker", "%s", e.text);
    }
    tell(FINE, "broker", "%s: %lld workers, %lld rows leased, %lld messages refused", address,
         (long long)wire_int(&m.map, "workers", 0), (long long)wire_int(&m.map, "leases", 0),
         (long long)wire_int(&m.map, "refused", 0));
    wire_msg_fini(&m);
    client_close(&c);
    return 0;
}

static int check_model(const char *path)
{
    struct model *m = NULL;
    struct layers layers;
    struct errmsg e;

    if (!path) return 0;
    if (model_open(&m, path, &e)) return tell(BROKEN, "model", "%s", e.text);
    if (layers_open(&layers, m, &e)) {
        model_close(&m);
        return tell(BROKEN, "model", "%s: %s", path, e.text);
    }
    layers_fini(&layers);
    tell(FINE, "model",
         "%s: %s, %d layers of width %d, %d heads (%d for K and V), vocabulary %d, context %d",
         m->name, m->config.arch, m->config.n_layers, m->config.hidden_size, m->config.n_heads,
         m->config.n_kv_heads, m->config.vocab_size, m->config.max_positions);
    tell(m->chat ? FINE : NOTE, "chat", "%s",
         m->chat ? "the chat template is understood" : m->why_no_chat);
    model_close(&m);
    return 0;
}

int command_doctor(int argc, char **argv)
{
    struct config c = {.broker = BROKER_FLAGS_DEFAULT};
    struct errmsg e = {{0}};
    int rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e), broken = 0;

    if (rc) return command_fail("doctor", rc, &e);
    command_version(0, NULL);
    broken += check_machine();
    broken += check_cuda();
    broken += check_disk(c.broker.db);
    broken += check_queue(c.broker.db);
    broken += check_broker(&c.broker);
    broken += check_model(c.model);
    return broken ? EXIT_ENVIRONMENT : EXIT_ALL_DONE;
}
