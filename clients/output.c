/* output.c - the line that a finished row becomes. */
#include "clients/output.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"
#include "clients/jsontext.h"

static const char *const FORMAT[] = {
    [OUTPUT_OPENAI] = "openai",
    [OUTPUT_JSONL] = "jsonl",
    [OUTPUT_CSV] = "csv",
};

static const struct {
    const char *code;
    int status;
} STATUS[] = {
    {"answer_too_large", 400},
    {"batch_cancelled", 0},
    {"batch_expired", 0},
    {"chat_template", 400},
    {"context_length_exceeded", 400},
    {"duplicate_custom_id", 400},
    {"invalid_json_line", 400},
    {"invalid_request", 400},
    {"invalid_utf8", 400},
    {"line_too_long", 413},
    {"model_not_found", 404},
    {"no_chat_template", 400},
    {"unsupported_parameter", 400},
    {"url_mismatch", 404},
};

int output_format_parse(enum output_format *out, const char *name)
{
    for (int i = 0; i <= OUTPUT_CSV; i++)
        if (!strcmp(FORMAT[i], name)) {
            *out = (enum output_format)i;
            return ERR_OK;
        }
    return ERR_ARG;
}

int output_status(const char *error_code)
{
    for (size_t i = 0; i < sizeof STATUS / sizeof STATUS[0]; i++)
        if (!strcmp(STATUS[i].code, error_code)) return STATUS[i].status;
    return 500;
}

#define DIGITS 9 /* of a logprob, which is a float */

/* Appends a literal. */
#define LIT(out, text) buf_add(out, text, sizeof(text) - 1)

#define NAME_BYTES 24

/* Names the row among all batches of a file: the same row has the same ids in every export. */
static void row_name(char out[NAME_BYTES], const struct output_row *row)
{
    const char *batch = row->batch ? row->batch : "";
    const uint64_t hash = row->batch_hash ? row->batch_hash : hash64(batch, strlen(batch));
    const uint64_t part[2] = {hash >> 32, (uint64_t)row->job_id};
    char *at = out + NAME_BYTES;

    for (int i = 0; i < 16; i++)
        *--at = "0123456789abcdef"[part[1] >> 4 * i & 15];
    for (int i = 0; i < 8; i++)
        *--at = "0123456789abcdef"[part[0] >> 4 * i & 15];
}

static void add_usage(struct buf *out, const struct output_row *row)
{
    LIT(out, "{\"prompt_tokens\":");
    buf_addi(out, row->prompt_tokens);
    LIT(out, ",\"completion_tokens\":");
    buf_addi(out, row->completion_tokens);
    LIT(out, ",\"total_tokens\":");
    buf_addi(out, row->prompt_tokens + row->completion_tokens);
    LIT(out, ",\"prompt_tokens_details\":{\"cached_tokens\":");
    buf_addi(out, row->cached_tokens);
    LIT(out, "}}");
}

static void add_text(struct buf *out, const struct output_row *row)
{
    jsontext_add(out, row->text ? row->text : "", row->text_len);
}

/* The array as it was stored; false: there is none, or it is no such array. */
static bool add_stored(struct buf *out, const struct output_row *row)
{
    json_t *list = row->choices ? json_loads(row->choices, 0, NULL) : NULL;
    char *text = json_is_array(list) && json_array_size(list)
                     ? json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS))
                     : NULL;

    json_decref(list);
    if (!text) return false;
    buf_adds(out, text);
    free(text);
    return true;
}

static void add_chat_choice(struct buf *out, const struct output_row *row)
{
    LIT(out, "[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":");
    add_text(out, row);
    LIT(out, ",\"refusal\":null},\"logprobs\":null,\"finish_reason\":");
    jsontext_adds(out, row->finish_reason);
    LIT(out, "}]");
}

static void add_completion_choice(struct buf *out, const struct output_row *row)
{
    LIT(out, "[{\"text\":");
    add_text(out, row);
    LIT(out, ",\"index\":0,\"logprobs\":null,\"finish_reason\":");
    jsontext_adds(out, row->finish_reason);
    LIT(out, "}]");
}

static void add_chat(struct buf *out, const struct output_row *row, const char *name)
{
    LIT(out, "{\"id\":\"chatcmpl-");
    buf_add(out, name, NAME_BYTES);
    LIT(out, "\",\"object\":\"chat.completion\",\"created\":");
    buf_addi(out, row->created_s);
    LIT(out, ",\"model\":");
    jsontext_adds(out, row->model);
    LIT(out, ",\"choices\":");
    if (!add_stored(out, row)) add_chat_choice(out, row);
    LIT(out, ",\"usage\":");
    add_usage(out, row);
    LIT(out, ",\"system_fingerprint\":");
    jsontext_adds(out, row->system_fingerprint);
    buf_addc(out, '}');
}

static void add_completion(struct buf *out, const struct output_row *row, const char *name)
{
    LIT(out, "{\"id\":\"cmpl-");
    buf_add(out, name, NAME_BYTES);
    LIT(out, "\",\"object\":\"text_completion\",\"created\":");
    buf_addi(out, row->created_s);
    LIT(out, ",\"model\":");
    jsontext_adds(out, row->model);
    LIT(out, ",\"system_fingerprint\":");
    jsontext_adds(out, row->system_fingerprint);
    LIT(out, ",\"choices\":");
    if (!add_stored(out, row)) add_completion_choice(out, row);
    LIT(out, ",\"usage\":");
    add_usage(out, row);
    buf_addc(out, '}');
}

static void add_error_body(struct buf *out, const struct output_row *row)
{
    LIT(out, "{\"error\":{\"message\":");
    jsontext_adds(out, row->error_message);
    LIT(out, ",\"type\":");
    jsontext_adds(out, row->http_status < 500 ? "invalid_request_error" : "server_error");
    LIT(out, ",\"param\":");
    jsontext_adds(out, row->error_param);
    LIT(out, ",\"code\":");
    jsontext_adds(out, row->error_code);
    LIT(out, "}}");
}

static void add_response(struct buf *out, const struct output_row *row, const char *name)
{
    LIT(out, "{\"status_code\":");
    buf_addi(out, row->error_code ? row->http_status : 200);
    LIT(out, ",\"request_id\":\"req_");
    buf_add(out, name, NAME_BYTES);
    LIT(out, "\",\"body\":");
    if (row->error_code)
        add_error_body(out, row);
    else if (row->endpoint == ENDPOINT_CHAT)
        add_chat(out, row, name);
    else
        add_completion(out, row, name);
    buf_addc(out, '}');
}

/* {"code", "message"} or null. */
static void add_error(struct buf *out, const struct output_row *row)
{
    if (!row->error_code) {
        LIT(out, "null");
        return;
    }
    LIT(out, "{\"code\":");
    jsontext_adds(out, row->error_code);
    LIT(out, ",\"message\":");
    jsontext_adds(out, row->error_message);
    buf_addc(out, '}');
}

static void add_openai(struct buf *out, const struct output_row *row)
{
    const bool executed = !row->error_code || row->http_status;
    char name[NAME_BYTES];

    row_name(name, row);
    LIT(out, "{\"id\":\"batch_req_");
    buf_add(out, name, NAME_BYTES);
    LIT(out, "\",\"custom_id\":");
    jsontext_add(out, row->custom_id, row->custom_id_len);
    LIT(out, ",\"response\":");
    if (executed)
        add_response(out, row, name);
    else
        LIT(out, "null");
    LIT(out, ",\"error\":");
    if (executed)
        LIT(out, "null");
    else
        add_error(out, row);
    LIT(out, "}\n");
}

static void add_short(struct buf *out, const struct output_row *row)
{
    LIT(out, "{\"custom_id\":");
    jsontext_add(out, row->custom_id, row->custom_id_len);
    LIT(out, ",\"text\":");
    if (row->error_code)
        LIT(out, "null");
    else
        add_text(out, row);
    LIT(out, ",\"finish_reason\":");
    jsontext_adds(out, row->finish_reason);
    LIT(out, ",\"prompt_tokens\":");
    buf_addi(out, row->prompt_tokens);
    LIT(out, ",\"output_tokens\":");
    buf_addi(out, row->completion_tokens);
    if (row->is_reused) LIT(out, ",\"reused\":true");
    LIT(out, ",\"error\":");
    add_error(out, row);
    LIT(out, "}\n");
}

/* A CSV field: quoted where it must be. */
static int add_field(struct buf *out, const char *s, size_t len, char end)
{
    struct buf good = {0};
    int rc = utf8_repair(&good, s ? s : "", s ? len : 0);
    bool quoted = !rc && good.len && strcspn(good.data, ",\"\r\n") < good.len;

    if (quoted) buf_addc(out, '"');
    for (size_t i = 0; !rc && i < good.len; i++) {
        if (quoted && good.data[i] == '"') buf_addc(out, '"');
        rc = buf_addc(out, good.data[i]);
    }
    if (quoted) buf_addc(out, '"');
    buf_fini(&good);
    return rc ? rc : buf_addc(out, end);
}

static int add_csv(struct buf *out, const struct output_row *row)
{
    const char *finish = row->finish_reason, *code = row->error_code, *message = row->error_message;
    const char *instance = row->instance;
    int rc = add_field(out, row->custom_id, row->custom_id_len, ',');

    if (!rc) rc = buf_addi(out, row->line);
    if (!rc) rc = buf_addc(out, ',');
    if (!rc) rc = add_field(out, code ? NULL : row->text, row->text_len, ',');
    if (!rc) rc = add_field(out, finish, finish ? strlen(finish) : 0, ',');
    if (!rc) rc = buf_addi(out, row->prompt_tokens);
    if (!rc) rc = buf_addc(out, ',');
    if (!rc) rc = buf_addi(out, row->completion_tokens);
    if (!rc) rc = buf_addc(out, ',');
    if (!rc) rc = add_field(out, instance, instance ? strlen(instance) : 0, ',');
    if (!rc) rc = add_field(out, code, code ? strlen(code) : 0, ',');
    if (!rc) rc = add_field(out, code ? message : NULL, message ? strlen(message) : 0, '\r');
    return rc ? rc : buf_addc(out, '\n');
}

int output_head(struct buf *out, enum output_format format)
{
    if (format != OUTPUT_CSV) return ERR_OK;
    return buf_adds(out, "custom_id,line,text,finish_reason,prompt_tokens,output_tokens,"
                         "instance,error_code,error_message\r\n");
}

int output_row(struct buf *out, enum output_format format, const struct output_row *row)
{
    switch (format) {
    case OUTPUT_OPENAI: add_openai(out, row); break;
    case OUTPUT_JSONL: add_short(out, row); break;
    case OUTPUT_CSV: return add_csv(out, row);
    }
    return out->failed ? ERR_NOMEM : ERR_OK;
}
