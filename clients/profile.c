/* profile.c - nightmill profile: measure how fast an instance is here, and how much it holds. */
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "clients/command.h"
#include "clients/engine_flags.h"
#include "clients/table.h"
#include "worker/fleet.h"
#include "worker/link.h"
#include "worker/profile.h"
#include "worker/worker.h"

#define SECONDS     45
#define USUAL_DEPTH 512 /* tokens of context that the speeds are told for */

struct config {
    const char *model;
    bool json;
    struct engine_flags engine;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL", "a model directory in Hugging Face's layout, or a .gguf file", OPT_STR,
     AT(model), 0, 0},
    {"json", 0, NULL, "one JSON object instead of tables", OPT_FLAG, AT(json), 0, 0},
    ENGINE_OPTS(AT(engine)),
    {0}};
static const struct opt_command COMMAND = {
    "profile",
    "",
    "Measures how long steps of a model take here and how much fits, and keeps it for the worker.",
    OPTS,
    0,
    0};

struct told {
    struct link_hello hello;
    struct profile p;
    int max_batched_tokens;
};

/* --- speeds ----------------------------------------------------------------------------------- */

/* A context that such an instance can hold. */
static int usual_depth(const struct told *t)
{
    const int most = t->hello.max_model_len / 2;

    return most < USUAL_DEPTH ? most : USUAL_DEPTH;
}

/* Tokens a second of n sequences that decode. */
static double decode_rate(const struct told *t, int n)
{
    return 1e3 * n / perf_step_ms(&t->p.perf, 0, n, 0, (double)n * usual_depth(t));
}

/* Tokens a second of prompts in chunks of p. */
static double prefill_rate(const struct told *t, int p)
{
    return 1e3 * p / perf_step_ms(&t->p.perf, p, 0, (double)p * (p + 1) / 2, 0);
}

/* --- as tables -------------------------------------------------------------------------------- */

static int print(struct table *t, struct errmsg *e)
{
    struct buf out = {0};
    const int rc = table_print(t, 0, &out);

    if (!rc && out.len) fwrite(out.data, 1, out.len, stdout);
    buf_fini(&out);
    putchar('\n');
    return rc ? err_set(e, rc, "no memory for a table") : ERR_OK;
}

static int print_constants(const struct told *t, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"constant", false, 0}, {"ms", true, 0}, {"of", false, 0}};
    const struct perf *k = &t->p.perf;
    const struct {
        const char *name, *of;
        double ms;
    } rows[] = {{"k0", "a step", k->k0},
                {"kw", "reading the weights, as long as tokens cost less", k->kw},
                {"k1", "a token", k->k1},
                {"k2", "a token of context of each prompt token", k->k2},
                {"k3", "a sequence that decodes", k->k3},
                {"k4", "a KV token that these read", k->k4}};
    struct table *table = NULL;
    char ms[32];
    int rc = table_open(&table, COLUMNS, 3);

    for (int i = 0; i < 6 && !rc; i++) {
        snprintf(ms, sizeof ms, "%.4g", rows[i].ms);
        rc = table_row(table, (const char *[]){rows[i].name, ms, rows[i].of});
    }
    rc = rc ? err_set(e, rc, "no memory for a table") : print(table, e);
    table_close(&table);
    return rc;
}

static int print_memory(const struct told *t, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"memory", false, 0}, {"model", true, 0}, {"taken", true, 0}, {"error", true, 0}};
    const struct estimate_memory *m = &t->p.memory;
    const struct {
        const char *name;
        double model, real;
    } rows[] = {{"bytes of weights", m->weight_bytes, m->real_weight_bytes},
                {"bytes of a KV token", m->kv_token_bytes, m->real_kv_token_bytes},
                {"KV tokens", (double)m->kv_tokens, (double)m->real_kv_tokens}};
    struct table *table = NULL;
    char model[32], real[32], error[32];
    int rc = table_open(&table, COLUMNS, 4);

    for (int i = 0; i < 3 && !rc; i++) {
        snprintf(model, sizeof model, "%.0f", rows[i].model);
        snprintf(real, sizeof real, "%.0f", rows[i].real);
        snprintf(error, sizeof error, "%.2f %%",
                 100 * fabs(rows[i].model - rows[i].real) / rows[i].real);
        rc = table_row(table, (const char *[]){rows[i].name, model, real, error});
    }
    rc = rc ? err_set(e, rc, "no memory for a table") : print(table, e);
    table_close(&table);
    return rc;
}

static int print_speeds(const struct told *t, struct errmsg *e)
{
    static const struct table_column COLUMNS[] = {
        {"speed", false, 0}, {"ms a step", true, 0}, {"tokens/s", true, 0}};
    struct table *table = NULL;
    char what[64], ms[32], rate[32];
    int rc = table_open(&table, COLUMNS, 3);

    for (int n = 1; n <= t->hello.max_num_seqs && !rc; n *= 4) {
        snprintf(what, sizeof what, "%d decode, each behind %d tokens", n, usual_depth(t));
        snprintf(ms, sizeof ms, "%.4g", 1e3 * n / decode_rate(t, n));
        snprintf(rate, sizeof rate, "%.0f", decode_rate(t, n));
        rc = table_row(table, (const char *[]){what, ms, rate});
    }
    for (int p = 64; p <= t->max_batched_tokens && !rc; p *= 8) {
        snprintf(what, sizeof what, "%d first tokens of a prompt", p);
        snprintf(ms, sizeof ms, "%.4g", 1e3 * p / prefill_rate(t, p));
        snprintf(rate, sizeof rate, "%.0f", prefill_rate(t, p));
        rc = table_row(table, (const char *[]){what, ms, rate});
    }
    rc = rc ? err_set(e, rc, "no memory for a table") : print(table, e);
    table_close(&table);
    return rc;
}

static int print_tables(const struct told *t, struct errmsg *e)
{
    const struct link_hello *h = &t->hello;
    const struct profile *p = &t->p;
    int rc;

    printf("%s (%s, KV %s) on %s, TP %d, %d threads: %d kinds of steps, %d steps in %.1f s%s\n\n",
           h->model, h->dtype, h->kv_dtype, h->device, h->tp > 1 ? h->tp : 1, h->threads,
           p->samples, p->steps, p->seconds, p->shared ? ", while others computed here too" : "");
    if ((rc = print_constants(t, e))) return rc;
    printf("error %.1f %% of the steps that were fitted", p->mape);
    if (p->held_out_mape >= 0)
        printf(", %.1f %% of the %d kinds that were held out", p->held_out_mape, p->held_out);
    printf("; knee at %.0f tokens\n\n", profile_knee(&p->perf));
    if ((rc = print_memory(t, e))) return rc;
    return print_speeds(t, e);
}

/* --- as JSON ---------------------------------------------------------------------------------- */

static json_t *points_json(const struct profile *p)
{
    json_t *all = json_array();

    for (int i = 0; i < p->samples; i++) {
        const struct perf_sample *s = &p->points[i];

        json_array_append_new(all, json_pack("{s:f,s:f,s:f,s:f,s:f,s:b}", "p", s->p, "n", s->n, "x",
                                             s->x, "m", s->m, "ms", s->ms, "held_out",
                                             i >= p->samples - p->held_out));
    }
    return all;
}

static int print_json(const struct told *t, struct errmsg *e)
{
    const struct link_hello *h = &t->hello;
    const struct profile *p = &t->p;
    const struct estimate_memory *m = &p->memory;
    const struct perf *k = &p->perf;
    json_t *o =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:i,s:i}", "model", h->model, "model_hash",
                  h->model_hash, "dtype", h->dtype, "kv_dtype", h->kv_dtype, "device", h->device,
                  "engine", h->engine, "tp", h->tp > 1 ? h->tp : 1, "threads", h->threads);
    json_t *perf =
        json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:i,s:i,s:i,s:b,s:f}", "k0", k->k0, "kw", k->kw,
                  "k1", k->k1, "k2", k->k2, "k3", k->k3, "k4", k->k4, "mape", p->mape,
                  "held_out_mape", p->held_out_mape, "samples", p->samples, "held_out", p->held_out,
                  "steps", p->steps, "shared", p->shared, "seconds", p->seconds);
    json_t *memory = json_pack(
        "{s:{s:f,s:f,s:I},s:{s:f,s:f,s:f,s:I}}", "model", "weight_bytes", m->weight_bytes,
        "kv_token_bytes", m->kv_token_bytes, "kv_tokens", (json_int_t)m->kv_tokens, "taken",
        "weight_bytes", m->real_weight_bytes, "work_bytes", m->real_work_bytes, "kv_token_bytes",
        m->real_kv_token_bytes, "kv_tokens", (json_int_t)m->real_kv_tokens);
    int rc = ERR_OK;

    json_object_update_new(o, perf);
    json_object_set_new(o, "memory", memory);
    json_object_set_new(o, "points", points_json(p));
    if (!o || json_dumpf(o, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9)))
        rc = err_set(e, ERR_NOMEM, "no memory for the answer");
    putchar('\n');
    json_decref(o);
    return rc;
}

/* --- the command ------------------------------------------------------------------------------ */

static int check(const struct config *c, const struct worker_opts *o, struct errmsg *e)
{
    if (!c->model) return err_set(e, ERR_ARG, "--model is missing");
    if (!strncmp(c->engine.device, FLEET_DEVICE, strlen(FLEET_DEVICE)))
        return err_set(e, ERR_ARG, "--device is '%s': a simulated device has nothing to measure",
                       c->engine.device);
    if (o->n_parts > 1)
        return err_set(e, ERR_ARG, "--sm-count names %d instances: one is measured at a time",
                       o->n_parts);
    if (c->engine.profile_seconds < 1)
        return err_set(e, ERR_ARG, "--profile-seconds is 0: there is no time to measure");
    return ERR_OK;
}

int command_profile(int argc, char **argv)
{
    struct config c = {.engine = ENGINE_FLAGS_DEFAULT};
    struct worker_opts o = {0};
    struct told t = {0};
    struct errmsg e = {{0}};
    int rc;

    c.engine.profile_seconds = SECONDS;
    rc = opt_parse(&COMMAND, &c, NULL, argc, argv, &e);
    if (!rc) rc = engine_flags_apply(&c.engine, &o, &e);
    if (!rc) rc = check(&c, &o, &e);
    if (rc) return command_fail("profile", rc, &e);
    o.model = c.model;
    if ((o.stop_fd = command_signals(&e)) < 0) return command_fail("profile", ERR_IO, &e);
    rc = worker_profile(&t.p, &t.hello, &o, &e);
    close(o.stop_fd);
    t.max_batched_tokens = o.max_batched_tokens;
    if (!rc) rc = c.json ? print_json(&t, &e) : print_tables(&t, &e);
    return rc ? command_fail("profile", rc, &e) : EXIT_ALL_DONE;
}
