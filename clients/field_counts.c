/* field_counts.c - the names of fields that were ignored. */
#include "clients/field_counts.h"

#include <string.h>

#include "clients/row_error.h"

void field_counts_add(struct field_counts *c, const char *name, size_t len)
{
    char shown[sizeof c->at[0].name];

    row_error_quote(shown, sizeof shown, name, len);
    for (int i = 0; i < c->n; i++)
        if (!strcmp(c->at[i].name, shown)) {
            c->at[i].count++;
            return;
        }
    if (c->n == FIELD_COUNTS_NAMES) {
        c->others++;
        return;
    }
    memcpy(c->at[c->n].name, shown, sizeof shown);
    c->at[c->n++].count = 1;
}
