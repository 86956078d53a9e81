/* plan_print.c - what was planned, as text. */
#include "clients/plan_print.h"

#include <stdio.h>
#include <string.h>

#include "clients/progress.h"
#include "clients/table.h"

#define MONEY 24

static char *money(char out[MONEY], double usd)
{
    if (usd > 0 && usd < 0.001)
        strcpy(out, "<$0.001");
    else if (usd > 0)
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

static char *span_text(char out[PROGRESS_TEXT], double seconds)
{
    if (seconds >= 10) return progress_duration(out, seconds);
    snprintf(out, PROGRESS_TEXT, "%.2g s", seconds);
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
        buf_printf(out, "          %lld rows do not limit their answer", (long long)w->unlimited);
    if (w->unlimited && t->is_guessed)
        buf_printf(out, ": taken as %d tokens each", WORKLOAD_ANSWER);
    if (w->unlimited) buf_addc(out, '\n');
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

/* Instances that a person would call the same. */
static bool is_alike(const struct plan_told *t, const struct plan_instance *a,
                     const struct plan_instance *b)
{
    char x[80], y[80];

    group_name(t, a, x);
    group_name(t, b, y);
    return a->tp == b->tp && a->dtype == b->dtype && a->kv_dtype == b->kv_dtype &&
           a->kv_tokens == b->kv_tokens && !strcmp(x, y);
}

/* How many of the plan are like its i-th; 0: an earlier one is, so it was told. */
static int count_alike(const struct plan_told *t, const struct plan *p, int i)
{
    int n = 0;

    for (int k = 0; k < p->n_instances; k++) {
        if (!is_alike(t, &p->instances[i], &p->instances[k])) continue;
        if (k < i) return 0;
        n++;
    }
    return n;
}

/* "lab-1, lab-2": where those like the i-th are. */
static void machines_of(const struct plan_told *t, const struct plan *p, int i, struct buf *out)
{
    int last = -1;

    for (int k = i; k < p->n_instances; k++) {
        const int m = p->instances[k].machine;

        if (m == last || !is_alike(t, &p->instances[i], &p->instances[k])) continue;
        buf_printf(out, "%s%s", out->len ? ", " : "", t->in->cluster->machines[m].name);
        last = m;
    }
}

static int add_alike(struct table *table, const struct plan_told *t, int i)
{
    const struct plan_instance *one = &t->a->best.instances[i];
    char name[80], n[16], tp[16], kv[PROGRESS_TEXT], batch[16], rows[PROGRESS_TEXT];
    char error[16] = "-";
    struct buf where = {0};
    int rc;

    machines_of(t, &t->a->best, i, &where);
    group_name(t, one, name);
    snprintf(n, sizeof n, "%d", count_alike(t, &t->a->best, i));
    snprintf(tp, sizeof tp, "%d", one->tp);
    snprintf(batch, sizeof batch, "%.1f", one->batch);
    if (one->mape >= 0) snprintf(error, sizeof error, "%.1f %%", one->mape);
    rc = where.failed
             ? ERR_NOMEM
             : table_row(table, (const char *[]){where.data, n, name, tp, dtype_name(one->dtype),
                                                 dtype_name(one->kv_dtype),
                                                 progress_count(kv, (double)one->kv_tokens), batch,
                                                 progress_count(rows, one->rows_per_s),
                                                 SOURCE_NAMES[one->source], error});
    buf_fini(&where);
    return rc;
}

static void print_sum(const struct plan_told *t, struct buf *out)
{
    const struct plan *p = &t->a->best;
    char time[PROGRESS_TEXT], usd[MONEY], speed[PROGRESS_TEXT];
    double rows = 0;

    for (int i = 0; i < p->n_instances; i++)
        rows += p->instances[i].rows_per_s;
    buf_printf(out, "\nbest plan: %s", span_text(time, p->seconds));
    if (p->usd > 0) buf_printf(out, ", %s", money(usd, p->usd));
    buf_printf(out, ", %d instance%s, %s rows/s", p->n_instances, p->n_instances == 1 ? "" : "s",
               progress_count(speed, rows));
    if (t->a->gap > 0) buf_printf(out, "; one that is %.2g %% faster may exist", 100 * t->a->gap);
    buf_adds(out, "\n\n");
}

static int print_best(const struct plan_told *t, int width, struct buf *out)
{
    static const struct table_column COLUMNS[] = {
        {"machines", false, 24}, {"instances", true, 0}, {"each on", false, 0},  {"tp", true, 0},
        {"dtype", false, 0},     {"kv", false, 0},       {"KV tokens", true, 0}, {"batch", true, 0},
        {"rows/s", true, 0},     {"model", false, 0},    {"error", true, 0}};
    struct table *table = NULL;
    int rc = table_open(&table, COLUMNS, 11);

    for (int i = 0; i < t->a->best.n_instances && !rc; i++)
        if (count_alike(t, &t->a->best, i)) rc = add_alike(table, t, i);
    print_sum(t, out);
    if (!rc) rc = table_print(table, width, out);
    table_close(&table);
    return rc;
}

/* "2 of H100-SXM-80GB bf16, 1 of 2x L4-24GB fp8": what it consists of. */
static void summary(const struct plan_told *t, const struct plan *p, struct buf *out)
{
    char name[80];

    for (int i = 0; i < p->n_instances; i++) {
        const int same = count_alike(t, p, i);

        if (!same) continue;
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
    rc = what.failed
             ? ERR_NOMEM
             : table_row(table, (const char *[]){span_text(time, p->seconds), money(usd, p->usd),
                                                 what.data ? what.data : "", p->why});
    buf_fini(&what);
    return rc;
}

static int print_others(const struct plan_told *t, int width, struct buf *out)
{
    static const struct table_column COLUMNS[] = {
        {"time", true, 0}, {"cost", true, 0}, {"other plans", false, 64}, {"why not", false, 0}};
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
