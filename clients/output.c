/* output.c - the line that a finished row becomes. */
#include "clients/output.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/utf8.h"

static const char *const FORMAT[] = {
    [OUTPUT_OPENAI] = "openai",
    [OUTPUT_JSONL] = "jsonl",
    [OUTPUT_CSV] = "csv",
};

static const struct {
    const char *code;
    int status;
} STATUS[] = {
    {"batch_cancelled", 0},         {"batch_expired", 0},       {"context_length_exceeded", 400},
    {"duplicate_custom_id", 400},   {"invalid_json_line", 400}, {"invalid_request", 400},
    {"invalid_utf8", 400},          {"line_too_long", 413},     {"model_not_found", 404},
    {"unsupported_parameter", 400}, {"url_mismatch", 404},
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

/* A JSON string of bytes that may be malformed; null for NULL. */
static json_t *text_json(const char *s, size_t len)
{
    struct buf good = {0};
    json_t *j = NULL;

    if (!s) return json_null();
    if (utf8_is_valid(s, len)) return json_stringn_nocheck(s, len);
    if (!utf8_repair(&good, s, len)) j = json_stringn_nocheck(good.data, good.len);
    buf_fini(&good);
    return j;
}

static json_t *line_json(const char *s)
{
    return text_json(s, s ? strlen(s) : 0);
}

/* Names the row among all batches of a file: the same row has the same ids in every export. */
static void row_name(char out[32], const struct output_row *row)
{
    const char *batch = row->batch ? row->batch : "";

    snprintf(out, 32, "%08" PRIx64 "%016" PRIx64, hash64(batch, strlen(batch)) >> 32,
             (uint64_t)row->job_id);
}

static json_t *usage(const struct output_row *row)
{
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", (json_int_t)row->prompt_tokens,
                     "completion_tokens", (json_int_t)row->completion_tokens, "total_tokens",
                     (json_int_t)(row->prompt_tokens + row->completion_tokens),
                     "prompt_tokens_details", "cached_tokens", (json_int_t)row->cached_tokens);
}

static json_t *chat_body(const struct output_row *row, const char *name)
{
    char id[64];

    snprintf(id, sizeof id, "chatcmpl-%s", name);
    return json_pack("{s:s, s:s, s:I, s:o, s:[{s:i, s:{s:s, s:o, s:n}, s:n, s:o}], s:o, s:o}", "id",
                     id, "object", "chat.completion", "created", (json_int_t)row->created_s,
                     "model", line_json(row->model), "choices", "index", 0, "message", "role",
                     "assistant", "content", text_json(row->text ? row->text : "", row->text_len),
                     "refusal", "logprobs", "finish_reason", line_json(row->finish_reason), "usage",
                     usage(row), "system_fingerprint", line_json(row->system_fingerprint));
}

static json_t *completion_body(const struct output_row *row, const char *name)
{
    char id[64];

    snprintf(id, sizeof id, "cmpl-%s", name);
    return json_pack("{s:s, s:s, s:I, s:o, s:o, s:[{s:o, s:i, s:n, s:o}], s:o}", "id", id, "object",
                     "text_completion", "created", (json_int_t)row->created_s, "model",
                     line_json(row->model), "system_fingerprint",
                     line_json(row->system_fingerprint), "choices", "text",
                     text_json(row->text ? row->text : "", row->text_len), "index", 0, "logprobs",
                     "finish_reason", line_json(row->finish_reason), "usage", usage(row));
}

static json_t *error_body(const struct output_row *row)
{
    const char *type = row->http_status < 500 ? "invalid_request_error" : "server_error";

    return json_pack("{s:{s:o, s:s, s:o, s:o}}", "error", "message", line_json(row->error_message),
                     "type", type, "param", line_json(row->error_param), "code",
                     line_json(row->error_code));
}

static json_t *response(const struct output_row *row, const char *name)
{
    char id[64];
    json_t *body;

    if (row->error_code && !row->http_status) return json_null();
    if (row->error_code)
        body = error_body(row);
    else
        body = row->endpoint == ENDPOINT_CHAT ? chat_body(row, name) : completion_body(row, name);
    snprintf(id, sizeof id, "req_%s", name);
    return json_pack("{s:i, s:s, s:o}", "status_code", row->error_code ? row->http_status : 200,
                     "request_id", id, "body", body);
}

/* {"code", "message"} or null. */
static json_t *error_json(const struct output_row *row)
{
    if (!row->error_code) return json_null();
    return json_pack("{s:o, s:o}", "code", line_json(row->error_code), "message",
                     line_json(row->error_message));
}

static json_t *openai_json(const struct output_row *row)
{
    bool executed = !row->error_code || row->http_status;
    char name[32], id[64];

    row_name(name, row);
    snprintf(id, sizeof id, "batch_req_%s", name);
    return json_pack("{s:s, s:o, s:o, s:o}", "id", id, "custom_id",
                     text_json(row->custom_id, row->custom_id_len), "response", response(row, name),
                     "error", executed ? json_null() : error_json(row));
}

static json_t *short_json(const struct output_row *row)
{
    return json_pack(
        "{s:o, s:o, s:o, s:I, s:I, s:o*, s:o}", "custom_id",
        text_json(row->custom_id, row->custom_id_len), "text",
        row->error_code ? json_null() : text_json(row->text ? row->text : "", row->text_len),
        "finish_reason", line_json(row->finish_reason), "prompt_tokens",
        (json_int_t)row->prompt_tokens, "output_tokens", (json_int_t)row->completion_tokens,
        "reused", row->is_reused ? json_true() : NULL, "error", error_json(row));
}

static int add_bytes(const char *bytes, size_t len, void *to)
{
    return buf_add(to, bytes, len);
}

/* Writes j, which may be NULL for want of memory, as a line. */
static int add_line(struct buf *out, json_t *j)
{
    int rc = ERR_NOMEM;

    if (j && !json_dump_callback(j, add_bytes, out, JSON_COMPACT)) rc = buf_addc(out, '\n');
    json_decref(j);
    return rc;
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

    if (!rc) rc = buf_printf(out, "%" PRId64 ",", row->line);
    if (!rc) rc = add_field(out, code ? NULL : row->text, row->text_len, ',');
    if (!rc) rc = add_field(out, finish, finish ? strlen(finish) : 0, ',');
    if (!rc)
        rc =
            buf_printf(out, "%" PRId64 ",%" PRId64 ",", row->prompt_tokens, row->completion_tokens);
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
    if (format == OUTPUT_CSV) return add_csv(out, row);
    return add_line(out, format == OUTPUT_OPENAI ? openai_json(row) : short_json(row));
}
