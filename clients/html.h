/* html.h - text that may stand in HTML and SVG.
 *
 * Errors  ERR_NOMEM.
 */
#ifndef CLIENTS_HTML_H
#define CLIENTS_HTML_H

#include "base/buf.h"
#include "base/err.h"

/* Appends s with the characters that mean something escaped and the control characters dropped;
 * what is not UTF-8 is repaired.  NULL is nothing. */
int html_text(struct buf *out, const char *s);

#endif
