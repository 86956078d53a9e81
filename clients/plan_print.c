/* plan_print.c - what was planned, as text. */
#include "clients/plan_print.h"

#include <stdio.h>
#include <string.h>

#include "clients/progress.h"
#include "clients/table.h"

#define MONEY 24

static char *money(char out[MONEY], double usd)
{
    if (usd > 0)
        snprintf(out, MONEY, usd < 1 ? "$%.3f" : "$%.2f", usd);
    else
        strcpy(out, "-");
    return out;
}

static char *bytes_text(char out[PROGRESS_TEXT], double bytes)
{
    snprintf(out, PROGRESS_TEXT, bytes < 1e9 ? "%.0f MB" : "%.1f GB",
             bytes < 1e9 ? bytes / 1e6 : bytes / 1e9);
    return out;
}

/* --- the rows --------------------------------------------------------------------------------- */

static void print_rows(const struct plan_told *t, struct buf *out)
{
    const struct workload *w = t->w;

    buf_printf(out, "rows      %lld of %s", (long long)w->rows, t->rows_of);
    if (w->done) buf_printf(out, ", and %lld that are finished already", (long long)w->done);
    if (w->duplicates) buf_printf(out, "; %lld duplicates", (long long)w->duplicates);
    buf_addc(out, '\n');
    for (int i = 0; i < w->n_bad; i++)
        buf_printf(out, "bad       %lld %s\n", (long long)w->bad[i].rows, w->bad[i].code);
    if (w->bad_rows)
        buf_printf(out, "          the first is line %lld: %s\n", (long long)w->first_bad_line,
                   w->first_bad);
    if (t->a->best.rows_nowhere)
        buf_printf(out, "nowhere   %lld rows are longer than any instance here can hold\n",
                   (long long)t->a->best.rows_nowhere);
}

static void print_tokens(const struct plan_told *t, struct buf *out)
{
    const struct workload *w = t->w;
    const struct lengths *l = w->lengths;
    char prompt[PROGRESS_TEXT], shared[PROGRESS_TEXT], answer[PROGRESS_TEXT];

    buf_printf(out, "tokens    %s of prompts", progress_count(prompt, (double)l->prompt));
    if (w->shared_tokens)
        buf_printf(out, ", of them %s (%.0f %%) shared with a row before",
                   progress_count(shared, (double)w->shared_tokens),
                   100.0 * (double)w->shared_tokens / (double)l->prompt);
    buf_printf(out, "; %s of answers, %s\n", progress_count(answer, (double)l->output), t->answers);
    if (w->unlimited)
        buf_printf(out, "          %lld rows do not limit their answer%s\n",
                   (long long)w->unlimited, t->answers[0] == 'a' ? ": taken as 256 tokens" : "");
    buf_printf(out, "longest   %lld tokens; the model holds %d\n", (long long)w->longest,
               t->in->max_len);
}

static void print_where(const struct plan_told *t, struct buf *out)
{
    const struct plan_cluster *c = t->in->cluster;
    const struct model_shape *s = &t->in->model.shape;
    char text[PROGRESS_TEXT];
    int devices = 0;

    for (int m = 0; m < c->n_machines; m++)
        devices += c->machines[m].n_devices;
    buf_printf(out, "disk      about %s for the queue file\n",
               bytes_text(text, (double)workload_disk_bytes(t->w)));
    buf_printf(out, "model     %s: %s weights, %s\n", t->in->name, dtype_name(t->in->stored),
               bytes_text(text, model_shape_weight_bytes(s)));
    buf_printf(out, "machines  %s: %d with %d device%s; %lld configurations looked at\n",
               t->in->from, c->n_machines, devices, devices == 1 ? "" : "s",
               (long long)t->a->looked_at);
}

/* --- the plans -------------------------------------------------------------------------------- */

/* A group of devices by name: "2x H100-SXM-80GB". */
static void group_name(const struct plan_told *t, const struct plan_instance *i, char out[80])
{
    const struct plan_machine *m = &t->in->cluster->machines[i->machine];
    const int n = __builtin_popcount(i->devices);
    const char *name = n ? m->devices[__builtin_ctz(i->devices)].name : "";

    if (n > 1)
        snprintf(out, 80, "%dx %s", n, name);
    else
        snprintf(out, 80, "%s", name);
}

static int add_instance(struct table *table, const struct plan_told *t,
                        const struct plan_instance *i)
{
    char devices[64], name[80], tp[16], kv[PROGRESS_TEXT], batch[16], rows[32], error[16] = "-";

    plan_input_devices(t->in, i, devices);
    group_name(t, i, name);
    snprintf(tp, sizeof tp, "%d", i->tp);
    snprintf(batch, sizeof batch, "%.1f", i->batch);
    snprintf(rows, sizeof rows, "%.3g", i->rows_per_s);
    if (i->mape >= 0) snprintf(error, sizeof error, "%.1f %%", i->mape);
    return table_row(table,
                     (const char *[]){t->in->cluster->machines[i->machine].name, devices, name, tp,
                                      dtype_name(i->dtype), dtype_name(i->kv_dtype),
                                      progress_count(kv, (double)i->kv_tokens), batch, rows,
                                      SOURCE_NAMES[i->source], error});
}

static int print_best(const struct plan_told *t, int width, struct buf *out)
{
    static const struct table_column COLUMNS[] = {
        {"machine", false, 0}, {"device", false, 0}, {"card", false, 0},     {"tp", true, 0},
        {"dtype", false, 0},   {"kv", false, 0},     {"KV tokens", true, 0}, {"batch", true, 0},
        {"rows/s", true, 0},   {"model", false, 0},  {"error", true, 0}};
    const struct plan *p = &t->a->best;
    struct table *table = NULL;
    char time[PROGRESS_TEXT], usd[MONEY];
    double rows = 0;
    int rc = table_open(&table, COLUMNS, 11);

    for (int i = 0; i < p->n_instances && !rc; i++) {
        rows += p->instances[i].rows_per_s;
        rc = add_instance(table, t, &p->instances[i]);
    }
    buf_printf(out, "\nbest plan: %s", progress_duration(time, p->seconds));
    if (p->usd > 0) buf_printf(out, ", %s", money(usd, p->usd));
    buf_printf(out, ", %d instance%s, %.3g rows/s\n\n", p->n_instances,
               p->n_instances == 1 ? "" : "s", rows);
    if (!rc) rc = table_print(table, width, out);
    table_close(&table);
    return rc;
}

static bool is_alike(const struct plan_told *t, const struct plan_instance *a,
                     const struct plan_instance *b)
{
    char x[80], y[80];

    group_name(t, a, x);
    group_name(t, b, y);
    return a->tp == b->tp && a->dtype == b->dtype && a->kv_dtype == b->kv_dtype && !strcmp(x, y);
}

/* "2 of H100-SXM-80GB bf16, 1 of 2x L4-24GB fp8": what it consists of. */
static void summary(const struct plan_told *t, const struct plan *p, struct buf *out)
{
    char name[80];

    for (int i = 0; i < p->n_instances; i++) {
        int same = 0, before = 0;

        for (int k = 0; k < p->n_instances; k++) {
            same += is_alike(t, &p->instances[i], &p->instances[k]);
            before += k < i && is_alike(t, &p->instances[i], &p->instances[k]);
        }
        if (before) continue;
        group_name(t, &p->instances[i], name);
        buf_printf(out, "%s%d of %s %s", out->len ? ", " : "", same, name,
                   dtype_name(p->instances[i].dtype));
        if (p->instances[i].kv_dtype != p->instances[i].dtype)
            buf_printf(out, " kv %s", dtype_name(p->instances[i].kv_dtype));
    }
}

static int add_other(struct table *table, const struct plan_told *t, const struct plan *p)
{
    char time[PROGRESS_TEXT], usd[MONEY];
    struct buf what = {0};
    int rc;

    summary(t, p, &what);
    rc = what.failed ? ERR_NOMEM
                     : table_row(table, (const char *[]){progress_duration(time, p->seconds),
                                                         money(usd, p->usd),
                                                         what.data ? what.data : "", p->why});
    buf_fini(&what);
    return rc;
}

static int print_others(const struct plan_told *t, int width, struct buf *out)
{
    static const struct table_column COLUMNS[] = {
        {"time", true, 0}, {"cost", true, 0}, {"other plans", false, 0}, {"why not", false, 0}};
    struct table *table = NULL;
    int rc = ERR_OK;

    if (!t->a->n_others) return ERR_OK;
    rc = table_open(&table, COLUMNS, 4);
    for (int i = 0; i < t->a->n_others && !rc; i++)
        rc = add_other(table, t, &t->a->others[i]);
    buf_addc(out, '\n');
    if (!rc) rc = table_print(table, width, out);
    table_close(&table);
    return rc;
}

int plan_print(const struct plan_told *t, int width, struct buf *out)
{
    int rc;

    print_rows(t, out);
    print_tokens(t, out);
    print_where(t, out);
    rc = print_best(t, width, out);
    if (!rc) rc = print_others(t, width, out);
    return rc ? rc : out->failed ? ERR_NOMEM : ERR_OK;
}
