/* body.h - what the broker reads of a row's body, to know what to expect of it.
 *
 * Units    tokens.
 * Threads  no state.
 * Errors   none: a body that is no JSON says nothing.
 */
#ifndef BROKER_BODY_H
#define BROKER_BODY_H

#include <stddef.h>
#include <stdint.h>

/* The value of its first key max_tokens or max_completion_tokens, at any depth; 0: it has none.  An
 * estimate: what counts is what the worker reads. */
int64_t body_max_tokens(const char *body, size_t len);

#endif
