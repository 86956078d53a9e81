/* output.h - the line that a finished row becomes.
 *
 * Three formats: OpenAI's batch output and error lines, short JSON lines, CSV (RFC 4180, CRLF).
 * All are UTF-8: malformed bytes of an answer become U+FFFD.
 *
 * Units   created_s is unix time in seconds.
 * Errors  0 or ERR_NOMEM; after ERR_NOMEM the buffer may hold a part of the line.
 *
 * O1  one row is one line: no line break but the last, except inside a quoted CSV field.
 * O2  a row with an answer has error null and status 200; a row refused for what it asks has
 *     error null and its status in the response; a row that was not executed has response null.
 */
#ifndef CLIENTS_OUTPUT_H
#define CLIENTS_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "schema/endpoint.h"

enum output_format { OUTPUT_OPENAI, OUTPUT_JSONL, OUTPUT_CSV };

struct output_row { /* all borrowed */
    const char *batch;
    uint64_t batch_hash; /* hash64 of batch, when there are many rows; 0: found from batch */
    const char *custom_id;
    size_t custom_id_len;
    int64_t job_id, line;
    enum endpoint endpoint;
    const char *model;    /* NULL: unknown */
    const char *instance; /* its name; NULL: none answered */
    const char *text;     /* the answer's bytes, NUL allowed */
    size_t text_len;
    const char *choices;       /* JSON array, where text and finish_reason are not all; or NULL */
    const char *finish_reason; /* NULL: none */
    int64_t prompt_tokens, completion_tokens, cached_tokens;
    int64_t created_s;
    const char *system_fingerprint; /* NULL: none */
    const char *error_code;         /* NULL: the row has an answer */
    const char *error_message;
    const char *error_param; /* NULL: none */
    int http_status;         /* of the error; 0: the row was not executed */
    bool is_reused;          /* the answer is that of an earlier row */
};

/* "openai", "jsonl" or "csv"; ERR_ARG. */
int output_format_parse(enum output_format *out, const char *name) MUSTCHECK;

/* What goes before the first line: CSV's header, else nothing. */
int output_head(struct buf *out, enum output_format format) MUSTCHECK;

/* Appends the row's line with its line break. */
int output_row(struct buf *out, enum output_format format, const struct output_row *row) MUSTCHECK;

/* The status that goes with an error code: 0 when the row was not executed (batch_expired,
 * batch_cancelled), 4xx when its request is at fault, 500 otherwise. */
int output_status(const char *error_code);

#endif
