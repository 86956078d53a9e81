/* request_fields.c - the fields of a request body. */
#include "clients/request_fields.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Values of a lacking field that change nothing. */
#define IF_FALSE    (1u << 0)
#define IF_TRUE     (1u << 1)
#define IF_ZERO     (1u << 2)
#define IF_ONE      (1u << 3)
#define IF_EMPTY    (1u << 4) /* "", [] or {} */
#define IF_NONE     (1u << 5) /* "none" */
#define IF_AUTO     (1u << 6) /* "auto" */
#define IF_MEDIUM   (1u << 7) /* "medium" */
#define IF_TEXT     (1u << 8) /* {"type": "text"} or ["text"] */
#define IF_ENDPOINT (1u << 9) /* false for a chat, true for a completion */

enum wants { ANY, BOOLEAN, FALSE_ONLY, INTEGER, NUMBER, OVER, STOPS, IDS, BIASES, OBJECT, NAME };

struct field {
    const char *name;
    enum field_kind kind;
    unsigned neutral; /* FIELD_LACKING */
    enum wants wants; /* FIELD_KNOWN, as the rest */
    double lo, hi;    /* INTEGER and NUMBER: lo <= value <= hi; OVER: lo < value; IDS, BIASES: of
                         their number */
    const char *text; /* what it must be, for people */
};

#define KNOWN(name, wants, lo, hi, text)                                                           \
    {                                                                                              \
        name, FIELD_KNOWN, 0, wants, lo, hi, text                                                  \
    }
#define HARMLESS(name)                                                                             \
    {                                                                                              \
        name, FIELD_HARMLESS, 0, ANY, 0, 0, NULL                                                   \
    }
#define LACKING(name, neutral)                                                                     \
    {                                                                                              \
        name, FIELD_LACKING, neutral, ANY, 0, 0, NULL                                              \
    }

/* In strcmp's order: searched by halves. */
static const struct field FIELDS[] = {
    LACKING("add_generation_prompt", IF_TRUE),
    LACKING("add_special_tokens", IF_ENDPOINT),
    KNOWN("allowed_token_ids", IDS, 1, INFINITY, "an array of token ids, not empty"),
    LACKING("audio", 0),
    LACKING("bad_words", IF_EMPTY),
    KNOWN("best_of", INTEGER, 1, REQUEST_MAX_N, "an integer from 1 to 128"),
    HARMLESS("cache_salt"),
    LACKING("chat_template", 0),
    KNOWN("chat_template_kwargs", OBJECT, 0, 0, "an object"),
    LACKING("continue_final_message", IF_FALSE),
    LACKING("detokenize", IF_TRUE),
    LACKING("documents", IF_EMPTY),
    LACKING("early_stopping", IF_FALSE),
    LACKING("echo", IF_FALSE),
    KNOWN("frequency_penalty", NUMBER, -2, 2, "a number from -2 to 2"),
    LACKING("function_call", IF_NONE | IF_AUTO),
    LACKING("functions", IF_EMPTY),
    LACKING("guided_choice", 0),
    HARMLESS("guided_decoding_backend"),
    LACKING("guided_grammar", 0),
    LACKING("guided_json", 0),
    LACKING("guided_regex", 0),
    LACKING("guided_whitespace_pattern", 0),
    KNOWN("ignore_eos", BOOLEAN, 0, 0, "true or false"),
    LACKING("include_reasoning", IF_TRUE),
    KNOWN("include_stop_str_in_output", BOOLEAN, 0, 0, "true or false"),
    LACKING("kv_transfer_params", IF_EMPTY),
    LACKING("length_penalty", IF_ONE),
    KNOWN("logit_bias", BIASES, 0, REQUEST_MAX_BIASES,
          "an object of at most 1024 token ids (\"50256\") with numbers from -100 to 100"),
    LACKING("logits_processors", IF_EMPTY),
    LACKING("logprob_token_ids", IF_EMPTY),
    KNOWN("logprobs", ANY, 0, REQUEST_MAX_LOGPROBS,
          "true or false for a chat, an integer from 0 to 20 for a completion"),
    LACKING("lora", IF_EMPTY),
    LACKING("lora_path", 0),
    LACKING("lora_request", 0),
    KNOWN("max_completion_tokens", INTEGER, 1, REQUEST_MAX_TOKENS, "a positive integer"),
    LACKING("max_repetition_pattern_size", IF_ZERO),
    KNOWN("max_tokens", INTEGER, 1, REQUEST_MAX_TOKENS, "a positive integer"),
    LACKING("media_io_kwargs", IF_EMPTY),
    KNOWN("messages", ANY, 0, 0, NULL),
    HARMLESS("metadata"),
    KNOWN("min_p", NUMBER, 0, 1, "a number from 0 to 1"),
    LACKING("min_repetition_pattern_size", IF_ZERO),
    KNOWN("min_tokens", INTEGER, 0, REQUEST_MAX_TOKENS, "an integer, 0 or more"),
    LACKING("mm_processor_kwargs", IF_EMPTY),
    LACKING("modalities", IF_TEXT),
    KNOWN("model", NAME, 1, REQUEST_MAX_MODEL, "a string of 1 to 512 bytes"),
    KNOWN("n", INTEGER, 1, REQUEST_MAX_N, "an integer from 1 to 128"),
    HARMLESS("parallel_tool_calls"),
    LACKING("prediction", 0),
    KNOWN("presence_penalty", NUMBER, -2, 2, "a number from -2 to 2"),
    HARMLESS("priority"),
    KNOWN("prompt", ANY, 0, 0, NULL),
    HARMLESS("prompt_cache_key"),
    HARMLESS("prompt_cache_retention"),
    LACKING("prompt_embeds", 0),
    LACKING("prompt_logprobs", 0),
    LACKING("reasoning_effort", 0),
    LACKING("repetition_detection", IF_EMPTY),
    LACKING("repetition_min_count", IF_ZERO),
    KNOWN("repetition_penalty", OVER, 0, 100, "a number over 0 and at most 100"),
    HARMLESS("request_id"),
    LACKING("response_format", IF_TEXT),
    LACKING("return_token_ids", IF_FALSE),
    LACKING("return_tokens_as_token_ids", IF_FALSE),
    HARMLESS("safety_identifier"),
    KNOWN("seed", INTEGER, -INFINITY, INFINITY, "an integer of at most 64 bits"),
    HARMLESS("service_tier"),
    KNOWN("skip_special_tokens", BOOLEAN, 0, 0, "true or false"),
    LACKING("spaces_between_special_tokens", IF_TRUE),
    KNOWN("stop", STOPS, 0, 0, "a string or an array of at most 16 strings, none of them empty"),
    KNOWN("stop_token_ids", IDS, 0, REQUEST_MAX_STOP_IDS,
          "an array of at most 1024 token ids, integers of 0 or more"),
    HARMLESS("store"),
    KNOWN("stream", FALSE_ONLY, 0, 0, "false: answers are read when they are complete"),
    HARMLESS("stream_options"),
    LACKING("structural_tag", 0),
    LACKING("structured_outputs", IF_EMPTY),
    LACKING("suffix", IF_EMPTY),
    KNOWN("temperature", NUMBER, 0, 2, "a number from 0 to 2"),
    LACKING("thinking_token_budget", 0),
    LACKING("tool_choice", IF_NONE | IF_AUTO),
    LACKING("tools", IF_EMPTY),
    KNOWN("top_k", INTEGER, -1, REQUEST_MAX_TOKENS, "a positive integer, or 0 or -1 for off"),
    KNOWN("top_logprobs", INTEGER, 0, REQUEST_MAX_LOGPROBS, "an integer from 0 to 20"),
    KNOWN("top_p", OVER, 0, 1, "a number over 0 and at most 1"),
    LACKING("truncate_prompt_tokens", 0),
    LACKING("use_beam_search", IF_FALSE),
    HARMLESS("user"),
    LACKING("verbosity", IF_MEDIUM),
    LACKING("vllm_xargs", IF_EMPTY),
    LACKING("web_search_options", 0),
};
#define N_FIELDS (sizeof FIELDS / sizeof FIELDS[0])

static int by_name(const void *key, const void *field)
{
    return strcmp(key, ((const struct field *)field)->name);
}

static const struct field *find(const char *name)
{
    return bsearch(name, FIELDS, N_FIELDS, sizeof FIELDS[0], by_name);
}

const char *request_field_name(size_t i)
{
    return i < N_FIELDS ? FIELDS[i].name : NULL;
}

enum field_kind request_field_kind(const char *name)
{
    const struct field *f = find(name);

    return f ? f->kind : FIELD_UNKNOWN;
}

static bool string_is(const json_t *v, const char *text)
{
    return json_is_string(v) && !strcmp(json_string_value(v), text);
}

static bool is_empty(const json_t *v)
{
    if (json_is_string(v)) return json_string_length(v) == 0;
    if (json_is_array(v)) return json_array_size(v) == 0;
    return json_is_object(v) && json_object_size(v) == 0;
}

static bool is_text(const json_t *v)
{
    if (json_is_array(v)) return json_array_size(v) == 1 && string_is(json_array_get(v, 0), "text");
    return json_object_size(v) == 1 && string_is(json_object_get(v, "type"), "text");
}

static bool number_is(const json_t *v, double want)
{
    double d = json_is_number(v) ? json_number_value(v) : NAN;

    return !(d < want) && !(d > want) && !isnan(d);
}

static bool is_neutral(unsigned neutral, const json_t *v, enum endpoint endpoint)
{
    if (neutral & IF_ENDPOINT) neutral |= endpoint == ENDPOINT_CHAT ? IF_FALSE : IF_TRUE;
    return (neutral & IF_FALSE && json_is_false(v)) || (neutral & IF_TRUE && json_is_true(v)) ||
           (neutral & IF_ZERO && number_is(v, 0)) || (neutral & IF_ONE && number_is(v, 1)) ||
           (neutral & IF_EMPTY && is_empty(v)) || (neutral & IF_NONE && string_is(v, "none")) ||
           (neutral & IF_AUTO && string_is(v, "auto")) ||
           (neutral & IF_MEDIUM && string_is(v, "medium")) || (neutral & IF_TEXT && is_text(v));
}

static bool is_stop(const json_t *v)
{
    return json_is_string(v) && json_string_length(v) > 0;
}

static bool is_stops(const json_t *v)
{
    if (!json_is_array(v)) return is_stop(v);
    if (json_array_size(v) > REQUEST_MAX_STOPS) return false;
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_stop(json_array_get(v, i))) return false;
    return true;
}

static bool in_range(const struct field *f, double value)
{
    return value >= f->lo && value <= f->hi;
}

static bool is_ids(const struct field *f, const json_t *v)
{
    if (!json_is_array(v) || !in_range(f, (double)json_array_size(v))) return false;
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *id = json_array_get(v, i);

        if (!json_is_integer(id) || json_integer_value(id) < 0 ||
            json_integer_value(id) > INT32_MAX)
            return false;
    }
    return true;
}

/* A number of at most nine digits, as a key. */
static bool is_id_key(const char *name)
{
    const size_t n = strspn(name, "0123456789");

    return n > 0 && n <= 9 && !name[n];
}

static bool is_biases(const struct field *f, const json_t *v)
{
    const char *name;
    json_t *value;

    if (!json_is_object(v) || !in_range(f, (double)json_object_size(v))) return false;
    json_object_foreach((json_t *)(uintptr_t)v, name, value)
    {
        const double d = json_is_number(value) ? json_number_value(value) : NAN;

        if (!is_id_key(name) || !(d >= -100 && d <= 100)) return false;
    }
    return true;
}

static bool is_wanted(const struct field *f, const json_t *v)
{
    switch (f->wants) {
    case ANY: return true;
    case BOOLEAN: return json_is_boolean(v);
    case FALSE_ONLY: return json_is_false(v);
    case INTEGER: return json_is_integer(v) && in_range(f, json_number_value(v));
    case NUMBER: return json_is_number(v) && in_range(f, json_number_value(v));
    case OVER:
        return json_is_number(v) && in_range(f, json_number_value(v)) && !number_is(v, f->lo);
    case STOPS: return is_stops(v);
    case IDS: return is_ids(f, v);
    case BIASES: return is_biases(f, v);
    case OBJECT: return json_is_object(v);
    case NAME: return json_is_string(v) && in_range(f, (double)json_string_length(v));
    }
    return false;
}

/* Says what the field must be, and what it is when that is short enough to help. */
static int refuse_value(const struct field *f, const json_t *v, struct row_error *err)
{
    char text[64];
    size_t n = json_is_array(v) || json_is_object(v)
                   ? sizeof text
                   : json_dumpb(v, text, sizeof text - 1, JSON_COMPACT | JSON_ENCODE_ANY);

    text[n < sizeof text ? n : 0] = '\0';
    if (n < sizeof text)
        row_error_set(err, ROW_INVALID, f->name, "%s must be %s, not %s", f->name, f->text, text);
    else
        row_error_set(err, ROW_INVALID, f->name, "%s must be %s", f->name, f->text);
    return ERR_FORMAT;
}

int request_field_check(const char *name, const json_t *value, enum endpoint endpoint,
                        struct row_error *err)
{
    const struct field *f = find(name);

    if (!f || json_is_null(value) || f->kind == FIELD_HARMLESS) return ERR_OK;
    if (f->kind == FIELD_LACKING) {
        if (is_neutral(f->neutral, value, endpoint)) return ERR_OK;
        row_error_set(err, ROW_UNSUPPORTED, name,
                      "%s is not supported, and would change the answer", name);
        return ERR_FORMAT;
    }
    return is_wanted(f, value) ? ERR_OK : refuse_value(f, value, err);
}
