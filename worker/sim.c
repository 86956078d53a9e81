/* sim.c - a simulated instance. */
#include "worker/sim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/hash.h"
#include "schema/endpoint.h"

#define BLOCK_TOKENS 16                    /* of a KV block */
#define TURN_TOKENS  4                     /* what a chat template adds to each message */
#define LATE_NS      ((int64_t)1000000000) /* steps that are later than this are not caught up with */
#define HANG_NS      ((int64_t)10000000)

struct seq {
    struct seq *next; /* while it waits, or has ended */
    struct job *job;
    uint64_t dice;
    int n_prompt, n_answer; /* tokens it has, and will have made */
    int n_made;             /* of the answer, so far */
    int n_kv;               /* of its tokens, in KV */
    int chunk;              /* tokens in this step */
    int n_choices, n_taken; /* outcomes: the answers of a row are all alike */
    bool is_poison;
    enum finish finish;
    int64_t added_ns, started_ns, first_ns, done_ns;
};

struct sim {
    const struct simfile *f; /* borrowed */
    struct job_rules rules;
    struct sim_clock clock;
    struct seq **running; /* [max_num_seqs], the oldest first */
    int n_running, n_waiting, kv_used;
    int64_t n_begun; /* ever */
    struct seq *waiting, **waiting_tail;
    struct seq *ended, **ended_tail;
    int64_t due_ns; /* when the step under way ends */
    int64_t rows;
    int trace;            /* -1: none */
    struct box_slot *box; /* NULL: none */
    struct engine_stats stats;
};

/* --- a job's way in --------------------------------------------------------------------------- */

static size_t text_bytes(const json_t *v)
{
    size_t n = 0, i;
    const json_t *part;

    if (json_is_string(v)) return json_string_length(v);
    json_array_foreach(v, i, part) n += json_string_length(json_object_get(part, "text"));
    return n;
}

static int prompt_tokens(const struct sim *s, const struct job *j)
{
    const json_t *messages = json_object_get(j->request, "messages"), *m;
    double bytes = (double)text_bytes(json_object_get(j->request, "prompt"));
    size_t i;

    if (j->endpoint == ENDPOINT_CHAT) {
        bytes = 0;
        json_array_foreach(messages, i, m) bytes +=
            (double)text_bytes(json_object_get(m, "content")) + TURN_TOKENS * s->f->bytes_per_token;
    }
    return 1 + (int)(bytes / s->f->bytes_per_token);
}

static void plan_answer(const struct sim *s, struct seq *q)
{
    const struct sampling *p = &q->job->params.sampling;
    int n = simfile_output_tokens(s->f, (double)(q->dice >> 11) / (double)((uint64_t)1 << 53));

    if (n < p->min_tokens) n = p->min_tokens;
    q->finish = FINISH_STOP;
    if (!s->f->n_quantiles || p->ignore_eos || n > p->max_tokens) {
        q->finish = FINISH_LENGTH;
        n = p->max_tokens;
    }
    q->n_answer = n;
}

static void wait_last(struct sim *s, struct seq *q)
{
    q->next = NULL;
    *s->waiting_tail = q;
    s->waiting_tail = &q->next;
    s->n_waiting++;
}

static struct result *sim_start(void *self, struct job *j)
{
    struct sim *s = self;
    struct job_room room = {.max_len = s->f->max_model_len, .kv_tokens = s->f->kv_tokens};
    struct result *r = job_read(j);
    uint64_t key[2];
    struct seq *q;

    if (r) return r;
    room.n_prompt = prompt_tokens(s, j);
    if ((r = job_plan(j, &s->rules, &room))) return r;
    if (!(q = calloc(1, sizeof *q))) return job_put_back(j, "out_of_memory", 0);
    key[0] = (uint64_t)j->job_id;
    key[1] = hash64(j->body, j->body_len);
    q->job = j;
    q->dice = hash64(key, sizeof key);
    q->n_prompt = room.n_prompt;
    q->n_choices = j->params.sampling.n;
    q->is_poison =
        s->f->poison[0] && memmem(j->body, j->body_len, s->f->poison, strlen(s->f->poison));
    q->added_ns = s->clock.now_ns(s->clock.arg);
    plan_answer(s, q);
    wait_last(s, q);
    return NULL;
}

/* --- out -------------------------------------------------------------------------------------- */

static void end(struct sim *s, struct seq *q, enum finish finish)
{
    s->kv_used -= q->n_kv;
    q->finish = finish;
    q->done_ns = s->clock.now_ns(s->clock.arg);
    q->next = NULL;
    *s->ended_tail = q;
    s->ended_tail = &q->next;
}

static void trace(const struct sim *s, const struct seq *q)
{
    if (s->trace >= 0)
        (void)!dprintf(s->trace, "%lld %lld\n", (long long)q->job->job_id,
                       (long long)q->job->generation);
}

static void sim_abort(void *self, const struct job *j)
{
    struct sim *s = self;

    for (struct seq **at = &s->waiting, *q; (q = *at); at = &q->next) {
        if (q->job != j) continue;
        *at = q->next;
        if (!*at) s->waiting_tail = at;
        s->n_waiting--;
        end(s, q, FINISH_ABORT);
        return;
    }
    for (int i = 0; i < s->n_running; i++) {
        struct seq *q = s->running[i];

        if (q->job != j) continue;
        memmove(&s->running[i], &s->running[i + 1],
                (size_t)(--s->n_running - i) * sizeof s->running[0]);
        end(s, q, FINISH_ABORT);
        return;
    }
}

static void make_text(const struct seq *q, struct buf *text)
{
    static const char WORDS[16][5] = {"ala ", "bel ", "cor ", "dun ", "est ", "fil ",
                                      "gor ", "hin ", "ire ", "jol ", "kan ", "lum ",
                                      "mor ", "nev ", "oli ", "pax "};
    uint64_t x = q->dice | 1;

    for (int i = 0; i < q->n_made; i++) {
        x = x * 6364136223846793005u + 1442695040888963407u;
        (void)buf_add(text, WORDS[x >> 60], 4);
    }
    if (text->len) text->len--; /* the last blank */
}

static bool sim_take(void *self, struct outcome *out)
{
    struct sim *s = self;
    struct seq *q = s->ended;

    if (!q) return false;
    *out = (struct outcome){.owner = q->job,
                            .index = q->n_taken++,
                            .finish = q->finish,
                            .n_ids = q->n_made,
                            .n_prompt = q->n_prompt,
                            .added_ns = q->added_ns,
                            .started_ns = q->started_ns,
                            .first_ns = q->first_ns,
                            .done_ns = q->done_ns};
    if (q->finish != FINISH_ABORT) make_text(q, &out->text);
    if (q->n_taken < q->n_choices) return true;
    s->ended = q->next;
    if (!s->ended) s->ended_tail = &s->ended;
    free(q);
    return true;
}

/* --- a step ----------------------------------------------------------------------------------- */

/* What is in a step, in the letters of perf.h. */
struct mix {
    double p, n, x, m;
};

static int length(const struct seq *q)
{
    return q->n_prompt + q->n_made;
}

static bool is_decoding(const struct seq *q)
{
    return q->n_made && q->n_kv + 1 == length(q);
}

/* The youngest gives up its KV and waits again, first in line; it keeps what it has made. */
static void put_back_youngest(struct sim *s)
{
    struct seq *q = s->running[--s->n_running];

    s->kv_used -= q->n_kv;
    q->n_kv = q->chunk = 0;
    q->next = s->waiting;
    if (!s->waiting) s->waiting_tail = &q->next;
    s->waiting = q;
    s->n_waiting++;
    s->stats.put_back++;
}

/* The tokens that running sequence i brings into this step, of those that prefill may have. */
static void give_chunk(struct sim *s, int i, int *budget)
{
    struct seq *q = s->running[i];
    bool decodes = is_decoding(q);
    int n = length(q) - q->n_kv;

    if (!decodes && n > *budget) n = *budget;
    while (s->kv_used + n > s->f->kv_tokens && s->n_running > i + 1)
        put_back_youngest(s);
    if (s->kv_used + n > s->f->kv_tokens) n = s->f->kv_tokens - s->kv_used;
    q->chunk = n;
    s->kv_used += n;
    if (!decodes) *budget -= n;
}

static void count(const struct seq *q, struct mix *m)
{
    double n = q->chunk;

    if (is_decoding(q) && n > 0) {
        m->n++;
        m->m += length(q);
    } else {
        m->p += n;
        m->x += n * q->n_kv + n * (n + 1) / 2;
    }
}

/* As worker/batch.c lets them in: a block for each that runs is left to grow into. */
static bool fits_first(const struct sim *s)
{
    return s->kv_used + length(s->waiting) + BLOCK_TOKENS * s->n_running <= s->f->kv_tokens;
}

static struct mix build(struct sim *s)
{
    const int64_t put_back = s->stats.put_back;
    int budget = s->f->max_batched_tokens;
    struct mix m = {0};

    for (int i = 0; i < s->n_running; i++)
        budget -= is_decoding(s->running[i]);
    if (budget < 0) budget = 0;
    for (int i = 0; i < s->n_running; i++) /* those at the end may be put back meanwhile */
        give_chunk(s, i, &budget);
    /* What was just put back would come in again at once. */
    while (s->waiting && budget > 0 && s->n_running < s->f->max_num_seqs && fits_first(s) &&
           s->stats.put_back == put_back) {
        struct seq *q = s->waiting;

        s->waiting = q->next;
        if (!s->waiting) s->waiting_tail = &s->waiting;
        s->n_waiting--;
        if (!q->started_ns) q->started_ns = s->clock.now_ns(s->clock.arg);
        s->n_begun += !q->job->begun;
        q->job->begun = true;
        s->running[s->n_running++] = q;
        give_chunk(s, s->n_running - 1, &budget);
    }
    for (int i = 0; i < s->n_running; i++)
        count(s->running[i], &m);
    return m;
}

/* The tokens are there: those whose KV is complete make one more, those that have all end. */
static void advance(struct sim *s)
{
    int64_t now = s->clock.now_ns(s->clock.arg);
    int kept = 0;

    for (int i = 0; i < s->n_running; i++) {
        struct seq *q = s->running[i];

        q->n_kv += q->chunk;
        q->chunk = 0;
        if (q->n_kv == length(q)) {
            if (!q->n_made++) q->first_ns = now;
        }
        if (q->n_made < q->n_answer) {
            s->running[kept++] = q;
            continue;
        }
        s->rows++;
        trace(s, q);
        end(s, q, q->finish);
    }
    s->n_running = kept;
}

static void wait_ms(struct sim *s, double ms)
{
    int64_t now = s->clock.now_ns(s->clock.arg);

    if (s->f->time_scale <= 0) return;
    if (now - s->due_ns > LATE_NS) s->due_ns = now;
    s->due_ns += (int64_t)(ms * s->f->time_scale * 1e6);
    if (s->due_ns > now) s->clock.wait_until(s->clock.arg, s->due_ns);
}

static void note_step(struct sim *s)
{
    int n = 0;

    for (int i = 0; s->box && i < s->n_running; i++)
        if (s->running[i]->chunk)
            box_row(s->box, n++, s->running[i]->job->job_id, s->running[i]->job->generation);
    box_begin(s->box, n);
}

static int sim_step(void *self, struct errmsg *e)
{
    struct sim *s = self;
    int64_t began = s->clock.now_ns(s->clock.arg);
    struct mix m;

    if (!s->n_running && !s->waiting) {
        s->due_ns = 0;
        return ERR_EMPTY;
    }
    if (s->f->hang_after_rows && s->rows >= s->f->hang_after_rows) {
        s->clock.wait_until(s->clock.arg, began + HANG_NS);
        return ERR_OK; /* busy, and no step counted */
    }
    if (fault_here("step")) return err_set(e, ERR_NOMEM, "a step failed, as the fault asks for");
    if (!s->due_ns) s->due_ns = began;
    m = build(s);
    note_step(s);
    for (int i = 0; i < s->n_running; i++)
        if (s->running[i]->is_poison && s->running[i]->chunk) raise(SIGSEGV);
    wait_ms(s, perf_step_ms(&s->f->perf, m.p, m.n, m.x, m.m));
    advance(s);
    box_end(s->box);
    s->stats.steps++;
    s->stats.prefill_tokens += (int64_t)m.p;
    s->stats.decode_tokens += (int64_t)m.n;
    s->stats.step_ns += s->clock.now_ns(s->clock.arg) - began;
    return ERR_OK;
}

static void sim_stats(const void *self, struct engine_stats *out)
{
    const struct sim *s = self;

    *out = s->stats;
    out->n_waiting = s->n_waiting;
    out->n_running = s->n_running;
    out->kv_blocks = s->f->kv_tokens / BLOCK_TOKENS;
    out->kv_blocks_free =
        out->kv_blocks - (s->kv_used + BLOCK_TOKENS - 1) / BLOCK_TOKENS; /* a begun one is used */
}

/* --- start and end ---------------------------------------------------------------------------- */

static int64_t real_now(void *arg)
{
    (void)arg;
    return clock_mono_ns();
}

static void real_wait(void *arg, int64_t ns)
{
    (void)arg;
    clock_wait_until_ns(ns);
}

static int64_t sim_begun(const void *self)
{
    return ((const struct sim *)self)->n_begun;
}

static void sim_close(void *self)
{
    struct sim *s = self;
    struct outcome o;

    while (s->n_running)
        put_back_youngest(s);
    *s->ended_tail = s->waiting;
    while (sim_take(s, &o))
        buf_fini(&o.text);
    if (s->trace >= 0) close(s->trace);
    free(s->running);
    free(s);
}

int sim_open(struct backend *out, const struct simfile *f, const struct job_rules *rules,
             const struct sim_clock *clock, struct box_slot *box, struct errmsg *e)
{
    static const struct sim_clock REAL = {real_now, real_wait, NULL};
    struct sim *s = calloc(1, sizeof *s);
    int rc = ERR_OK;

    if (!s) return err_set(e, ERR_NOMEM, "out of memory");
    s->f = f;
    s->rules = *rules;
    s->clock = clock ? *clock : REAL;
    s->box = box;
    s->waiting_tail = &s->waiting;
    s->ended_tail = &s->ended;
    s->trace = -1;
    s->running = calloc((size_t)f->max_num_seqs, sizeof(struct seq *));
    if (!s->running) rc = err_set(e, ERR_NOMEM, "out of memory");
    if (!rc && f->trace[0]) {
        s->trace = open(f->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (s->trace < 0) rc = err_set(e, ERR_IO, "%s: %s", f->trace, strerror(errno));
    }
    *out = (struct backend){s,         sim_start, sim_abort, sim_step, sim_take,
                            sim_stats, NULL,      sim_begun, sim_close};
    if (rc) sim_close(s);
    return rc;
}
