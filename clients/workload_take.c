/* workload_take.c - rows into a workload.
 *
 * Rows are collected, then tokenised by several threads side by side, row i by thread i modulo
 * their number, then counted in order by the caller's.
 */
#include "clients/workload_take.h"

#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_THREADS 16
#define LEAST_SHARE  16 /* rows of a thread: fewer are not worth one */

int take_open(struct take *t, struct workload *w, const struct workload_opts *o, struct errmsg *e)
{
    *t = (struct take){.w = w, .o = o};
    memset(w, 0, sizeof *w);
    t->rows = calloc(TAKE_ROWS, sizeof *t->rows);
    if (!t->rows || lengths_open(&w->lengths) || rowid_open(&t->bodies) || prefix_open(&t->prefix))
        return err_set(e, ERR_NOMEM, "out of memory");
    return ERR_OK;
}

void take_close(struct take *t)
{
    if (t->bodies) rowid_close(&t->bodies);
    if (t->prefix) prefix_close(&t->prefix);
    buf_fini(&t->text);
    free(t->rows);
}

void workload_fini(struct workload *w)
{
    lengths_close(&w->lengths);
}

/* --- tokens ----------------------------------------------------------------------------------- */

/* As params.h reads it; n answers count as one of their length together. */
static bool is_unlimited(const json_t *request, enum endpoint endpoint,
                         const struct workload_opts *o)
{
    return endpoint == ENDPOINT_CHAT && !o->default_max_tokens &&
           !json_is_integer(json_object_get(request, "max_tokens")) &&
           !json_is_integer(json_object_get(request, "max_completion_tokens"));
}

static int measure(struct take_row *r, const json_t *request, const struct workload_opts *o,
                   struct refusal *f)
{
    /* What is known of answers limits them; otherwise a row that does not is taken as so long. */
    const bool is_known = o->output_tokens || o->like;
    struct params_limits l = {.own_room = is_known ? INT32_MAX : WORKLOAD_ANSWER,
                              .default_max_tokens = o->default_max_tokens};
    struct params p = {0};
    struct ids ids = {0};
    int rc = prompt_encode(&o->source, r->endpoint, request, &ids, f);

    r->prompt = (int64_t)ids.n;
    l.room = o->max_len - (int)ids.n;
    ids_fini(&ids);
    if (!rc && l.room < 1) {
        err_set(&f->why, ERR_ARG, "the prompt has %lld tokens, the model's context holds %d",
                (long long)r->prompt, o->max_len);
        rc = refuse(f, "context_length_exceeded", NULL);
    }
    if (!rc) rc = params_read(&p, request, r->endpoint, &l, f);
    r->most = (int64_t)p.sampling.max_tokens * (p.sampling.n > 1 ? p.sampling.n : 1);
    r->unlimited = is_unlimited(request, r->endpoint, o);
    params_fini(&p);
    return rc;
}

static void tokenise(struct take_row *r, const char *body, const struct workload_opts *o)
{
    struct refusal f = {.code = "invalid_request"};
    json_error_t why;
    json_t *request = json_loadb(body, r->len, JSON_ALLOW_NUL, &why);
    int rc = json_is_object(request) ? ERR_OK : err_set(&f.why, ERR_ARG, "no JSON object");

    if (!rc) rc = measure(r, request, o, &f);
    json_decref(request);
    r->code = rc == ERR_NOMEM ? "out_of_memory" : rc ? f.code : NULL;
    if (rc) snprintf(r->why, sizeof r->why, "%.*s", (int)sizeof r->why - 1, f.why.text);
}

struct share {
    struct take *t;
    int first, step;
    pthread_t thread;
    bool started;
};

static void *tokenise_share(void *arg)
{
    const struct share *s = arg;

    for (int i = s->first; i < s->t->n; i += s->step)
        tokenise(&s->t->rows[i], s->t->text.data + s->t->rows[i].at, s->t->o);
    return NULL;
}

static int threads_for(int rows)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);

    if (n > MOST_THREADS) n = MOST_THREADS;
    if (n > rows / LEAST_SHARE) n = rows / LEAST_SHARE;
    return n > 1 ? n : 1;
}

static void tokenise_all(struct take *t)
{
    struct share shares[MOST_THREADS];
    const int n = threads_for(t->n);

    for (int i = 0; i < n; i++) {
        shares[i] = (struct share){.t = t, .first = i, .step = n};
        shares[i].started =
            i > 0 && !pthread_create(&shares[i].thread, NULL, tokenise_share, &shares[i]);
    }
    for (int i = 0; i < n; i++) { /* its own, and those for which there was no thread */
        if (!shares[i].started) tokenise_share(&shares[i]);
        if (shares[i].started) pthread_join(shares[i].thread, NULL);
    }
}

/* --- counting --------------------------------------------------------------------------------- */

void take_bad(struct take *t, int64_t line, const char *code, const char *why)
{
    struct workload *w = t->w;
    int i = 0;

    while (i < w->n_bad && strcmp(w->bad[i].code, code))
        i++;
    if (i == WORKLOAD_CODES) w->bad[--i].code = "other";
    if (i == w->n_bad) w->bad[w->n_bad++].code = code;
    w->bad[i].rows++;
    w->bad_rows++;
    w->rows++;
    if (w->first_bad_line && w->first_bad_line <= line) return;
    w->first_bad_line = line;
    snprintf(w->first_bad, sizeof w->first_bad, "%s", why);
}

/* What is expected of a row's answer; rows one after the other take quantiles that lie evenly. */
static int64_t answer_of(const struct take *t, const struct take_row *r)
{
    const double golden = 0.6180339887498949; /* its multiples are spread evenly modulo 1 */
    int64_t n = r->most;

    if (t->o->output_tokens)
        n = t->o->output_tokens;
    else if (t->o->like)
        n = lengths_answer(t->o->like, r->prompt, fmod((double)t->w->rows * golden, 1));
    return n < r->most ? n : r->most;
}

static int count_good(struct take *t, const struct take_row *r)
{
    struct workload *w = t->w;
    const char *body = t->text.data + r->at;
    const int64_t answer = answer_of(t, r);
    struct prefix_keys keys;
    int64_t first;
    int rc = rowid_claim(t->bodies, body, r->len, r->line, &first);

    if (rc && rc != ERR_EXISTS) return rc;
    w->duplicates += rc == ERR_EXISTS;
    prefix_read(t->prefix, r->endpoint, body, r->len, &keys);
    /* The body is longer than the text that the keys are of. */
    w->shared_tokens += r->prompt * (int64_t)prefix_known(t->prefix, &keys) / (int64_t)r->len;
    prefix_note(t->prefix, &keys);
    lengths_add(w->lengths, r->prompt, answer);
    w->body_bytes += (int64_t)r->len;
    w->unlimited += r->unlimited;
    if (r->prompt + answer > w->longest) w->longest = r->prompt + answer;
    w->rows++;
    return ERR_OK;
}

int take_good(struct take *t, enum endpoint endpoint, int64_t line, const char *body, size_t len,
              struct errmsg *e)
{
    t->rows[t->n] =
        (struct take_row){.endpoint = endpoint, .line = line, .at = t->text.len, .len = len};
    if (buf_add(&t->text, body, len)) return err_set(e, ERR_NOMEM, "out of memory");
    t->n++;
    return ERR_OK;
}

bool take_is_full(const struct take *t)
{
    return t->n == TAKE_ROWS || t->text.len >= TAKE_BYTES;
}

int take_flush(struct take *t, struct errmsg *e)
{
    int rc = ERR_OK;

    tokenise_all(t);
    for (int i = 0; i < t->n && !rc; i++) {
        const struct take_row *r = &t->rows[i];

        if (r->code && !strcmp(r->code, "out_of_memory"))
            rc = ERR_NOMEM;
        else if (r->code)
            take_bad(t, r->line, r->code, r->why);
        else
            rc = count_good(t, r);
    }
    t->n = 0;
    buf_clear(&t->text);
    return rc ? err_set(e, rc, "out of memory") : ERR_OK;
}
