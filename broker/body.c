/* body.c - what the broker reads of a row's body. */
#include "broker/body.h"

#include <string.h>

#define MOST ((int64_t)1 << 30) /* tokens */

static size_t skip_blanks(const char *body, size_t len, size_t at)
{
    while (at < len &&
           (body[at] == ' ' || body[at] == '\t' || body[at] == '\n' || body[at] == '\r'))
        at++;
    return at;
}

/* The number behind a key that ends before `at`; 0: there is none.  Within a text its quotes would
 * be escaped, so what is found is a key, or a text that no colon follows. */
static int64_t value_at(const char *body, size_t len, size_t at)
{
    int64_t v = 0;

    at = skip_blanks(body, len, at);
    if (at >= len || body[at] != ':') return 0;
    at = skip_blanks(body, len, at + 1);
    while (at < len && body[at] >= '0' && body[at] <= '9' && v < MOST)
        v = 10 * v + (body[at++] - '0');
    return v < MOST ? v : MOST;
}

int64_t body_max_tokens(const char *body, size_t len)
{
    static const char *const KEYS[] = {"\"max_tokens\"", "\"max_completion_tokens\""};

    for (size_t k = 0; k < sizeof KEYS / sizeof KEYS[0]; k++) {
        const size_t n = strlen(KEYS[k]);
        const char *at = body, *found;

        while ((found = memmem(at, len - (size_t)(at - body), KEYS[k], n))) {
            const int64_t v = value_at(body, len, (size_t)(found - body) + n);

            if (v) return v;
            at = found + n;
        }
    }
    return 0;
}
