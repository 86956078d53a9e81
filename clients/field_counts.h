/* field_counts.h - the names of fields that were ignored, and how often.
 *
 * Bounded: the first FIELD_COUNTS_NAMES names are kept, the rest only counted.  The caller warns
 * once for each name.
 *
 * Ownership  caller's storage, zero is empty.
 */
#ifndef CLIENTS_FIELD_COUNTS_H
#define CLIENTS_FIELD_COUNTS_H

#include <stddef.h>
#include <stdint.h>

#define FIELD_COUNTS_NAMES 32

struct field_counts {
    int n;
    struct {
        char name[64]; /* a longer one is cut, with "..." */
        int64_t count;
    } at[FIELD_COUNTS_NAMES];
    int64_t others; /* fields whose name found no room */
};

void field_counts_add(struct field_counts *c, const char *name, size_t len);

#endif
