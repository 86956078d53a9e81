/* jsonrow.h - a query's row as one line of JSON, its columns as keys.
 *
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_JSONROW_H
#define CLIENTS_JSONROW_H

#include <sqlite3.h>
#include <stdio.h>

#include "base/err.h"

/* The row at which the statement stands. */
int jsonrow_print(sqlite3_stmt *st, FILE *f) MUSTCHECK;

#endif
