/* endpoint.c - what a row asks for. */
#include "schema/endpoint.h"

#include <string.h>

static const char *const URL[] = {
    [ENDPOINT_CHAT] = "/v1/chat/completions",
    [ENDPOINT_COMPLETION] = "/v1/completions",
};

const char *endpoint_url(enum endpoint e)
{
    return URL[e];
}

bool endpoint_from_url(enum endpoint *out, const char *url, size_t len)
{
    for (int i = 0; i <= ENDPOINT_COMPLETION; i++)
        if (strlen(URL[i]) == len && !memcmp(URL[i], url, len)) {
            *out = (enum endpoint)i;
            return true;
        }
    return false;
}
