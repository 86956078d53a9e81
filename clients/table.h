/* table.h - rows of text as aligned columns, for people.
 *
 * Widths are those of a terminal: a wide character counts two, a combining one none.  Control
 * characters, which a model's answer may hold, become spaces, so that no cell can move the cursor.
 *
 * Ownership  heads and cells are copied.
 * Errors     ERR_NOMEM.
 */
#ifndef CLIENTS_TABLE_H
#define CLIENTS_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

struct table;

struct table_column {
    const char *head;
    bool right; /* numbers */
    int max;    /* columns of the terminal at most; 0: no limit of its own */
};

int table_open(struct table **out, const struct table_column *columns, int n) MUSTCHECK;
void table_close(struct table **t);

/* Adds a row of n cells; NULL is an empty one. */
int table_row(struct table *t, const char *const *cells) MUSTCHECK;

/* Appends the table, two spaces between columns, a line for each row and one for the heads.  width
 * is the terminal's, 0 for none: the widest text columns are cut until the rows fit, but none below
 * its head's width or four. */
int table_print(const struct table *t, int width, struct buf *out) MUSTCHECK;

/* Columns of a terminal that well-formed text takes. */
int table_width(const char *s, size_t len);

#endif
