/* crew.c - the workers of a node. */
#include "clients/crew.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "clients/command.h"
#include "worker/place.h"

static bool is_same(const struct node_instance *a, const struct node_instance *b)
{
    return a->n == b->n && a->tp == b->tp && !strcmp(a->devices, b->devices) &&
           !strcmp(a->dtype, b->dtype) && !strcmp(a->kv_dtype, b->kv_dtype);
}

void crew_flags(const struct node_instance *i, const struct engine_flags *node,
                struct engine_flags *out)
{
    *out = *node;
    out->device = i->devices;
    out->tp = i->tp;
    if (*i->kv_dtype) out->kv_dtype = i->kv_dtype;
    if (!place_is_cuda(i->devices) || !*i->dtype) return; /* the host computes in one dtype */
    if (!strcmp(i->dtype, "fp8") || !strcmp(i->dtype, "int8"))
        out->quantization = i->dtype;
    else if (!strcmp(i->dtype, "f32") || !strcmp(i->dtype, "f16") || !strcmp(i->dtype, "bf16"))
        out->dtype = i->dtype; /* others are as the file has them */
}

/* --- the plan --------------------------------------------------------------------------------- */

static void let_go(struct crew_worker *w, int64_t now_ms)
{
    if (w->leaving) return;
    w->leaving = true;
    w->due_ms = now_ms + CREW_DRAIN_MS;
    if (w->pid) kill(w->pid, SIGTERM);
}

static bool is_wanted(const struct crew_worker *w, const struct node_instance *want, int n)
{
    for (int i = 0; i < n; i++)
        if (is_same(&w->as, &want[i])) return true;
    return false;
}

static bool has(const struct crew *c, const struct node_instance *i)
{
    for (int k = 0; k < c->n; k++)
        if (!c->at[k].leaving && is_same(&c->at[k].as, i)) return true;
    return false;
}

/* Those that go and have no process, or never had one. */
static void drop_ended(struct crew *c)
{
    int n = 0;

    for (int i = 0; i < c->n; i++)
        if (!c->at[i].leaving || c->at[i].pid) c->at[n++] = c->at[i];
    c->n = n;
}

void crew_plan(struct crew *c, const struct node_instance *want, int n, int64_t now_ms)
{
    for (int i = 0; i < c->n; i++)
        if (!is_wanted(&c->at[i], want, n)) let_go(&c->at[i], now_ms);
    drop_ended(c);
    for (int i = 0; i < n && i < CREW_MOST; i++)
        if (!has(c, &want[i]) && c->n < 2 * CREW_MOST)
            c->at[c->n++] = (struct crew_worker){.as = want[i], .due_ms = now_ms};
}

/* --- processes -------------------------------------------------------------------------------- */

static int64_t pause_after(int ends)
{
    int64_t ms = CREW_WAIT_MS;

    for (int i = 1; i < ends && ms < CREW_WAIT_MAX_MS; i++)
        ms *= 2;
    return ms < CREW_WAIT_MAX_MS ? ms : CREW_WAIT_MAX_MS;
}

static void ended(struct crew_worker *w, int status, int64_t now_ms)
{
    char text[64];

    w->pid = 0;
    if (w->leaving) return;
    w->ends = now_ms - w->started_ms >= CREW_STEADY_MS ? 1 : w->ends + 1;
    w->misused = WIFEXITED(status) && WEXITSTATUS(status) == EXIT_USAGE;
    w->due_ms = now_ms + pause_after(w->ends);
    fprintf(stderr, "nightmill node: worker %s-%lld on %s %s; ", w->as.node, (long long)w->as.n,
            w->as.devices, child_end_text(status, text));
    if (w->misused)
        fputs("it does not run here\n", stderr);
    else
        fprintf(stderr, "starting it again in %.0f s\n", (double)(w->due_ms - now_ms) / 1000);
}

static void look(struct crew_worker *w, int64_t now_ms)
{
    int status;

    if (!w->pid) return;
    if (waitpid(w->pid, &status, WNOHANG) == w->pid)
        ended(w, status, now_ms);
    else if (w->leaving && now_ms >= w->due_ms)
        kill(w->pid, SIGKILL);
}

static void start(const struct crew *c, struct crew_worker *w, int64_t now_ms)
{
    struct engine_flags engine;
    struct child_spec spec = c->spec;
    char name[NODES_NAME + 24];
    struct errmsg e;

    crew_flags(&w->as, c->spec.engine, &engine);
    snprintf(name, sizeof name, "%s-%lld", w->as.node, (long long)w->as.n);
    spec.name = name;
    spec.engine = &engine;
    w->started_ms = now_ms;
    if (!c->start(&w->pid, &spec, &e)) return;
    w->due_ms = now_ms + pause_after(++w->ends);
    fprintf(stderr, "nightmill node: %s\n", e.text);
}

int crew_tend(struct crew *c, int64_t now_ms)
{
    int alive = 0;
    bool leaving = false;

    for (int i = 0; i < c->n; i++)
        look(&c->at[i], now_ms);
    drop_ended(c);
    for (int i = 0; i < c->n; i++)
        leaving = leaving || c->at[i].leaving;
    for (int i = 0; i < c->n; i++) {
        struct crew_worker *w = &c->at[i];

        if (!leaving && !w->pid && !w->misused && now_ms >= w->due_ms)
            start(c, w, now_ms); /* CW1 */
        alive += w->pid != 0;
    }
    return alive;
}
