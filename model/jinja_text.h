/* jinja_text.h - what Python's strings can do.
 *
 * Positions count characters, as in Python; v is a str everywhere.
 *
 * Errors  NULL after run_fail.
 */
#ifndef MODEL_JINJA_TEXT_H
#define MODEL_JINJA_TEXT_H

#include "model/jinja_value.h"

#define TEXT_LEFT  1
#define TEXT_RIGHT 2

/* set: the characters to take away; NULL: white space. */
struct value *text_strip(struct run *r, struct value *v, const struct value *set, int sides);
/* The first `count` times; all when it is negative. */
struct value *text_replace(struct run *r, struct value *v, const struct value *from,
                           const struct value *to, int64_t count);
/* sep: NULL is white space; max < 0 is no limit; from the right when that is set. */
struct value *text_split(struct run *r, struct value *v, const struct value *sep, int64_t max,
                         bool right);
struct value *text_lines(struct run *r, struct value *v, bool keep_ends);
/* (before, sep, after), at the first or the last sep. */
struct value *text_partition(struct run *r, struct value *v, struct value *sep, bool last);
/* The position, -1 when it is not there. */
struct value *text_find(struct run *r, const struct value *v, const struct value *x, bool last);
struct value *text_count(struct run *r, const struct value *v, const struct value *x);
/* To `width` characters, with `fill` on these sides. */
struct value *text_pad(struct run *r, struct value *v, int64_t width, const struct value *fill,
                       int sides);
struct value *text_repeat(struct run *r, const struct value *v, int64_t times);
struct value *text_concat(struct run *r, const struct value *a, const struct value *b);
struct value *text_escape(struct run *r, struct value *v); /* for HTML; Markup */
/* Characters from, from + step, ... before to; as many as Python gives. */
struct value *text_slice(struct run *r, struct value *v, int64_t from, int64_t to, int64_t step);
bool text_begins(const struct value *v, const struct value *x);
bool text_ends(const struct value *v, const struct value *x);

enum letter_case { CASE_UPPER, CASE_LOWER, CASE_CAPITALIZE, CASE_TITLE, CASE_SWAP };
struct value *text_case(struct run *r, struct value *v, enum letter_case want);

bool text_is_space(uint32_t cp); /* Python's isspace */

#endif
