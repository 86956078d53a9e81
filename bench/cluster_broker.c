/* cluster_broker.c - a simulated broker: it tells the scheduler what happens and does what it says.
 */
#include "base/clock.h"
#include "bench/cluster_part.h"

#define ASK_BATCHES  64 /* rows that an instance asks for, in numbers that it runs at once */
#define ASK_ANEW     4  /* when so little a part of it is asked for no more */
#define COST_EVERY   61 /* of the scheduler's events is timed: no divisor of anything regular */
#define COST_MOST_NS 500000
#define TAIL_SHARE   0.95

/* --- decisions -------------------------------------------------------------------------------- */

static int say(struct cluster *c, struct message *m)
{
    m->at_s = c->now_s + c->o.latency_s / 2;
    return post_add(&c->down, m);
}

static int32_t open_seq(struct cluster *c, const struct schedule_decision *d)
{
    int64_t job_id = d->job_id;
    int32_t s = seqs_take(&c->seqs);
    struct schedule_job job;

    if (s == SEQ_NONE) return s;
    c->seqs.at[s] = (struct seq){.job_id = job_id, .tokens = (int32_t)d->tokens};
    c->seqs.at[s].answer = jobs_at(c->jobs, job_id - 1, &job);
    c->seqs.at[s].prompt = job.prompt_tokens;
    return s;
}

static int lease(struct cluster *c, const struct schedule_decision *d)
{
    struct message m = {
        .what = SAY_LEASE, .instance = (int32_t)d->instance - 1, .list = SEQ_LIST_EMPTY};
    struct message *last = post_last(&c->down);
    int32_t s = open_seq(c, d);

    if (s == SEQ_NONE) return ERR_NOMEM;
    c->members[m.instance].asked--;
    c->members[m.instance].asked_tokens -= d->tokens;
    c->members[m.instance].held_tokens += d->tokens;
    c->r.granted++;
    c->r.copies += d->verdict == DECIDE_COPY;
    if (++c->held > c->r.max_held) c->r.max_held = c->held;
    if (last && last->what == SAY_LEASE && last->instance == m.instance &&
        last->at_s <= c->now_s + c->o.latency_s / 2) { /* of one moment: one message */
        seq_list_add(&c->seqs, &last->list, s);
        return ERR_OK;
    }
    seq_list_add(&c->seqs, &m.list, s);
    c->r.leases++;
    return say(c, &m);
}

static int act(struct cluster *c, const struct schedule_decision *d)
{
    struct message m = {.instance = (int32_t)d->instance - 1, .job_id = d->job_id};

    switch (d->verdict) {
    case DECIDE_GRANT:
    case DECIDE_COPY: return lease(c, d);
    case DECIDE_TAKE_BACK: m.what = SAY_TAKE_BACK; return say(c, &m);
    case DECIDE_STOP: m.what = SAY_STOP; return say(c, &m);
    case DECIDE_READ: c->to_read = d->n;
    }
    return ERR_OK;
}

/* Rare events may take long: each is timed, by the thread's own clock.  Of the others one of many
 * is timed, by the wall's, which is no system call and leaves the caches as they are; when others
 * compute on the core such a time may hold theirs, and is left out. */
static int decide(struct cluster *c, const struct schedule_event *ev)
{
    const bool rare = ev->kind == EVENT_TICK || ev->kind == EVENT_BACKLOG;
    int64_t began_ns, took_ns;
    int rc;

    if (c->o.no_cost || (c->r.events++ % COST_EVERY && !rare))
        return schedule_event(c->schedule, ev, c->now_s);
    began_ns = rare ? clock_thread_ns() : clock_mono_ns();
    rc = schedule_event(c->schedule, ev, c->now_s);
    took_ns = (rare ? clock_thread_ns() : clock_mono_ns()) - began_ns;
    if (rare)
        c->r.decide_s += (double)took_ns / 1e9;
    else if (took_ns < COST_MOST_NS)
        c->r.decide_s += (double)took_ns * COST_EVERY / 1e9;
    return rc;
}

/* One event, and what it leads to, but for reading. */
static int tell(struct cluster *c, const struct schedule_event *ev)
{
    const struct schedule_decision *d;
    int rc = decide(c, ev);
    size_t n;

    if (rc == ERR_STALE) return ERR_OK; /* we may be late */
    if (rc) return rc;
    d = schedule_decisions(c->schedule, &n);
    for (size_t i = 0; !rc && i < n; i++)
        rc = act(c, &d[i]);
    return rc;
}

static int tell_backlog(struct cluster *c)
{
    int64_t left = jobs_count(c->jobs) - c->next_row;
    double prompt = c->next_row ? c->prompt_tokens / (double)c->next_row : 0;
    double answer = c->r.done ? c->answer_tokens / (double)c->r.done : 0;
    struct schedule_event ev = {
        .kind = EVENT_BACKLOG, .rows = left, .tokens = (int64_t)((double)left * (prompt + answer))};

    return tell(c, &ev);
}

/* The rows that the scheduler asked for. */
static int read_rows(struct cluster *c)
{
    const int64_t n = jobs_count(c->jobs);
    struct schedule_job job;
    struct schedule_event ev = {.kind = EVENT_READY, .job = &job};
    int rc = ERR_OK;

    while (!rc && c->to_read > 0 && c->next_row < n) {
        c->to_read--;
        (void)jobs_at(c->jobs, c->next_row++, &job);
        c->prompt_tokens += job.prompt_tokens;
        rc = tell(c, &ev);
        if (!rc && (!c->to_read || c->next_row == n)) rc = tell_backlog(c);
    }
    c->to_read = 0;
    return rc;
}

static int tell_and_read(struct cluster *c, const struct schedule_event *ev)
{
    int rc = tell(c, ev);

    return rc ? rc : read_rows(c);
}

/* --- events ----------------------------------------------------------------------------------- */

static int64_t want_tokens(const struct cluster *c, const struct member *m)
{
    return c->o.ask_tokens ? c->o.ask_tokens : 2 * m->i.is.kv_tokens;
}

int broker_ask(struct cluster *c, int32_t at)
{
    struct member *m = &c->members[at];
    struct schedule_event ev = {.kind = EVENT_ASK, .id = at + 1};

    ev.rows = ASK_BATCHES * m->i.is.max_num_seqs - m->b.waiting.n - batching_running(&m->b);
    ev.tokens = want_tokens(c, m) - m->held_tokens;
    if (ev.tokens < 0) ev.tokens = 0;
    m->asked = ev.rows;
    m->asked_tokens = ev.tokens;
    return tell_and_read(c, &ev);
}

/* When it could take much more than it asked for, or has nothing left to do. */
static bool asks_anew(const struct cluster *c, const struct member *m)
{
    int64_t rows = ASK_BATCHES * m->i.is.max_num_seqs, tokens = want_tokens(c, m);

    return !batching_running(&m->b) || m->asked < rows / 2 ||
           tokens - m->held_tokens - m->asked_tokens > tokens / ASK_ANEW;
}

int broker_begin(struct cluster *c)
{
    int rc = tell_backlog(c);

    return rc ? rc : read_rows(c);
}

int broker_join(struct cluster *c, int32_t at)
{
    struct schedule_instance is = c->members[at].i.is;
    struct schedule_event ev = {.kind = EVENT_JOIN, .id = at + 1, .instance = &is};
    double told = c->members[at].i.told_factor;

    is.id = at + 1;
    if (told > 0) is.perf = perf_scaled(&is.perf, told);
    return tell_and_read(c, &ev);
}

int broker_leave(struct cluster *c, int32_t at)
{
    struct schedule_event ev = {.kind = EVENT_LEAVE, .id = at + 1};

    return tell_and_read(c, &ev);
}

int broker_beat(struct cluster *c, int32_t at)
{
    struct schedule_event ev = {
        .kind = EVENT_BEAT, .id = at + 1, .rows = c->members[at].b.n_unbegun};

    return tell_and_read(c, &ev);
}

int broker_tick(struct cluster *c)
{
    struct schedule_event ev = {.kind = EVENT_TICK};

    return tell_and_read(c, &ev);
}

static int note_done(struct cluster *c, const struct seq *q, int32_t at)
{
    unsigned char *byte = &c->done[(q->job_id - 1) / 8];
    unsigned bit = 1u << (q->job_id - 1) % 8;
    struct cluster_note n = {c->now_s, q->job_id, at, q->prompt, q->answer};
    struct cluster_work *w = &c->members[at].work;

    if (*byte & bit) {
        c->r.doubles++;
        return ERR_OK;
    }
    *byte = (unsigned char)(*byte | bit);
    c->answer_tokens += q->answer;
    c->r.done++;
    c->r.end_s = w->last_s = c->now_s;
    c->r.last = at;
    w->rows++;
    w->prompt_tokens += q->prompt;
    w->output_tokens += q->answer;
    if (c->o.note) c->o.note(c->o.arg, &n);
    if ((double)c->r.done <= TAIL_SHARE * (double)c->r.rows)
        c->r.tail_s = c->now_s;
    else if (c->o.rest && !c->rest_is_told)
        return cluster_tell_rest(c);
    return ERR_OK;
}

/* Found to be too long for the instance that it was granted to: what it needs is known now. */
static int hand_back(struct cluster *c, const struct seq *q, int32_t at)
{
    struct schedule_job job;
    struct schedule_event ev = {.kind = EVENT_BACK, .id = at + 1, .job_id = q->job_id};
    int rc = tell_and_read(c, &ev);

    if (rc) return rc;
    c->r.handed_back++;
    (void)jobs_at(c->jobs, q->job_id - 1, &job);
    job.need_tokens = (int64_t)q->prompt + (job.max_tokens ? job.max_tokens : q->answer);
    ev = (struct schedule_event){.kind = EVENT_READY, .job = &job};
    return tell_and_read(c, &ev);
}

/* One that was granted came back: with its answer, stopped, taken back, or too long. */
static int hear_seq(struct cluster *c, struct seq q, int32_t at)
{
    struct schedule_event ev = {.kind = EVENT_BACK, .id = at + 1, .job_id = q.job_id};

    c->held--;
    c->members[at].held_tokens -= q.tokens;
    if (q.is_misfit) return hand_back(c, &q, at);
    c->r.taken_back += !q.is_dropped && q.made < q.answer;
    c->r.stopped += q.is_dropped && q.made < q.answer;
    ev.ready = !q.is_dropped;
    if (q.made == q.answer) {
        ev.kind = EVENT_DONE;
        ev.prompt_tokens = q.prompt;
        ev.output_tokens = q.answer;
        if (note_done(c, &q, at)) return ERR_NOMEM;
    }
    return tell_and_read(c, &ev);
}

int broker_hear(struct cluster *c, const struct message *m)
{
    const struct member *of = &c->members[m->instance];
    int rc = ERR_OK;

    for (int32_t s = m->list.first; !rc && s != SEQ_NONE; s = c->seqs.at[s].next)
        rc = hear_seq(c, c->seqs.at[s], m->instance);
    seqs_free(&c->seqs, m->list.first);
    if (!rc && of->is_here && asks_anew(c, of)) rc = broker_ask(c, m->instance);
    return rc;
}
