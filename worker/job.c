/* job.c - a leased job inside the worker. */
#include "worker/job.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "schema/endpoint.h"
#include "schema/wire.h"
#include "worker/choices.h"
#include "worker/prompt.h"

#define MAX_CHOICES (int)(WIRE_MAX_BYTES / 2) /* the text of the first one goes beside them */

struct job *job_open(int64_t job_id, int64_t generation, int endpoint, const char *body, size_t len)
{
    struct job *j = calloc(1, sizeof *j + len + 1);

    if (!j) return NULL;
    j->job_id = job_id;
    j->generation = generation;
    j->endpoint = endpoint;
    j->body_len = len;
    memcpy(j->body, body, len);
    return j;
}

void job_close(struct job **j)
{
    if (!*j) return;
    for (int i = 0; (*j)->outcomes && i < (*j)->params.sampling.n; i++) {
        struct outcome *o = &(*j)->outcomes[i];

        buf_fini(&o->text);
        free(o->ids);
        free(o->logprobs);
    }
    free((*j)->outcomes);
    params_fini(&(*j)->params);
    json_decref((*j)->request);
    free(*j);
    *j = NULL;
}

/* --- results ---------------------------------------------------------------------------------- */

static struct result *begin_result(const struct job *j, int kind, struct wire_out *o, int more_keys)
{
    struct result *r = calloc(1, sizeof *r);

    if (!r) return NULL;
    r->job_id = j->job_id;
    r->generation = j->generation;
    r->kind = kind;
    wire_begin(o, 3 + more_keys);
    wire_put_int(o, "job", j->job_id);
    wire_put_int(o, "generation", j->generation);
    wire_put_int(o, "kind", kind);
    return r;
}

static struct result *end_result(struct result *r, struct wire_out *o)
{
    if (o->failed || buf_add(&r->packed, o->buf.data, o->buf.size)) result_free(&r);
    wire_fini(o);
    return r;
}

void result_free(struct result **r)
{
    if (!*r) return;
    buf_fini(&(*r)->packed);
    free(*r);
    *r = NULL;
}

struct result *job_put_back(const struct job *j, const char *why, int64_t need_tokens)
{
    struct wire_out o;
    struct result *r = begin_result(j, WIRE_PUT_BACK, &o, 2);

    if (!r) return NULL;
    wire_put_str(&o, "code", why);
    wire_put_int(&o, "need_tokens", need_tokens);
    return end_result(r, &o);
}

static struct result *error_result(const struct job *j, const struct refusal *f)
{
    struct wire_out o;
    struct result *r = begin_result(j, WIRE_ERROR, &o, 5);

    if (!r) return NULL;
    wire_put_str(&o, "code", f->code);
    wire_put_str(&o, "message", f->why.text);
    wire_put_str(&o, "param", f->param ? f->param : "");
    wire_put_int(&o, "attempt", j->attempt);
    wire_put_int(&o, "final", 1); /* the same request gives the same refusal anywhere */
    return end_result(r, &o);
}

/* --- the prompt ------------------------------------------------------------------------------- */

struct result *job_read(struct job *j)
{
    struct refusal f = {0};
    json_error_t why;

    j->request = json_loadb(j->body, j->body_len, JSON_ALLOW_NUL, &why);
    if (json_is_object(j->request)) return NULL;
    err_set(&f.why, ERR_ARG, "the body is no JSON object: %s",
            j->request ? "another type" : why.text);
    refuse(&f, "invalid_request", NULL);
    return error_result(j, &f);
}

/* Without a seed the row has one of its own, so that what was answered can be computed again. */
static uint64_t own_seed(const struct job *j)
{
    int64_t key[2] = {j->job_id, j->generation};

    return hash64(key, sizeof key);
}

static int plan(struct job *j, const struct job_rules *rules, const struct job_room *r,
                struct refusal *f)
{
    const struct params_limits limits = {.room = r->max_len - r->n_prompt,
                                         .own_room = r->kv_tokens - r->n_prompt,
                                         .default_max_tokens = rules->default_max_tokens,
                                         .vocab_size =
                                             rules->model ? rules->model->config.vocab_size : 0,
                                         .seed = own_seed(j)};

    if (limits.room < 1) {
        err_set(&f->why, ERR_ARG,
                "the prompt has %d tokens, the model's context holds %d and the answer needs one",
                r->n_prompt, r->max_len);
        return refuse(f, "context_length_exceeded",
                      j->endpoint == ENDPOINT_CHAT ? "messages" : "prompt");
    }
    return params_read(&j->params, j->request, (enum endpoint)j->endpoint, &limits, f);
}

struct result *job_plan(struct job *j, const struct job_rules *rules, const struct job_room *r)
{
    struct refusal f = {0};
    const int rc = plan(j, rules, r, &f);
    int64_t need;

    j->batch_dependent = rules->batch_dependent;
    j->tokenizer = rules->model ? rules->model->tokenizer : NULL;
    if (rc == ERR_ARG) return error_result(j, &f);
    if (!rc) j->outcomes = calloc((size_t)j->params.sampling.n, sizeof *j->outcomes);
    if (!j->outcomes) return job_put_back(j, "out_of_memory", 0);
    need = (int64_t)r->n_prompt + j->params.sampling.max_tokens;
    return need > r->kv_tokens ? job_put_back(j, "does_not_fit", need) : NULL;
}

static struct result *add(struct job *j, const struct ids *ids, struct engine *en)
{
    struct refusal f = {0};
    int rc = engine_add(en, ids->at, (int)ids->n, &j->params.sampling, j, &f.why);

    if (!rc) return NULL;
    if (rc == ERR_FULL)
        return job_put_back(j, "does_not_fit", (int64_t)ids->n + j->params.sampling.max_tokens);
    refuse(&f, "invalid_request", NULL);
    return error_result(j, &f);
}

struct result *job_start(struct job *j, const struct job_rules *rules, struct engine *en)
{
    struct ids ids = {0};
    struct refusal f = {0};
    struct job_room room = {.max_len = engine_max_len(en), .kv_tokens = engine_kv_tokens(en)};
    const struct model *m = rules->model;
    const struct prompt_source source = {m->name, m->tokenizer, m->chat, m->why_no_chat};
    struct result *r = job_read(j);

    if (r) goto out;
    if (prompt_encode(&source, (enum endpoint)j->endpoint, j->request, &ids, &f)) {
        r = error_result(j, &f);
        goto out;
    }
    room.n_prompt = (int)ids.n;
    r = job_plan(j, rules, &room);
    if (!r) r = add(j, &ids, en);
out:
    ids_fini(&ids);
    return r;
}

/* --- the answer ------------------------------------------------------------------------------- */

bool job_collect(struct job *j, struct outcome *o)
{
    j->outcomes[o->index] = *o;
    return ++j->n_outcomes == j->params.sampling.n;
}

bool job_is_aborted(const struct job *j)
{
    for (int i = 0; i < j->n_outcomes; i++)
        if (j->outcomes[i].finish == FINISH_ABORT) return true;
    return false;
}

/* Of several answers: from the first that was begun to the last that ended. */
struct spans {
    int64_t started_ns, first_ns, done_ns;
    int n_ids;
};

static struct spans spans_of(const struct job *j)
{
    struct spans all = {INT64_MAX, INT64_MAX, 0, 0};

    for (int i = 0; i < j->params.sampling.n; i++) {
        const struct outcome *o = &j->outcomes[i];

        if (o->started_ns < all.started_ns) all.started_ns = o->started_ns;
        if (o->first_ns < all.first_ns) all.first_ns = o->first_ns;
        if (o->done_ns > all.done_ns) all.done_ns = o->done_ns;
        all.n_ids += o->n_ids;
    }
    return all;
}

static struct result *too_large(const struct job *j, size_t bytes)
{
    struct refusal f = {0};

    err_set(&f.why, ERR_ARG, "the choices take %zu bytes, and a result holds %d: ask for less",
            bytes, MAX_CHOICES);
    refuse(&f, "answer_too_large", NULL);
    return error_result(j, &f);
}

/* NULL: each of its answers is one. */
static struct result *no_token(const struct job *j)
{
    struct refusal f = {0};

    for (int i = 0; i < j->params.sampling.n; i++) {
        const struct outcome *o = &j->outcomes[i];

        if (o->finish != FINISH_NO_TOKEN) continue;
        err_set(&f.why, ERR_ARG,
                "no token can follow the %d tokens of the answer: the model's logits are no "
                "finite numbers, or the request rules all tokens out",
                o->n_ids);
        refuse(&f, "no_token", NULL);
        return error_result(j, &f);
    }
    return NULL;
}

struct result *job_answer(const struct job *j)
{
    const struct outcome *first = &j->outcomes[0];
    const struct spans all = spans_of(j);
    const char *bytes = first->text.data ? first->text.data : "";
    struct buf text = {0};
    struct result *r = NULL;
    struct wire_out w;
    char *choices = NULL;

    if ((r = no_token(j))) return r;
    choices = choices_json(j->outcomes, j->params.sampling.n, (enum endpoint)j->endpoint,
                           j->tokenizer, &j->params.sampling);
    if (choices && strlen(choices) > MAX_CHOICES) {
        r = too_large(j, strlen(choices));
        goto out;
    }
    if (!choices || utf8_repair(&text, bytes, first->text.len)) goto out;
    if (!(r = begin_result(j, WIRE_DONE, &w, 11))) goto out;
    wire_put_str(&w, "finish_reason", finish_name(first->finish));
    wire_put_int(&w, "prompt_tokens", first->n_prompt);
    wire_put_int(&w, "cached_tokens", first->n_cached);
    wire_put_int(&w, "output_tokens", all.n_ids);
    wire_put_int(&w, "queue_ms", (all.started_ns - j->leased_ns) / 1000000);
    wire_put_int(&w, "prefill_ms", (all.first_ns - all.started_ns) / 1000000);
    wire_put_int(&w, "decode_ms", (all.done_ns - all.first_ns) / 1000000);
    wire_put_int(&w, "seed", (int64_t)j->params.sampling.seed);
    wire_put_int(&w, "batch_invariant", !j->batch_dependent);
    wire_add_str(&w, "text", 4);
    wire_add_str(&w, text.data ? text.data : "", text.len);
    wire_put_str(&w, "choices", choices);
    r = end_result(r, &w);
out:
    free(choices);
    buf_fini(&text);
    return r;
}
