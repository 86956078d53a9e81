/* group.h - rows on their way to the broker: gathered, sent, acked.
 *
 * A message holds up to GROUP_BYTES; a few are under way at a time.  When one is full, the prefix
 * groups of its rows are decided: by what it holds and what went before.
 *
 * Threads  one.
 * Errors   ERR_NOMEM, and those of client_ask and client_hear.
 *
 * G1  a row that was counted as added, same, replaced or mended is on disk.
 */
#ifndef CLIENTS_GROUP_H
#define CLIENTS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clients/client.h"
#include "clients/row_error.h"
#include "schema/endpoint.h"

struct group;

struct group_counts { /* as the broker says */
    int64_t added, same, differs, replaced, mended, reused;
};

struct group_row { /* all borrowed */
    const char *id;
    size_t id_len;
    int64_t line;
    enum endpoint endpoint;
    const char *body;
    size_t body_len;
    const struct row_error *bad; /* NULL: a good row */
    bool has_priority, is_fixed;
    int64_t priority;
};

/* counts stays the caller's. */
int group_open(struct group **out, struct client *c, int64_t batch_id, bool replace,
               struct group_counts *counts, struct errmsg *e) MUSTCHECK;
void group_close(struct group **g);

int group_add(struct group *g, const struct group_row *r, struct errmsg *e) MUSTCHECK;

/* Sends what is left, and waits until all of it is on disk. */
int group_finish(struct group *g, struct errmsg *e) MUSTCHECK;

#endif
