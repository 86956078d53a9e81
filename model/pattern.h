/* pattern.h - what tokenizer.json calls a pattern: a literal string or a Unicode regex.
 *
 * Regexes run in PCRE2 (UTF, UCP: \s, \d, \w and \b mean Unicode's), compiled to machine code where
 * the platform can.  They were written for Oniguruma; the letters that the two read differently
 * (\h, \H, \R, \X) are refused.  The few that most files use have a scanner instead (scanner.h).
 *
 * Threads    immutable after open; one pattern_scan per search.
 * Ownership  pattern_open/pattern_close; scans are the caller's: init, fini.
 */
#ifndef MODEL_PATTERN_H
#define MODEL_PATTERN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/scanner.h"

struct pattern;

/* spec: {"String": "..."} or {"Regex": "..."}. */
int pattern_open(struct pattern **out, const json_t *spec, struct errmsg *e) MUSTCHECK;
int pattern_open_regex(struct pattern **out, const char *regex, struct errmsg *e) MUSTCHECK;

/* The same in PCRE2, also where there is a scanner: what a scanner is held to. */
int pattern_open_pcre(struct pattern **out, const char *regex, struct errmsg *e) MUSTCHECK;
void pattern_close(struct pattern **p);
scanner *pattern_scanner(const struct pattern *p); /* NULL when it has none */

struct pattern_scan {
    const struct pattern *pattern; /* borrowed */
    const char *text;              /* borrowed, valid UTF-8 */
    size_t len;
    size_t from;       /* where the next search starts */
    size_t begin, end; /* the last match */
    void *match;       /* PCRE2's */
};
int pattern_scan_init(struct pattern_scan *s, const struct pattern *p, const char *text,
                      size_t len) MUSTCHECK; /* 0 or ERR_NOMEM */
void pattern_scan_fini(struct pattern_scan *s);

/* Finds the next match: *found, and begin and end in the scan.  ERR_FORMAT: the regex gave up on
 * this text (its limit is in the message). */
int pattern_next(struct pattern_scan *s, bool *found, struct errmsg *e) MUSTCHECK;

/* Writes content wherever the pattern matches.  ERR_FORMAT when that makes more than max bytes. */
int pattern_replace(const struct pattern *p, struct buf *text, const char *content, size_t len,
                    size_t max, struct errmsg *e) MUSTCHECK;

#endif
