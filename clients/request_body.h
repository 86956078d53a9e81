/* request_body.h - is this parsed body one that can be answered?
 *
 * Looks at the messages or the prompt, at every known field's value and at what fields lack
 * support.  Message content given as text parts is joined into one string, with a newline between
 * parts, as vLLM does.
 *
 * Errors  ERR_FORMAT with the row error filled; ERR_NOMEM.
 */
#ifndef CLIENTS_REQUEST_BODY_H
#define CLIENTS_REQUEST_BODY_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "clients/field_counts.h"
#include "clients/row_error.h"
#include "schema/endpoint.h"

/* The endpoint that the body's shape speaks of. */
int request_body_endpoint(const json_t *body, enum endpoint *out, struct row_error *err) MUSTCHECK;

/* Unknown fields are added to ignored (may be NULL).  *joined: the messages were changed. */
int request_body_check(json_t *body, enum endpoint endpoint, struct field_counts *ignored,
                       bool *joined, struct row_error *err) MUSTCHECK;

/* Does the body that passed ask for the same tokens each time: temperature 0, or a seed? */
bool request_body_is_fixed(const json_t *body);

/* The member, or NULL when it is absent or null. */
json_t *request_body_get(const json_t *object, const char *name);

#endif
