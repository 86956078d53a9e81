/* params.c - what a request asks of sampling. */
#include "worker/params.h"

#include <stdlib.h>
#include <string.h>

#define COMPLETION_MAX_TOKENS 16 /* what OpenAI gives a completion that does not say */

int refuse(struct refusal *f, const char *code, const char *param)
{
    f->code = code;
    f->param = param;
    return ERR_ARG;
}

static int no_memory(struct refusal *f)
{
    err_set(&f->why, ERR_NOMEM, "no memory for the request's parameters");
    refuse(f, "out_of_memory", NULL);
    return ERR_NOMEM;
}

static const json_t *get(const json_t *request, const char *name)
{
    const json_t *v = json_object_get(request, name);

    return json_is_null(v) ? NULL : v;
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* A number of the body; *out keeps what it has when it is absent. */
static int get_number(const json_t *request, const char *name, double lo, double hi, float *out,
                      struct refusal *f)
{
    const json_t *v = get(request, name);

    if (!v) return ERR_OK;
    if (!json_is_number(v) || json_number_value(v) < lo || json_number_value(v) > hi) {
        err_set(&f->why, ERR_ARG, "%s must be a number from %g to %g", name, lo, hi);
        return refuse(f, "invalid_request", name);
    }
    *out = (float)json_number_value(v);
    return ERR_OK;
}

static int get_integer(const json_t *request, const char *name, int lo, int hi, int *out,
                       struct refusal *f)
{
    const json_t *v = get(request, name);

    if (!v) return ERR_OK;
    if (!json_is_integer(v) || json_integer_value(v) < lo || json_integer_value(v) > hi) {
        err_set(&f->why, ERR_ARG, "%s must be an integer from %d to %d", name, lo, hi);
        return refuse(f, "invalid_request", name);
    }
    *out = (int)json_integer_value(v);
    return ERR_OK;
}

static int get_max_tokens(struct params *p, const json_t *request, enum endpoint endpoint,
                          const struct params_limits *l, struct refusal *f)
{
    const char *name =
        get(request, "max_completion_tokens") ? "max_completion_tokens" : "max_tokens";
    int n = 0, rc = get_integer(request, name, 1, INT32_MAX, &n, f);

    if (rc) return rc;
    if (!n && endpoint == ENDPOINT_COMPLETION) n = COMPLETION_MAX_TOKENS;
    if (!n && l->default_max_tokens)
        n = l->default_max_tokens < l->room ? (int)l->default_max_tokens : l->room;
    if (!n) n = l->own_room > 0 && l->own_room < l->room ? l->own_room : l->room; /* nobody said */
    p->sampling.max_tokens = n > l->room ? l->room : n;
    return ERR_OK;
}

/* --- stops ------------------------------------------------------------------------------------ */

static int get_stops(struct params *p, const json_t *request, struct refusal *f)
{
    const json_t *v = get(request, "stop"), *one;
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
        p->sampling.stops[i].text = json_string_value(one);
        p->sampling.stops[i].len = json_string_length(one);
    }
    p->sampling.n_stops = (int)n;
    return ERR_OK;
}

/* --- lists of ids ----------------------------------------------------------------------------- */

static int refuse_id(const char *name, const struct params_limits *l, long long id,
                     struct refusal *f)
{
    err_set(&f->why, ERR_ARG, "%s holds %lld, and the ids of this model are 0 to %d", name, id,
            l->vocab_size - 1);
    return refuse(f, "invalid_request", name);
}

static bool is_id(const json_t *v, const struct params_limits *l)
{
    return json_is_integer(v) && json_integer_value(v) >= 0 &&
           json_integer_value(v) < l->vocab_size;
}

static int get_stop_ids(struct params *p, const json_t *request, const struct params_limits *l,
                        struct refusal *f)
{
    const json_t *v = get(request, "stop_token_ids");
    const size_t n = json_array_size(v);

    if (!n || !l->vocab_size) return ERR_OK;
    p->stop_ids = malloc(n * sizeof *p->stop_ids);
    if (!p->stop_ids) return no_memory(f);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(v, i);

        if (!is_id(id, l)) return refuse_id("stop_token_ids", l, json_integer_value(id), f);
        p->stop_ids[i] = (int32_t)json_integer_value(id);
    }
    p->sampling.stop_ids = p->stop_ids;
    p->sampling.n_stop_ids = (int)n;
    return ERR_OK;
}

static int get_biases(struct params *p, const json_t *request, const struct params_limits *l,
                      struct refusal *f)
{
    const json_t *v = get(request, "logit_bias");
    const char *name;
    json_t *value;

    if (!json_object_size(v) || !l->vocab_size) return ERR_OK;
    p->biases = malloc(json_object_size(v) * sizeof *p->biases);
    if (!p->biases) return no_memory(f);
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
    {
        struct bias *b = &p->biases[p->sampling.n_biases];
        char *end;
        const long long id = strtoll(name, &end, 10);

        if (*end || end == name || id < 0 || id >= l->vocab_size)
            return refuse_id("logit_bias", l, id, f);
        if (!json_is_number(value) || !(json_number_value(value) >= -100) ||
            !(json_number_value(value) <= 100)) {
            err_set(&f->why, ERR_ARG, "logit_bias of token %lld must be a number from -100 to 100",
                    id);
            return refuse(f, "invalid_request", "logit_bias");
        }
        *b = (struct bias){(int32_t)id, (float)json_number_value(value)};
        p->sampling.n_biases++;
    }
    p->sampling.biases = p->biases;
    return ERR_OK;
}

static int get_allowed(struct params *p, const json_t *request, const struct params_limits *l,
                       struct refusal *f)
{
    const json_t *v = get(request, "allowed_token_ids");
    const size_t n = json_array_size(v);

    if (!n || !l->vocab_size) return ERR_OK;
    p->allowed = calloc(mask_words(l->vocab_size), sizeof *p->allowed);
    if (!p->allowed) return no_memory(f);
    for (size_t i = 0; i < n; i++) {
        const json_t *id = json_array_get(v, i);

        if (!is_id(id, l)) return refuse_id("allowed_token_ids", l, json_integer_value(id), f);
        mask_put(p->allowed, (int32_t)json_integer_value(id));
    }
    p->sampling.allowed = p->allowed;
    return ERR_OK;
}

/* --- all -------------------------------------------------------------------------------------- */

/* Chats say true and top_logprobs, completions a number. */
static int get_logprobs(struct sampling *s, const json_t *request, enum endpoint endpoint,
                        struct refusal *f)
{
    const json_t *v = get(request, "logprobs");
    const bool chat = endpoint == ENDPOINT_CHAT;

    s->logprobs = chat ? json_is_true(v) : json_is_integer(v);
    if (!s->logprobs) return ERR_OK;
    return get_integer(request, chat ? "top_logprobs" : "logprobs", 0, SAMPLING_MAX_LOGPROBS,
                       &s->top_logprobs, f);
}

static int get_choice(struct sampling *s, const json_t *request, struct refusal *f)
{
    int rc;

    s->temperature = s->top_p = s->repetition_penalty = 1;
    if ((rc = get_number(request, "temperature", 0, 2, &s->temperature, f))) return rc;
    if ((rc = get_number(request, "top_p", 0, 1, &s->top_p, f))) return rc;
    if ((rc = get_number(request, "min_p", 0, 1, &s->min_p, f))) return rc;
    if ((rc = get_integer(request, "top_k", -1, INT32_MAX, &s->top_k, f))) return rc;
    if (s->top_k < 0) s->top_k = 0;
    if ((rc = get_number(request, "presence_penalty", -2, 2, &s->presence_penalty, f))) return rc;
    if ((rc = get_number(request, "frequency_penalty", -2, 2, &s->frequency_penalty, f))) return rc;
    return get_number(request, "repetition_penalty", 0, 100, &s->repetition_penalty, f);
}

int params_read(struct params *p, const json_t *request, enum endpoint endpoint,
                const struct params_limits *l, struct refusal *f)
{
    struct sampling *s = &p->sampling;
    const json_t *seed = get(request, "seed");
    int rc;

    params_fini(p);
    s->n = 1;
    s->seed = (json_is_integer(seed) ? (uint64_t)json_integer_value(seed) : l->seed) & INT64_MAX;
    s->ignore_eos = json_is_true(get(request, "ignore_eos"));
    s->keep_specials = json_is_false(get(request, "skip_special_tokens"));
    s->include_stop = json_is_true(get(request, "include_stop_str_in_output"));
    if ((rc = get_max_tokens(p, request, endpoint, l, f))) return rc;
    if ((rc = get_integer(request, "min_tokens", 0, INT32_MAX, &s->min_tokens, f))) return rc;
    if ((rc = get_integer(request, "n", 1, SAMPLING_MAX_N, &s->n, f))) return rc;
    if ((rc = get_choice(s, request, f))) return rc;
    if ((rc = get_logprobs(s, request, endpoint, f))) return rc;
    if ((rc = get_stops(p, request, f))) return rc;
    if ((rc = get_stop_ids(p, request, l, f))) return rc;
    if ((rc = get_biases(p, request, l, f))) return rc;
    return get_allowed(p, request, l, f);
}

void params_fini(struct params *p)
{
    free(p->stop_ids);
    free(p->biases);
    free(p->allowed);
    memset(p, 0, sizeof *p);
}
