/* report_page.h - what a night came to, as a page of HTML or as text.
 *
 * The page holds all it needs: no script, no picture, no font from elsewhere.
 *
 * Errors  ERR_EMPTY: there is no such batch; ERR_DB and its kin with the text; ERR_NOMEM.
 */
#ifndef CLIENTS_REPORT_PAGE_H
#define CLIENTS_REPORT_PAGE_H

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct report_opts {
    const char *file;  /* the queue file's name */
    const char *batch; /* NULL: all */
    bool html;
    int64_t now_ms; /* unix, for the head */
};

int report_page(sqlite3 *db, const struct report_opts *o, struct buf *out,
                struct errmsg *e) MUSTCHECK;

#endif
