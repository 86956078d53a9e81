/* request_fields.h - the fields of a request body: which we know, which cannot matter, which we
 * lack.
 *
 * The table holds every field of OpenAI's chat and legacy completions and of vLLM's two endpoints.
 * A field that we lack and that changes the answer is refused by name unless its value is the one
 * that changes nothing; null always counts as absent.
 *
 * Errors  ERR_FORMAT with the row error filled, or 0.
 */
#ifndef CLIENTS_REQUEST_FIELDS_H
#define CLIENTS_REQUEST_FIELDS_H

#include <jansson.h>

#include "base/err.h"
#include "clients/row_error.h"
#include "schema/endpoint.h"

#define REQUEST_MAX_STOPS    16
#define REQUEST_MAX_STOP_IDS 1024
#define REQUEST_MAX_BIASES   1024
#define REQUEST_MAX_N        128
#define REQUEST_MAX_LOGPROBS 20
#define REQUEST_MAX_ID       512 /* bytes of a custom_id */
#define REQUEST_MAX_MODEL    512 /* bytes of a model's name */
#define REQUEST_MAX_TOKENS   2147483647
#define REQUEST_MAX_PRIORITY 1000000 /* and as much below 0 */

enum field_kind {
    FIELD_KNOWN,    /* its value is checked and used */
    FIELD_HARMLESS, /* ignored in silence: it cannot change the answer */
    FIELD_LACKING,  /* refused unless neutral */
    FIELD_UNKNOWN   /* not in the table: ignored and counted */
};

enum field_kind request_field_kind(const char *name);

/* Looks at one member of the body.  messages and prompt are not looked into here. */
int request_field_check(const char *name, const json_t *value, enum endpoint endpoint,
                        struct row_error *err) MUSTCHECK;

/* The i-th name of the table in its order, which is strcmp's; NULL behind the last. */
const char *request_field_name(size_t i);

#endif
