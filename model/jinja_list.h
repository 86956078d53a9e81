/* jinja_list.h - what filters do to lists: sort, group, choose.
 *
 * v is what a loop would see of it (value_items).
 *
 * Errors  NULL after run_fail.
 */
#ifndef MODEL_JINJA_LIST_H
#define MODEL_JINJA_LIST_H

#include "model/jinja_args.h"

/* An item's attribute: "a.b.0", or a number; v itself for NULL.  dflt (or NULL) stands for each
 * step that is undefined. */
struct value *list_attribute(struct run *r, struct value *v, const struct value *path,
                             struct value *dflt);

struct value *list_join(struct run *r, struct value *v, const struct value *sep,
                        const struct value *attribute);
struct value *list_sort(struct run *r, struct value *v, const struct value *attribute,
                        bool case_sensitive, bool reverse);
struct value *list_dictsort(struct run *r, const struct value *v, bool by_value,
                            bool case_sensitive, bool reverse);
struct value *list_unique(struct run *r, struct value *v, const struct value *attribute,
                          bool case_sensitive);
/* The least or the greatest; undefined of an empty list. */
struct value *list_extreme(struct run *r, struct value *v, const struct value *attribute,
                           bool case_sensitive, bool greatest);
struct value *list_reverse(struct run *r, struct value *v, enum value_kind kind);
/* Rows of n, the last one filled up; n rows. */
struct value *list_batch(struct run *r, struct value *v, int64_t n, struct value *fill);
struct value *list_slice(struct run *r, struct value *v, int64_t n, struct value *fill);

#endif
