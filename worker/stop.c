/* stop.c - finds stop strings in text that grows. */
#include "worker/stop.h"

#include <string.h>

#include "worker/engine.h"

bool stop_find(const struct sampling *p, const char *text, size_t len, size_t searched, size_t *cut)
{
    bool found = false;
    size_t begin = 0;

    for (int i = 0; i < p->n_stops; i++) {
        const char *stop = p->stops[i].text, *hit;
        const size_t n = p->stops[i].len, from = searched + 1 > n ? searched + 1 - n : 0;

        if (n == 0 || len < n || from > len - n) continue;
        hit = memmem(text + from, len - from, stop, n);
        if (hit && (!found || (size_t)(hit - text) < begin)) {
            begin = (size_t)(hit - text);
            *cut = p->include_stop ? begin + n : begin;
            found = true;
        }
    }
    return found;
}
