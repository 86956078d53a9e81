/* jinja.h - the Jinja that chat templates are written in, run as Hugging Face runs it: trim_blocks
 * and lstrip_blocks on, no automatic escapes, raise_exception and strftime_now known.
 *
 * The grammar, the white space, the filters, tests and methods are those of Jinja2 in Hugging
 * Face's sandbox; inheritance, imports and includes have no meaning there.  A statement, filter,
 * test, method or function that is not known is refused by name and line, when it is reached at the
 * latest.  Values are Python's (jinja_value.h), except that ints have 64 bits: what leaves them is
 * refused.
 *
 * Clock    never read here; the time of strftime_now is passed in.
 * Threads  immutable after open; any number of threads may render at once.
 * Errors   ERR_UNSUPPORTED (named, with the line), ERR_FORMAT (bad syntax, with the line), ERR_ARG
 * (the template raised an exception or used what is undefined), ERR_FULL (too many steps, too deep,
 * too much output).
 *
 * J1  a render ends: JINJA_MAX_STEPS steps (a node, or 1024 bytes of text looked through),
 *     JINJA_MAX_BYTES of texts and values made, JINJA_MAX_DEPTH levels of nodes,
 *     JINJA_MAX_NESTING levels of lists in lists.
 *
 * Source  the Jinja template documentation, version 3.1.
 */
#ifndef MODEL_JINJA_H
#define MODEL_JINJA_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/jinja_content.h"

#define JINJA_MAX_STEPS   4000000
#define JINJA_MAX_BYTES   ((size_t)256 << 20)
#define JINJA_MAX_DEPTH   400
#define JINJA_MAX_NESTING 100

struct jinja;

int jinja_open(struct jinja **out, const char *text, size_t len, struct errmsg *e) MUSTCHECK;
void jinja_close(struct jinja **j);

enum content_form jinja_content(const struct jinja *j);

/* vars: the object whose keys are the template's variables, borrowed.  Appends to out; now_s is
 * unix time. */
int jinja_render(const struct jinja *j, const json_t *vars, int64_t now_s, struct buf *out,
                 struct errmsg *e) MUSTCHECK;

#endif
