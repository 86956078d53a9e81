/* endpoint.h - what a row asks for: an answer to a chat, or the text behind a prompt. */
#ifndef SCHEMA_ENDPOINT_H
#define SCHEMA_ENDPOINT_H

#include <stdbool.h>
#include <stddef.h>

enum endpoint { ENDPOINT_CHAT, ENDPOINT_COMPLETION };

const char *endpoint_url(enum endpoint e); /* "/v1/chat/completions", "/v1/completions" */

/* Is it one of ours?  Sets *out only then. */
bool endpoint_from_url(enum endpoint *out, const char *url, size_t len);

#endif
