/* batching.c - an instance's batch as it runs. */
#include "bench/batching.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- sequences -------------------------------------------------------------------------------- */

void seqs_init(struct seqs *p)
{
    *p = (struct seqs){.freed = SEQ_NONE};
}

void seqs_fini(struct seqs *p)
{
    free(p->at);
    seqs_init(p);
}

int32_t seqs_take(struct seqs *p)
{
    int32_t s = p->freed;

    if (s != SEQ_NONE) {
        p->freed = p->at[s].next;
        return s;
    }
    if (p->n == p->cap) {
        int32_t cap = p->cap ? 2 * p->cap : 1024;
        struct seq *at = cap > p->cap ? realloc(p->at, (size_t)cap * sizeof *at) : NULL;

        if (!at) return SEQ_NONE;
        p->at = at;
        p->cap = cap;
    }
    return p->n++;
}

void seqs_free(struct seqs *p, int32_t list)
{
    while (list != SEQ_NONE) {
        int32_t next = p->at[list].next;

        p->at[list].next = p->freed;
        p->freed = list;
        list = next;
    }
}

void seq_list_add(struct seqs *p, struct seq_list *l, int32_t s)
{
    p->at[s].next = SEQ_NONE;
    if (l->n++)
        p->at[l->last].next = s;
    else
        l->first = s;
    l->last = s;
}

static void list_add_first(struct seqs *p, struct seq_list *l, int32_t s)
{
    p->at[s].next = l->first;
    l->first = s;
    if (!l->n++) l->last = s;
}

static int32_t list_take_first(const struct seqs *p, struct seq_list *l)
{
    int32_t s = l->first;

    l->first = p->at[s].next;
    if (!--l->n) *l = SEQ_LIST_EMPTY;
    return s;
}

#define GROW_TOKENS 16 /* for each that runs when another one comes in: worker/batch.c's block */

/* --- a batch ---------------------------------------------------------------------------------- */

void batching_init(struct batching *b, const struct perf *k, int64_t kv_tokens,
                   int64_t max_num_seqs, int64_t max_batched_tokens)
{
    *b = (struct batching){.perf = k,
                           .kv_tokens = kv_tokens,
                           .max_num_seqs = max_num_seqs,
                           .max_batched_tokens = max_batched_tokens,
                           .partial = SEQ_NONE,
                           .waiting = SEQ_LIST_EMPTY,
                           .fresh = SEQ_LIST_EMPTY};
}

void batching_fini(struct batching *b, struct seqs *p)
{
    for (int32_t i = 0; i < b->n; i++) {
        p->at[b->seq[i]].next = SEQ_NONE;
        seqs_free(p, b->seq[i]);
    }
    if (b->partial != SEQ_NONE) {
        p->at[b->partial].next = SEQ_NONE;
        seqs_free(p, b->partial);
    }
    seqs_free(p, b->waiting.first);
    seqs_free(p, b->fresh.first);
    free(b->end);
    free(b->seq);
    batching_init(b, b->perf, b->kv_tokens, b->max_num_seqs, b->max_batched_tokens);
}

int32_t batching_running(const struct batching *b)
{
    return b->n + b->fresh.n + (b->partial != SEQ_NONE);
}

static int64_t length(const struct seq *q)
{
    return (int64_t)q->prompt + q->made;
}

static int make_room(struct batching *b, int32_t n)
{
    int32_t cap = b->cap ? b->cap : 16;
    int64_t *end;
    int32_t *seq;

    if (n <= b->cap) return ERR_OK;
    while (cap < n)
        cap *= 2;
    if (!(end = realloc(b->end, (size_t)cap * sizeof *end))) return ERR_NOMEM;
    b->end = end;
    if (!(seq = realloc(b->seq, (size_t)cap * sizeof *seq))) return ERR_NOMEM;
    b->seq = seq;
    b->cap = cap;
    return ERR_OK;
}

/* It leaves with so many tokens in KV, those that it shares with others once. */
static void release(struct batching *b, const struct seq *q, int64_t kv)
{
    int32_t shared, freed;

    b->kv_used -= kv;
    if (!b->sharing) return;
    freed = sharing_end(b->sharing, q->job_id - 1, (int32_t)kv, &shared);
    b->kv_used += shared - freed;
}

/* From now on one token a step. */
static int begin_decoding(struct batching *b, struct seqs *p, int32_t s)
{
    const struct seq *q = &p->at[s];

    if (make_room(b, b->n + 1)) return ERR_NOMEM;
    b->end[b->n] = b->steps + q->answer - q->made;
    b->seq[b->n++] = s;
    b->context += length(q);
    return ERR_OK;
}

static void put_back(struct batching *b, struct seqs *p, int32_t s)
{
    release(b, &p->at[s], p->at[s].kv);
    p->at[s].kv = 0;
    list_add_first(p, &b->waiting, s);
    b->put_back++;
    b->has_put_back = true;
}

/* What it has made and holds, which its end tells. */
static void settle(const struct batching *b, struct seqs *p, int32_t i)
{
    struct seq *q = &p->at[b->seq[i]];

    q->made = (int32_t)(q->answer - (b->end[i] - b->steps));
    q->kv = (int32_t)(length(q) - 1);
}

static void put_back_youngest(struct batching *b, struct seqs *p)
{
    int32_t s = b->partial;

    if (s != SEQ_NONE) {
        b->partial = SEQ_NONE;
        put_back(b, p, s);
        return;
    }
    settle(b, p, --b->n);
    s = b->seq[b->n];
    b->context -= length(&p->at[s]);
    put_back(b, p, s);
}

/* A token for each of the decoding, the oldest first; where memory is short the youngest make room,
 * and the last may stall. */
static void give_tokens(struct batching *b, struct seqs *p)
{
    b->is_stalled = false;
    if (b->kv_used + b->n <= b->kv_tokens) {
        b->kv_used += b->n;
        return;
    }
    for (int32_t i = 0; i < b->n; i++) {
        while (b->kv_used + 1 > b->kv_tokens && (b->partial != SEQ_NONE || b->n > i + 1))
            put_back_youngest(b, p);
        if (b->kv_used < b->kv_tokens)
            b->kv_used++;
        else
            b->is_stalled = true;
    }
}

struct mix { /* in the letters of perf.h */
    double p, n, x, m;
};

static void count_prefill(struct mix *m, double chunk, double kv)
{
    m->p += chunk;
    m->x += chunk * kv + chunk * (chunk + 1) / 2;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void give_chunk(struct batching *b, struct seqs *p, int64_t *budget, struct mix *m)
{
    const struct seq *q = &p->at[b->partial];

    b->chunk = (int32_t)least(least(length(q) - q->kv, *budget), b->kv_tokens - b->kv_used);
    b->kv_used += b->chunk;
    *budget -= b->chunk;
    count_prefill(m, b->chunk, q->kv);
    if (q->kv + b->chunk < length(q)) return;
    seq_list_add(p, &b->fresh, b->partial); /* its prompt is complete with this step */
    b->partial = SEQ_NONE;
}

/* Is there room for the first in line?  Then it holds what is kept of its prompt. */
static bool find_room(struct batching *b, struct seq *q)
{
    int32_t woken = 0, found = 0;

    if (b->sharing) {
        sharing_fit(b->sharing, b->kv_tokens - b->kv_used);
        found = sharing_look(b->sharing, q->job_id - 1, &woken);
    }
    if (b->kv_used + woken + length(q) - found + GROW_TOKENS * batching_running(b) > b->kv_tokens)
        return false;
    if (b->sharing) (void)sharing_begin(b->sharing, q->job_id - 1, &woken);
    b->kv_used += woken;
    q->kv = found;
    if (q->is_begun) return true;
    b->n_unbegun--;
    b->prompt_tokens += q->prompt;
    b->cached_tokens += found;
    q->is_begun = true;
    return true;
}

static void admit(struct batching *b, struct seqs *p, int64_t *budget, struct mix *m)
{
    while (b->waiting.n && *budget > 0 && batching_running(b) < b->max_num_seqs &&
           find_room(b, &p->at[b->waiting.first])) {
        int32_t s = list_take_first(p, &b->waiting);
        struct seq *q = &p->at[s];
        int64_t chunk = length(q) - q->kv;

        if (chunk > *budget) {
            b->partial = s;
            give_chunk(b, p, budget, m);
            return;
        }
        b->kv_used += chunk;
        *budget -= chunk;
        count_prefill(m, (double)chunk, q->kv);
        seq_list_add(p, &b->fresh, s);
    }
}

/* Steps for which all that decode just go on. */
static int64_t same_steps(const struct batching *b)
{
    int64_t steps = INT64_MAX;

    assert(batching_running(b));
    if (b->by_step || b->is_stalled || b->has_put_back || b->fresh.n || b->partial != SEQ_NONE)
        return 1;
    for (int32_t i = 0; i < b->n; i++)
        steps = least(steps, b->end[i]);
    return least(steps - b->steps, 1 + (b->kv_tokens - b->kv_used) / b->n);
}

static void begin_run(struct batching *b, struct seqs *p, double now_s)
{
    struct mix m = {0};
    int64_t budget = b->max_batched_tokens - b->n;

    b->run = 0;
    b->began_s = now_s;
    if (!batching_running(b) && !b->waiting.n) return;
    if (budget < 0) budget = 0;
    b->chunk = 0;
    b->has_put_back = false;
    give_tokens(b, p);
    if (b->partial != SEQ_NONE) give_chunk(b, p, &budget, &m);
    if (!b->has_put_back) admit(b, p, &budget, &m); /* it would come in again at once */
    m.n = b->n - b->is_stalled;
    m.m = (double)b->context;
    if (b->is_stalled) {
        settle(b, p, b->n - 1);
        m.m -= (double)length(&p->at[b->seq[b->n - 1]]);
    }
    b->first_s = perf_step_ms(b->perf, m.p, m.n, m.x, m.m) / 1e3;
    b->growth_s = b->perf->k4 * m.n / 1e3;
    b->run = same_steps(b);
    b->run_count++;
}

static double run_s(const struct batching *b, int64_t steps)
{
    double j = (double)steps;

    return j * b->first_s + b->growth_s * j * (j - 1) / 2;
}

double batching_due_s(const struct batching *b)
{
    return b->run ? b->began_s + run_s(b, b->run) : INFINITY;
}

/* Which step of the run is under way, from 1. */
static int64_t step_at(const struct batching *b, double now_s)
{
    double a = b->growth_s / 2, c = b->first_s - a, dt = now_s - b->began_s, j;
    int64_t steps;

    j = a > 0 ? 2 * dt / (c + sqrt(c * c + 4 * a * dt)) : dt / c;
    steps = j < (double)b->run ? (int64_t)j : b->run;
    if (steps < 1) steps = 1;
    while (steps > 1 && run_s(b, steps - 1) > dt)
        steps--;
    while (steps < b->run && run_s(b, steps) <= dt)
        steps++;
    return steps;
}

/* The run ends with the step under way. */
static void cut_run(struct batching *b, double now_s)
{
    if (b->run > 1) b->run = step_at(b, now_s);
}

int32_t batching_look(const struct batching *b, const struct seqs *p, int32_t i, double now_s,
                      int32_t *kv, int32_t *made)
{
    int32_t s = b->partial;

    if (i < b->n) {
        const struct seq *q = &p->at[s = b->seq[i]];

        *made = (int32_t)(q->answer - (b->end[i] - b->steps - step_at(b, now_s) + 1));
        *kv = q->prompt + *made - 1;
        return s;
    }
    if (i < b->n + b->fresh.n)
        for (s = b->fresh.first, i -= b->n; i--;)
            s = p->at[s].next;
    *kv = p->at[s].kv;
    *made = p->at[s].made;
    return s;
}

int batching_add(struct batching *b, struct seqs *p, struct seq_list list, double now_s)
{
    if (!list.n) return ERR_OK;
    if (!b->waiting.n) cut_run(b, now_s); /* where some wait, more of them change nothing */
    if (b->waiting.n)
        p->at[b->waiting.last].next = list.first;
    else
        b->waiting.first = list.first;
    b->waiting.last = list.last;
    b->waiting.n += list.n;
    b->n_unbegun += list.n;
    if (!b->run) begin_run(b, p, now_s);
    return ERR_OK;
}

/* --- out -------------------------------------------------------------------------------------- */

/* Its prompt is all in KV, which gives a token. */
static int complete(struct batching *b, struct seqs *p, int32_t s, struct seq_list *ended)
{
    struct seq *q = &p->at[s];

    q->kv = (int32_t)length(q);
    q->made++;
    if (q->made < q->answer) return begin_decoding(b, p, s);
    release(b, q, q->kv);
    seq_list_add(p, ended, s);
    return ERR_OK;
}

static void end_decoding(struct batching *b, struct seqs *p, struct seq_list *ended)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < b->n; i++) {
        struct seq *q = &p->at[b->seq[i]];

        if (b->end[i] > b->steps) {
            b->end[kept] = b->end[i];
            b->seq[kept++] = b->seq[i];
            continue;
        }
        q->made = q->answer;
        b->context -= length(q);
        release(b, q, length(q) - 1);
        seq_list_add(p, ended, b->seq[i]);
    }
    b->n = kept;
}

static int end_prefill(struct batching *b, struct seqs *p, struct seq_list *ended)
{
    int32_t s = b->partial;
    int rc = ERR_OK;

    while (!rc && b->fresh.n)
        rc = complete(b, p, list_take_first(p, &b->fresh), ended);
    if (rc || s == SEQ_NONE) return rc;
    p->at[s].kv += b->chunk;
    /* One that was put back lacks only the token that it made last: that is decoding. */
    if (!p->at[s].made || p->at[s].kv + 1 < length(&p->at[s])) return ERR_OK;
    b->partial = SEQ_NONE;
    return begin_decoding(b, p, s);
}

/* Those that were dropped while the step was under way leave with it. */
static void take_dropped(struct batching *b, struct seqs *p, struct seq_list *ended)
{
    int32_t kept = 0;

    for (int32_t i = 0; i < b->n; i++) {
        struct seq *q = &p->at[b->seq[i]];

        if (!q->is_dropped) {
            b->end[kept] = b->end[i];
            b->seq[kept++] = b->seq[i];
            continue;
        }
        settle(b, p, i);
        b->context -= length(q);
        release(b, q, q->kv);
        seq_list_add(p, ended, b->seq[i]);
    }
    b->n = kept;
    if (b->partial != SEQ_NONE && p->at[b->partial].is_dropped) {
        release(b, &p->at[b->partial], p->at[b->partial].kv);
        seq_list_add(p, ended, b->partial);
        b->partial = SEQ_NONE;
    }
    b->n_dropped = 0;
}

int batching_advance(struct batching *b, struct seqs *p, struct seq_list *ended)
{
    int64_t n = b->n - b->is_stalled;
    double due_s = batching_due_s(b);
    int rc;

    *ended = SEQ_LIST_EMPTY;
    b->busy_s += due_s - b->began_s;
    b->steps += b->run;
    b->kv_used += (b->run - 1) * n;
    b->context += b->run * n;
    if (b->sharing) sharing_fit(b->sharing, b->kv_tokens - b->kv_used);
    if (b->is_stalled) b->end[b->n - 1]++;
    end_decoding(b, p, ended);
    rc = end_prefill(b, p, ended);
    assert(b->kv_used <= b->kv_tokens);
    if (b->n_dropped) take_dropped(b, p, ended);
    if (!rc) begin_run(b, p, due_s);
    return rc;
}

static int32_t drop_waiting(struct batching *b, struct seqs *p, int64_t job_id, bool begun_too)
{
    int32_t before = SEQ_NONE;

    for (int32_t s = b->waiting.first; s != SEQ_NONE; before = s, s = p->at[s].next) {
        struct seq *q = &p->at[s];

        if (q->job_id != job_id) continue;
        if (q->is_begun && !begun_too) return SEQ_NONE;
        b->n_unbegun -= !q->is_begun;
        if (before == SEQ_NONE)
            b->waiting.first = q->next;
        else
            p->at[before].next = q->next;
        if (b->waiting.last == s) b->waiting.last = before;
        if (!--b->waiting.n) b->waiting = SEQ_LIST_EMPTY;
        return s;
    }
    return SEQ_NONE;
}

/* Running: it leaves when the step under way ends. */
static void drop_running(struct batching *b, struct seqs *p, int64_t job_id)
{
    int32_t s = b->partial;

    if (s == SEQ_NONE || p->at[s].job_id != job_id)
        for (s = b->fresh.first; s != SEQ_NONE && p->at[s].job_id != job_id;)
            s = p->at[s].next;
    for (int32_t i = 0; s == SEQ_NONE && i < b->n; i++)
        if (p->at[b->seq[i]].job_id == job_id) s = b->seq[i];
    if (s == SEQ_NONE) return;
    p->at[s].is_dropped = true;
    b->n_dropped++;
}

int32_t batching_drop(struct batching *b, struct seqs *p, int64_t job_id, bool begun_too,
                      double now_s)
{
    int32_t s = drop_waiting(b, p, job_id, begun_too);

    if (s == SEQ_NONE && begun_too) drop_running(b, p, job_id);
    cut_run(b, now_s); /* another one may be the first in line */
    return s;
}
