/* request.h - one line of an input file: a row that can be answered, or the reason why not.
 *
 * Accepted: the OpenAI batch line (custom_id, method, url, body); {"messages": [...], ...} and
 * {"prompt": "...", ...} with the body's parameters beside them; one plain prompt a line (text).
 * Beside custom_id there may be a priority of the row's own.
 *
 * The body is kept as the user spelled it, without the space between tokens and without custom_id,
 * method, url and priority; only messages with text parts are written anew.  A reader of it must
 * take null members for absent, max_completion_tokens before max_tokens, and of a key that is there
 * twice the last one.
 *
 * Ownership  caller's storage: request_init (or zero), request_fini; parsing again reuses it.
 * Errors     ERR_FORMAT with the row error filled; ERR_NOMEM.
 *
 * R1  a line never ends a program: it gives a request or a row error.
 * R2  a request's body is a JSON object that passes request_body_check for its endpoint, and is
 *     UTF-8.
 * R3  with a row error, custom_id still holds the line's own id when that was found and good.
 */
#ifndef CLIENTS_REQUEST_H
#define CLIENTS_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "clients/field_counts.h"
#include "clients/lines.h"
#include "clients/row_error.h"
#include "schema/endpoint.h"

struct request {
    struct buf custom_id; /* 1 to REQUEST_MAX_ID bytes, NUL allowed */
    bool has_custom_id;
    enum endpoint endpoint;
    struct buf body;  /* compact JSON */
    struct buf model; /* empty: the body names none */
    bool has_priority;
    int64_t priority;
    bool is_fixed; /* the same tokens each time: temperature 0, or a seed */
};

struct request_format {
    bool text;                   /* lines are plain prompts, not JSON */
    enum endpoint text_endpoint; /* a chat with one user message, or a completion */
    size_t max_bytes;            /* the limit that lines_open was given, for the message */
    bool in_full;                /* without request_scan: what tests compare it with */
};

void request_init(struct request *q);
void request_fini(struct request *q);

/* ignored (may be NULL) counts the fields that have no meaning here. */
int request_parse(struct request *q, const struct line *l, const struct request_format *f,
                  struct field_counts *ignored, struct row_error *err) MUSTCHECK;

#endif
