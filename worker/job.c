/* job.c - a leased job inside the worker. */
#include "worker/job.h"

#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "model/chat.h"
#include "model/tokenizer.h"
#include "schema/endpoint.h"
#include "schema/wire.h"

#define COMPLETION_MAX_TOKENS 16 /* what OpenAI gives a completion that does not say */

/* Why a job cannot run: the fields of an error result. */
struct refusal {
    const char *code;
    const char *param; /* NULL: none */
    struct errmsg why;
};

static int refuse(struct refusal *f, const char *code, const char *param)
{
    f->code = code;
    f->param = param;
    return ERR_ARG;
}

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

/* --- the request ------------------------------------------------------------------------------ */

/* A number of the body, or dflt when it is absent or null. */
static int get_number(struct job *j, const char *name, double lo, double hi, double dflt,
                      double *out, struct refusal *f)
{
    const json_t *v = json_object_get(j->request, name);

    *out = dflt;
    if (!v || json_is_null(v)) return ERR_OK;
    if (!json_is_number(v) || json_number_value(v) < lo || json_number_value(v) > hi) {
        err_set(&f->why, ERR_ARG, "%s must be a number from %g to %g", name, lo, hi);
        return refuse(f, "invalid_request", name);
    }
    *out = json_number_value(v);
    return ERR_OK;
}

/* room: tokens that the context leaves for the answer; own_room: that this instance's KV leaves. */
static int get_max_tokens(struct job *j, const struct job_rules *rules, int room, int own_room,
                          struct refusal *f)
{
    const json_t *newer = json_object_get(j->request, "max_completion_tokens");
    const char *name = newer && !json_is_null(newer) ? "max_completion_tokens" : "max_tokens";
    double dflt = j->endpoint == ENDPOINT_CHAT ? (double)rules->default_max_tokens
                                               : COMPLETION_MAX_TOKENS,
           v;
    int rc = get_number(j, name, 1, 1e9, dflt, &v, f);

    if (rc) return rc;
    if (v < 1) v = own_room > 0 && own_room < room ? own_room : room; /* nobody said */
    j->sampling.max_tokens = v > room ? room : (int)v;
    return ERR_OK;
}

static int get_stops(struct job *j, struct refusal *f)
{
    json_t *v = json_object_get(j->request, "stop"), *one;
    size_t n = json_is_array(v) ? json_array_size(v) : json_is_string(v) ? 1 : 0;

    if (n > SAMPLING_MAX_STOPS) {
        err_set(&f->why, ERR_ARG, "stop holds %zu strings, at most %d", n, SAMPLING_MAX_STOPS);
        return refuse(f, "invalid_request", "stop");
    }
    for (size_t i = 0; i < n; i++) {
        one = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(one) || !json_string_length(one)) {
            err_set(&f->why, ERR_ARG, "stop[%zu] is not a string of at least one character", i);
            return refuse(f, "invalid_request", "stop");
        }
        j->sampling.stops[i].text = json_string_value(one);
        j->sampling.stops[i].len = json_string_length(one);
    }
    j->sampling.n_stops = (int)n;
    return ERR_OK;
}

/* Without a seed the row has one of its own, so that what was answered can be computed again. */
static uint64_t seed_of(const struct job *j)
{
    const json_t *v = json_object_get(j->request, "seed");
    int64_t key[2] = {j->job_id, j->generation};

    return (json_is_integer(v) ? (uint64_t)json_integer_value(v) : hash64(key, sizeof key)) &
           INT64_MAX;
}

static int get_sampling(struct job *j, struct refusal *f)
{
    struct sampling *s = &j->sampling;
    double temperature, top_p, min_p, top_k, min_tokens;
    int rc;

    if ((rc = get_number(j, "temperature", 0, 2, 1, &temperature, f))) return rc;
    if ((rc = get_number(j, "top_p", 0, 1, 1, &top_p, f))) return rc;
    if ((rc = get_number(j, "min_p", 0, 1, 0, &min_p, f))) return rc;
    if ((rc = get_number(j, "top_k", -1, 1e9, 0, &top_k, f))) return rc;
    if ((rc = get_number(j, "min_tokens", 0, 1e9, 0, &min_tokens, f))) return rc;
    s->temperature = (float)temperature;
    s->top_p = (float)top_p;
    s->min_p = (float)min_p;
    s->top_k = top_k < 0 ? 0 : (int)top_k;
    s->min_tokens = (int)min_tokens;
    s->ignore_eos = json_is_true(json_object_get(j->request, "ignore_eos"));
    s->seed = seed_of(j);
    return get_stops(j, f);
}

/* --- the prompt ------------------------------------------------------------------------------- */

static int encode_chat(struct job *j, const struct model *m, struct ids *ids, struct refusal *f)
{
    const json_t *messages = json_object_get(j->request, "messages");
    struct buf text = {0};
    int rc;

    if (!m->chat) {
        err_set(&f->why, ERR_ARG, "model %s cannot chat: %s", m->name, m->why_no_chat);
        return refuse(f, "no_chat_template", "messages");
    }
    rc = chat_render(m->chat, messages, true, NULL, &text, &f->why);
    /* The template wrote the special tokens out, the first one too. */
    if (!rc)
        rc = tokenizer_encode(m->tokenizer, text.data ? text.data : "", text.len,
                              TOKENIZER_SPECIALS, ids, &f->why);
    buf_fini(&text);
    return rc ? refuse(f, "chat_template", "messages") : ERR_OK;
}

static int encode_prompt(struct job *j, const struct model *m, struct ids *ids, struct refusal *f)
{
    const json_t *prompt = json_object_get(j->request, "prompt");

    if (!json_is_string(prompt)) {
        err_set(&f->why, ERR_ARG, "prompt is not a string");
        return refuse(f, "invalid_request", "prompt");
    }
    if (tokenizer_encode(m->tokenizer, json_string_value(prompt), json_string_length(prompt),
                         TOKENIZER_BOS, ids, &f->why))
        return refuse(f, "tokenizer", "prompt");
    return ERR_OK;
}

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

static int plan(struct job *j, const struct job_rules *rules, const struct job_room *r,
                struct refusal *f)
{
    int room = r->max_len - r->n_prompt, rc;

    if (room < 1) {
        err_set(&f->why, ERR_ARG,
                "the prompt has %d tokens, the model's context holds %d and the answer needs one",
                r->n_prompt, r->max_len);
        return refuse(f, "context_length_exceeded",
                      j->endpoint == ENDPOINT_CHAT ? "messages" : "prompt");
    }
    if ((rc = get_max_tokens(j, rules, room, r->kv_tokens - r->n_prompt, f))) return rc;
    return get_sampling(j, f);
}

struct result *job_plan(struct job *j, const struct job_rules *rules, const struct job_room *r)
{
    int64_t need;
    struct refusal f = {0};

    if (plan(j, rules, r, &f)) return error_result(j, &f);
    need = (int64_t)r->n_prompt + j->sampling.max_tokens;
    return need > r->kv_tokens ? job_put_back(j, "does_not_fit", need) : NULL;
}

static struct result *add(struct job *j, const struct ids *ids, struct engine *en)
{
    struct refusal f = {0};
    int rc = engine_add(en, ids->at, (int)ids->n, &j->sampling, j, &f.why);

    if (!rc) return NULL;
    if (rc == ERR_FULL)
        return job_put_back(j, "does_not_fit", (int64_t)ids->n + j->sampling.max_tokens);
    refuse(&f, "invalid_request", NULL);
    return error_result(j, &f);
}

struct result *job_start(struct job *j, const struct job_rules *rules, struct engine *en)
{
    struct ids ids = {0};
    struct refusal f = {0};
    struct job_room room = {.max_len = engine_max_len(en), .kv_tokens = engine_kv_tokens(en)};
    struct result *r = job_read(j);
    int rc;

    if (r) goto out;
    rc = j->endpoint == ENDPOINT_CHAT ? encode_chat(j, rules->model, &ids, &f)
                                      : encode_prompt(j, rules->model, &ids, &f);
    if (rc) {
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

/* The choices as JSON; the token ids too where the text cannot say what they spell. */
static char *choices_json(const struct job *j, const struct outcome *o, const struct buf *text,
                          bool repaired)
{
    json_t *choice, *list = json_array();
    json_t *words = json_stringn(text->data ? text->data : "", text->len);
    char *out;

    if (j->endpoint == ENDPOINT_CHAT)
        choice =
            json_pack("{s:i, s:{s:s, s:o}, s:n, s:s}", "index", 0, "message", "role", "assistant",
                      "content", words, "logprobs", "finish_reason", finish_name(o->finish));
    else
        choice = json_pack("{s:i, s:o, s:n, s:s}", "index", 0, "text", words, "logprobs",
                           "finish_reason", finish_name(o->finish));
    if (choice && repaired) {
        json_t *ids = json_array();

        for (int i = 0; i < o->n_ids; i++)
            json_array_append_new(ids, json_integer(o->ids[i]));
        json_object_set_new(choice, "token_ids", ids);
    }
    json_array_append_new(list, choice);
    out = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return out;
}

struct result *job_answer(const struct job *j, struct outcome *o)
{
    struct buf text = {0};
    struct result *r = NULL;
    struct wire_out w;
    char *choices = NULL;
    bool repaired = !utf8_is_valid(o->text.data ? o->text.data : "", o->text.len);

    if (utf8_repair(&text, o->text.data ? o->text.data : "", o->text.len)) goto out;
    if (!(choices = choices_json(j, o, &text, repaired))) goto out;
    if (!(r = begin_result(j, WIRE_DONE, &w, 11))) goto out;
    wire_put_str(&w, "finish_reason", finish_name(o->finish));
    wire_put_int(&w, "prompt_tokens", o->n_prompt);
    wire_put_int(&w, "cached_tokens", o->n_cached);
    wire_put_int(&w, "output_tokens", o->n_ids);
    wire_put_int(&w, "queue_ms", (o->started_ns - j->leased_ns) / 1000000);
    wire_put_int(&w, "prefill_ms", (o->first_ns - o->started_ns) / 1000000);
    wire_put_int(&w, "decode_ms", (o->done_ns - o->first_ns) / 1000000);
    wire_put_int(&w, "seed", (int64_t)j->sampling.seed);
    wire_put_int(&w, "batch_invariant", 1);
    wire_add_str(&w, "text", 4);
    wire_add_str(&w, text.data ? text.data : "", text.len);
    wire_put_str(&w, "choices", choices);
    r = end_result(r, &w);
out:
    free(choices);
    buf_fini(&text);
    buf_fini(&o->text);
    free(o->ids);
    o->ids = NULL;
    return r;
}
