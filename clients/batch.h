/* batch.h - a batch at the broker: made with what was asked, or found with what it has.
 *
 * Units   *_ms is unix time; a window's ends are minutes of the broker's day.
 * Errors  those of client_ask and client_hear.
 */
#ifndef CLIENTS_BATCH_H
#define CLIENTS_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "clients/client.h"

#define BATCH_UNSAID INT64_MIN /* not asked: the broker's default, or what the batch has */

struct batch_wish {
    const char *model; /* NULL: unsaid */
    int64_t priority, max_attempts, not_before_ms, deadline_ms, window_from, window_to, reuse;
};
#define BATCH_WISH_DEFAULT                                                                         \
    {                                                                                              \
        NULL, BATCH_UNSAID, BATCH_UNSAID, BATCH_UNSAID, BATCH_UNSAID, BATCH_UNSAID, BATCH_UNSAID,  \
            BATCH_UNSAID                                                                           \
    }

struct batch_found {
    int64_t id;
    bool existed;
    char keeps[512]; /* what it has otherwise than asked, for people; "": nothing */
};

int batch_ask(struct client *c, const char *name, const struct batch_wish *w, struct batch_found *f,
              struct errmsg *e) MUSTCHECK;

#endif
