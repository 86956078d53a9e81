/* scan.h - the tokens of JSON, one after the other, copied without the space between them.
 *
 * Each call takes one token and the space behind it, and is false when another stands there: then
 * the text may still be good JSON, in a form that is not looked for here.  Nothing is taken but
 * what a parser of JSON takes too, given UTF-8.
 *
 * Ownership  caller's storage; the text is borrowed, and out has room for all of it.
 */
#ifndef CLIENTS_SCAN_H
#define CLIENTS_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scan {
    const char *at, *end;
    const char *from; /* what is not yet copied begins here */
    char *out;        /* where it goes; NULL: nothing is copied */
};

struct scan_text {
    const char *at; /* between the quotes, escapes as spelled */
    size_t len;
};

void scan_skip(struct scan *s); /* over space */
void scan_copy(struct scan *s); /* what was taken, up to here */

bool scan_is_next(const struct scan *s, char c);
bool scan_take(struct scan *s, char c);
bool scan_word(struct scan *s, const char *word);

/* A string; escapes, but not those of surrogates, where they are said to be looked for. */
bool scan_string(struct scan *s, bool escapes, struct scan_text *t);

/* Up to `most` digits, at most 18, without a zero in front of others. */
bool scan_digits(struct scan *s, int most, int64_t *out);
bool scan_integer(struct scan *s, int most, int64_t *out); /* maybe with a minus */

/* A number from 0 to under 10, without an exponent: one digit, and whether a fraction is over 0. */
bool scan_decimal(struct scan *s, int *whole, bool *rest);

#endif
