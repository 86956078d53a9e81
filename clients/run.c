/* run.c - nightmill run: one command from prompts to answers.
 *
 * This process serves the queue (the broker's thread), takes the input in as any client does, and
 * starts workers as child processes.  Whatever of it is killed, the same command again goes on
 * where it stopped: all that counts is in the queue file.
 *
 * Threads  main: input, progress, children; the broker's: everything that broker_run owns.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "broker/server.h"
#include "clients/child.h"
#include "clients/command.h"
#include "clients/engine_flags.h"
#include "clients/export.h"
#include "clients/policy_flags.h"
#include "clients/submit_flags.h"
#include "clients/watch.h"
#include "model/model.h"
#include "worker/fleet.h"
#include "worker/meter.h"
#include "worker/place.h"
#include "worker/worker.h"

#define MAX_WORKERS 64
#define READY_MS    60000 /* a log may have to be replayed first */
#define MAX_ENDS    3     /* of a worker without a row finished in between: it does not run here */
#define LEAVE_MS    5000  /* for workers to leave in order */

struct config {
    const char *input, *output, *errors, *out_format, *db, *model;
    int64_t workers;
    bool unordered;
    struct submit_flags submit;
    struct engine_flags engine;
    struct policy_flags policy;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"input", 'i', "FILE|-", "prompts, a JSON object a line", OPT_STR, AT(input), 0, 0},
    {"output", 'o', "FILE", "answers, in OpenAI's batch format", OPT_STR, AT(output), 0, 0},
    {"model", 'm', "MODEL", "a model directory in Hugging Face's layout, or a .gguf file", OPT_STR,
     AT(model), 0, 0},
    {"db", 'd', "FILE", "the queue file (default: the output's name with .db behind it)", OPT_STR,
     AT(db), 0, 0},
    {"errors", 0, "FILE", "failed rows go here; without it they are among the others", OPT_STR,
     AT(errors), 0, 0},
    {"output-format", 0, "openai|jsonl|csv", "of the output (default openai)", OPT_STR,
     AT(out_format), 0, 0},
    {"unordered", 0, NULL, "output in the order in which rows finished", OPT_FLAG, AT(unordered), 0,
     0},
    {"workers", 0, "N", "worker processes to start here (default 1)", OPT_INT, AT(workers), 1,
     MAX_WORKERS},
    SUBMIT_OPTS(AT(submit)),
    ENGINE_OPTS(AT(engine)),
    POLICY_OPTS(AT(policy)),
    {0}};
static const struct opt_command COMMAND = {
    "run",
    "",
    "Answers the prompts of a file with a model: starts a broker on a queue file and workers, and "
    "writes the answers. Run "
    "it again to resume.",
    OPTS,
    0,
    0};

struct child {
    pid_t pid; /* 0: none */
    int ends;  /* since a row was finished */
};

struct run {
    const struct config *c;
    char db[PATH_MAX], address[256];
    struct broker_opts broker;
    struct schedule_opts schedule;
    pthread_t thread;
    bool started;
    int stop_fd, ready_fd;
    atomic_bool broker_ended; /* by itself: broker_rc and broker_err say why */
    int broker_rc;
    struct errmsg broker_err;
    struct child children[MAX_WORKERS];
    int64_t finished; /* rows, at the last look */
    bool given_up;
    bool misused; /* a worker was, says its exit code */
};

/* --- the broker's thread ---------------------------------------------------------------------- */

static void say_ready(void *arg, const char *address)
{
    struct run *r = arg;
    uint64_t one = 1;

    if (*address) snprintf(r->address, sizeof r->address, "%s", address);
    if (write(r->ready_fd, &one, sizeof one) < 0)
        abort(); /* an eventfd that was never written cannot be full */
}

static void *serve(void *arg)
{
    struct run *r = arg;

    r->broker_rc = broker_run(&r->broker, &r->broker_err);
    atomic_store(&r->broker_ended, true);
    if (r->broker_rc) say_ready(r, ""); /* whoever waits for it shall not wait on */
    return NULL;
}

static int start_broker(struct run *r, struct errmsg *e)
{
    zmq_pollitem_t item = {NULL, 0, ZMQ_POLLIN, 0};

    r->stop_fd = eventfd(0, EFD_CLOEXEC);
    r->ready_fd = eventfd(0, EFD_CLOEXEC);
    if (r->stop_fd < 0 || r->ready_fd < 0)
        return err_set(e, ERR_IO, "eventfd: %s", strerror(errno));
    r->broker = (struct broker_opts){.db = r->db,
                                     .lease_ms = 30000,
                                     .lost_ms = 10000,
                                     .stall_ms = 20000,
                                     .heartbeat_ms = 500,
                                     .schedule = r->schedule,
                                     .stop_fd = r->stop_fd,
                                     .on_ready = say_ready,
                                     .ready_arg = r};
    if (pthread_create(&r->thread, NULL, serve, r))
        return err_set(e, ERR_NOMEM, "no thread for the broker");
    r->started = true;
    item.fd = r->ready_fd;
    if (zmq_poll(&item, 1, READY_MS) <= 0)
        return err_set(e, ERR_TIMEOUT, "%s: the broker is not ready after %d s", r->db,
                       READY_MS / 1000);
    if (r->address[0]) return ERR_OK;
    *e = r->broker_err;
    return r->broker_rc;
}

static void stop_broker(struct run *r)
{
    uint64_t one = 1;

    if (r->started && write(r->stop_fd, &one, sizeof one) > 0) pthread_join(r->thread, NULL);
    if (r->stop_fd >= 0) close(r->stop_fd);
    if (r->ready_fd >= 0) close(r->ready_fd);
}

/* --- workers ---------------------------------------------------------------------------------- */

/* Of several workers each gets a part of a quarter of the memory, since they do not see each other;
 * 0: one alone sees for itself. */
static int64_t kv_share(int64_t workers)
{
    const int64_t part = meter_available_bytes("") / 4 / workers;

    if (workers == 1) return 0;
    return part > WORKER_LEAST_KV ? part : WORKER_LEAST_KV;
}

static int start_worker(struct run *r, int i, struct errmsg *e)
{
    const struct config *c = r->c;
    struct engine_flags engine = c->engine;
    char name[96];
    const struct child_spec spec = {c->model, r->address, NULL, name, &engine};

    if (!engine.kv_bytes && !place_is_cuda(engine.device)) engine.kv_bytes = kv_share(c->workers);
    snprintf(name, sizeof name, "%s-%d", engine.device, i + 1);
    return child_start(&r->children[i].pid, &spec, e);
}

/* Starts workers that ended again; gives up on one that keeps ending while no row is finished, and
 * altogether when none is left. */
static bool tend_workers(void *arg, const struct watch_counts *now)
{
    struct run *r = arg;
    bool headway = now->done + now->failed > r->finished;
    int alive = 0, status;

    r->finished = now->done + now->failed;

    for (int i = 0; i < r->c->workers; i++) {
        struct child *c = &r->children[i];
        struct errmsg e;
        char text[64];

        if (headway) c->ends = 0;
        if (c->pid && waitpid(c->pid, &status, WNOHANG) == c->pid) {
            c->pid = 0;
            r->misused |= WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE;
            /* A worker that ends by itself has tried again already; one that was killed has not. */
            c->ends = WIFSIGNALED(status) ? c->ends + 1 : MAX_ENDS;
            fprintf(stderr, "nightmill run: worker %d %s%s\n", i + 1, child_end_text(status, text),
                    c->ends < MAX_ENDS ? "; starting it again" : "; it does not run here");
            if (c->ends < MAX_ENDS && start_worker(r, i, &e))
                fprintf(stderr, "nightmill run: %s\n", e.text);
        }
        alive += c->pid != 0;
    }
    r->given_up = !alive;
    return alive > 0 && !atomic_load(&r->broker_ended);
}

static void stop_workers(struct run *r)
{
    int64_t until = clock_mono_ms() + LEAVE_MS;
    int alive = 0, status;

    for (int i = 0; i < MAX_WORKERS; i++)
        if (r->children[i].pid) kill(r->children[i].pid, SIGTERM);
    do {
        alive = 0;
        for (int i = 0; i < MAX_WORKERS; i++) {
            pid_t pid = r->children[i].pid;

            if (pid && waitpid(pid, &status, WNOHANG) == pid) r->children[i].pid = 0;
            alive += r->children[i].pid != 0;
        }
        if (alive) usleep(10000);
    } while (alive && clock_mono_ms() < until);
    for (int i = 0; i < MAX_WORKERS; i++) {
        if (!r->children[i].pid) continue;
        kill(r->children[i].pid, SIGKILL);
        waitpid(r->children[i].pid, &status, 0);
    }
}

/* --- the run ---------------------------------------------------------------------------------- */

static int check_flags(const struct config *c, struct run *r, struct ingest_opts *in,
                       struct export_opts *out, struct errmsg *e)
{
    const char *base = c->output ? c->output : "nightmill";
    int rc;

    if (!c->input) return err_set(e, ERR_ARG, "--input is missing");
    if (!strncmp(c->engine.device, FLEET_DEVICE, strlen(FLEET_DEVICE)))
        return err_set(e, ERR_ARG, "--device %s is for nightmill worker", c->engine.device);
    if (!c->model) return err_set(e, ERR_ARG, "--model is missing");
    if (c->workers > 1 && place_is_cuda(c->engine.device) && !c->engine.kv_bytes)
        return err_set(e, ERR_ARG,
                       "--workers is %lld on --device %s, and the first would take its memory: "
                       "--sm-count makes several instances of a device, --kv-cache-memory-bytes "
                       "says how much each may take",
                       (long long)c->workers, c->engine.device);
    if (!c->output && !c->db) return err_set(e, ERR_ARG, "--output or --db is missing");
    if (output_format_parse(&out->format, c->out_format))
        return err_set(e, ERR_ARG, "--output-format is '%s', not openai, jsonl or csv",
                       c->out_format);
    if ((rc = submit_flags_apply(&c->submit, clock_wall_ms(), in, e))) return rc;
    if ((rc = engine_flags_apply(&c->engine, &(struct worker_opts){0}, e))) return rc;
    if ((size_t)snprintf(r->db, sizeof r->db, c->db ? "%s" : "%s.db", c->db ? c->db : base) >=
        sizeof r->db)
        return err_set(e, ERR_ARG, "the queue file's path is longer than %zu bytes", sizeof r->db);
    if (strcmp(c->input, "-") && access(c->input, R_OK))
        return err_set(e, ERR_IO, "%s: %s", c->input, strerror(errno));
    if (access(c->model, R_OK)) return err_set(e, ERR_IO, "%s: %s", c->model, strerror(errno));
    in->file = c->input;
    out->db = r->db;
    out->file = c->output;
    out->errors = c->errors;
    out->input = c->input;
    out->unordered = c->unordered;
    return export_check(out, e);
}

static int take_input(struct run *r, const struct ingest_opts *in, struct ingest_counts *n,
                      struct errmsg *e)
{
    struct client *client = NULL;
    int rc = client_open(&client, r->address, NULL, e);

    if (!rc) rc = ingest_file(client, in, n, e);
    client_close(&client);
    if (!rc) ingest_report("run", n);
    return rc;
}

/* A batch that was submitted for another model would wait for ever. */
static int check_batch_model(const struct run *r, const char *batch, struct errmsg *e)
{
    sqlite3_stmt *st = NULL;
    const char *wanted;
    char own[MODEL_NAME];
    sqlite3 *db = NULL;
    int rc = model_name(own, r->c->model, e);

    if (!rc) rc = dbfile_open_read(&db, r->db, e);
    if (rc) return rc;
    if (sqlite3_prepare_v2(db, "SELECT model FROM batch WHERE name=?1", -1, &st, NULL) != SQLITE_OK)
        rc = dbfile_error(db, e, "batch");
    if (!rc) sqlite3_bind_text(st, 1, batch, -1, SQLITE_STATIC);
    if (!rc && sqlite3_step(st) == SQLITE_ROW) {
        wanted = (const char *)sqlite3_column_text(st, 0);
        if (wanted && *wanted && strcmp(wanted, own))
            rc = err_set(e, ERR_ARG, "batch %s was submitted for model '%s', and --model is '%s'",
                         batch, wanted, own);
    }
    sqlite3_finalize(st);
    sqlite3_close(db);
    return rc;
}

static int work(struct run *r, const struct ingest_opts *in, struct ingest_counts *n,
                struct watch_counts *w, struct errmsg *e)
{
    int rc = start_broker(r, e);

    for (int i = 0; !rc && i < r->c->workers; i++)
        rc = start_worker(r, i, e); /* they load the model while the input is read */
    if (!rc) rc = take_input(r, in, n, e);
    if (!rc) rc = check_batch_model(r, n->batch, e);
    if (!rc) rc = watch_batch(r->db, n->batch, in->signals, tend_workers, r, w, e);
    if (!rc && atomic_load(&r->broker_ended) && w->ready) {
        *e = r->broker_err;
        rc = r->broker_rc ? r->broker_rc : ERR_IO;
    }
    if (!rc && r->given_up)
        rc = err_set(e, r->misused ? ERR_ARG : ERR_IO,
                     "no worker runs here; %lld rows are left, the same command goes on with them",
                     (long long)w->ready);
    return rc;
}

static void tell_written(const struct config *c, const struct export_counts *n)
{
    if (c->errors)
        fprintf(stderr, "nightmill run: %lld answers in %s, %lld errors in %s\n",
                (long long)n->done, c->output, (long long)n->failed, c->errors);
    else
        fprintf(stderr, "nightmill run: %lld answers and %lld errors in %s\n", (long long)n->done,
                (long long)n->failed, c->output);
}

int command_run(int argc, char **argv)
{
    struct config c = {.out_format = "openai",
                       .workers = 1,
                       .submit = SUBMIT_FLAGS_DEFAULT,
                       .engine = ENGINE_FLAGS_DEFAULT,
                       .policy = POLICY_FLAGS_DEFAULT};
    struct ingest_opts in = {0};
    struct export_opts out = {0};
    struct ingest_counts n = {0};
    struct export_counts written;
    struct watch_counts w = {0};
    struct errmsg e = {{0}};
    struct run *r = calloc(1, sizeof *r);
    int rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);

    if (!r) return EXIT_ENVIRONMENT;
    r->c = &c;
    r->stop_fd = r->ready_fd = -1;
    in.signals = -1;
    if (!rc) rc = check_flags(&c, r, &in, &out, &e);
    if (!rc) rc = policy_flags_read(&r->schedule, &c.policy, &e);
    /* Before the queue takes anything in: a worker that cannot start would say it too late. */
    if (!rc)
        rc = worker_check(c.model, c.engine.device, (int)c.engine.tp, c.engine.context_dir, &e);
    if (!rc && (in.signals = command_signals(&e)) < 0) rc = ERR_IO;
    if (!rc) rc = work(r, &in, &n, &w, &e);
    stop_workers(r);
    stop_broker(r);
    out.batch = n.batch;
    if (!rc && c.output) rc = export_batch(&out, &written, &e);
    if (!rc && c.output) tell_written(&c, &written);
    if (in.signals >= 0) close(in.signals);
    free(r);
    if (!rc) return n.sent.differs ? EXIT_SOME_FAILED : watch_exit(&w);
    command_fail("run", rc, &e);
    return rc == ERR_ARG                   ? EXIT_USAGE
           : rc == ERR_INTERRUPTED         ? EXIT_SIGNAL
           : rc == ERR_FORMAT && n.refused ? EXIT_SOME_FAILED
                                           : EXIT_ENVIRONMENT;
}
