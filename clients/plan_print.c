/* plan_print.c - what was planned, as text. */
#include "clients/plan_print.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clients/progress.h"
#include "clients/table.h"

#define MONEY  24
#define NAME   160
#define DTYPES 32
#define FLUID  4  /* times of a row: in less, start and end are much of a plan */
#define NARROW 40 /* columns for words, however narrow the terminal is */

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
    snprintf(out, PROGRESS_TEXT, "%.2gs", seconds);
    return out;
}

/* A slow instance does a twentieth of a row in a second, not none. */
static char *speed_text(char out[PROGRESS_TEXT], double rows_per_s)
{
    if (rows_per_s >= 10) return progress_count(out, rows_per_s);
    snprintf(out, PROGRESS_TEXT, "%.2g", rows_per_s);
    return out;
}

/* --- the rows --------------------------------------------------------------------------------- */

static void print_nowhere(const struct plan *p, struct buf *out)
{
    int64_t most = 0;

    for (int i = 0; i < p->n_instances; i++)
        if (p->instances[i].kv_tokens > most) most = p->instances[i].kv_tokens;
    if (p->rows_nowhere)
        buf_printf(
            out,
            "nowhere   %lld row%s longer than any instance here can hold, the largest of the "
            "best plan %lld tokens\n",
            (long long)p->rows_nowhere, p->rows_nowhere == 1 ? " is" : "s are", (long long)most);
}

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
    print_nowhere(&t->a->best, out);
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
        buf_printf(out, "          %lld row%s not limit %s answer", (long long)w->unlimited,
                   w->unlimited == 1 ? " does" : "s do", w->unlimited == 1 ? "its" : "their");
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

/* A group of devices by name: "2x H100-SXM-80GB", of unlike ones "RTX-4090-24GB + RTX-3090-24GB".
 */
static void group_name(const struct plan_told *t, const struct plan_instance *i, char out[NAME])
{
    const struct plan_machine *m = &t->in->cluster->machines[i->machine];
    unsigned left = i->devices;
    size_t len = 0;

    out[0] = 0;
    for (int d = 0; d < m->n_devices && len < NAME; d++) {
        const char *name = m->devices[d].name;
        int n = 0;

        for (int k = d; k < m->n_devices; k++)
            if (left >> k & 1 && !strcmp(m->devices[k].name, name)) n++, left &= ~(1U << k);
        if (n > 1)
            len += (size_t)snprintf(out + len, NAME - len, "%s%dx %s", len ? " + " : "", n, name);
        if (n == 1) len += (size_t)snprintf(out + len, NAME - len, "%s%s", len ? " + " : "", name);
    }
}

/* "bf16", and of another KV dtype "bf16 kv fp8". */
static char *dtypes_text(char out[DTYPES], const struct plan_instance *i)
{
    snprintf(out, DTYPES, i->kv_dtype == i->dtype ? "%s" : "%s kv %s", dtype_name(i->dtype),
             dtype_name(i->kv_dtype));
    return out;
}

/* Instances that a person would call the same. */
static bool is_alike(const struct plan_told *t, const struct plan_instance *a,
                     const struct plan_instance *b)
{
    char x[NAME], y[NAME];

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

/* Where the number begins that a name ends in; its length when it does not. */
static size_t stem_of(const char *name)
{
    size_t n = strlen(name);

    while (n && strchr("0123456789", name[n - 1]))
        n--;
    return n && strlen(name) - n < 9 && name[n] != '0' ? n : strlen(name);
}

/* Is b the one after a: lab-2 after lab-1? */
static bool is_next(const char *a, const char *b)
{
    const size_t n = stem_of(a);

    return n == stem_of(b) && a[n] && b[n] && !strncmp(a, b, n) && atoi(b + n) == atoi(a + n) + 1;
}

/* "desk, lab-1 to lab-6": where those like the i-th are. */
static void machines_of(const struct plan_told *t, const struct plan *p, int i, struct buf *out)
{
    const struct plan_machine *machines = t->in->cluster->machines;
    int last = -1, run = 0;

    for (int k = i; k <= p->n_instances; k++) {
        const int m = k < p->n_instances ? p->instances[k].machine : -1;

        if (m >= 0 && (m == last || !is_alike(t, &p->instances[i], &p->instances[k]))) continue;
        if (m >= 0 && last >= 0 && is_next(machines[last].name, machines[m].name)) {
            run++;
        } else {
            if (run) buf_printf(out, "%s%s", run > 1 ? " to " : ", ", machines[last].name);
            if (m >= 0) buf_printf(out, "%s%s", out->len ? ", " : "", machines[m].name);
            run = 0;
        }
        last = m;
    }
}

static int add_alike(struct table *table, const struct plan_told *t, int i)
{
    const struct plan_instance *one = &t->a->best.instances[i];
    char name[NAME], what[NAME + 16], kv[PROGRESS_TEXT], batch[16], rows[PROGRESS_TEXT];
    char dtypes[DTYPES], error[16] = "-";
    struct buf where = {0};
    int rc;

    machines_of(t, &t->a->best, i, &where);
    group_name(t, one, name);
    snprintf(what, sizeof what, "%d of %s", count_alike(t, &t->a->best, i), name);
    snprintf(batch, sizeof batch, "%.1f", one->batch);
    if (one->mape >= 0) snprintf(error, sizeof error, "%.1f %%", one->mape);
    rc = where.failed
             ? ERR_NOMEM
             : table_row(table, (const char *[]){where.data, what, dtypes_text(dtypes, one),
                                                 progress_count(kv, (double)one->kv_tokens), batch,
                                                 speed_text(rows, one->rows_per_s),
                                                 SOURCE_NAMES[one->source], error});
    buf_fini(&where);
    return rc;
}

double plan_row_seconds(const struct plan *p)
{
    double least = INFINITY;

    for (int i = 0; i < p->n_instances; i++)
        least = fmin(least, p->instances[i].batch / p->instances[i].rows_per_s);
    return least;
}

/* Machines that the plan uses, and what they cost nobody said. */
static int count_unpriced(const struct plan_told *t, const struct plan *p)
{
    bool is_seen[PLAN_MACHINES] = {false};
    int n = 0;

    for (int i = 0; i < p->n_instances; i++) {
        const int m = p->instances[i].machine;

        n += !is_seen[m] && t->in->cluster->machines[m].usd_per_hour <= 0;
        is_seen[m] = true;
    }
    return n;
}

static void print_sum(const struct plan_told *t, struct buf *out)
{
    const struct plan *p = &t->a->best;
    char time[PROGRESS_TEXT], usd[MONEY], speed[PROGRESS_TEXT];
    const double row = plan_row_seconds(p);
    const int unpriced = count_unpriced(t, p);
    /* Not the sum of the instances' own: that of one is of the rows that it can hold. */
    const double rows = (double)(t->w->lengths->rows - p->rows_nowhere) / p->seconds;

    buf_printf(out, "\nbest plan: %s", span_text(time, p->seconds));
    if (p->usd > 0) buf_printf(out, ", %s", money(usd, p->usd));
    buf_printf(out, ", %d instance%s, %s rows/s", p->n_instances, p->n_instances == 1 ? "" : "s",
               speed_text(speed, rows));
    if (t->a->gap > 0) buf_printf(out, "; one that is %.2g %% faster may exist", 100 * t->a->gap);
    buf_addc(out, '\n');
    if (p->usd > 0 && unpriced)
        buf_printf(out, "%d machine%s without a price, not in the cost\n", unpriced,
                   unpriced == 1 ? "" : "s");
    if (isfinite(row) && row * FLUID > p->seconds)
        buf_printf(out, "few rows for so many instances: add the time of a row, about %s\n",
                   span_text(time, row));
    buf_addc(out, '\n');
}

static int print_best(const struct plan_told *t, int width, struct buf *out)
{
    static const struct table_column COLUMNS[] = {{"machines", false, 28}, {"instances", false, 0},
                                                  {"dtype", false, 0},     {"KV tokens", true, 0},
                                                  {"batch", true, 0},      {"rows/s", true, 0},
                                                  {"model", false, 0},     {"error", true, 0}};
    struct table *table = NULL;
    int rc = table_open(&table, COLUMNS, 8);

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
    char name[NAME], dtypes[DTYPES];

    for (int i = 0; i < p->n_instances; i++) {
        const int same = count_alike(t, p, i);

        if (!same) continue;
        group_name(t, &p->instances[i], name);
        buf_printf(out, "%s%d of %s %s", out->len ? ", " : "", same, name,
                   dtypes_text(dtypes, &p->instances[i]));
    }
}

/* Words in lines of at most `width`, those after the first behind `indent` spaces. */
static void wrap(struct buf *out, const char *text, int indent, int width)
{
    int used = 0;

    while (*text) {
        const int n = (int)strcspn(text, " ");

        if (used && used + 1 + n > width) {
            buf_printf(out, "\n%*s", indent, "");
            used = 0;
        }
        if (used) buf_addc(out, ' '), used++;
        buf_add(out, text, (size_t)n);
        used += n;
        text += n + (text[n] == ' ');
    }
    buf_addc(out, '\n');
}

static int print_others(const struct plan_told *t, int width, struct buf *out)
{
    const int indent = 2 * 9 + 4;
    const int room = !width ? INT_MAX : width - indent > NARROW ? width - indent : NARROW;

    if (t->a->n_others) buf_printf(out, "\n%9s  %9s  other plans, and why not\n", "time", "cost");
    for (int i = 0; i < t->a->n_others; i++) {
        const struct plan *p = &t->a->others[i];
        char time[PROGRESS_TEXT], usd[MONEY];
        struct buf what = {0};

        summary(t, p, &what);
        buf_printf(out, "%9s  %9s  ", span_text(time, p->seconds), money(usd, p->usd));
        wrap(out, p->why, indent, room);
        buf_printf(out, "%*s", indent, "");
        wrap(out, what.data ? what.data : "", indent, room);
        if (what.failed) out->failed = true;
        buf_fini(&what);
    }
    return out->failed ? ERR_NOMEM : ERR_OK;
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
