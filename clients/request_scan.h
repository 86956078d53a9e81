/* request_scan.h - the common shape of a line, read in one pass.
 *
 * Most lines hold nothing but ids, a model, plain messages or a prompt, and a few numbers.  Those
 * are checked and copied without building a tree.  Anything else (an escape in a key, a field that
 * is not listed in the source, a value out of range, an error of any kind) is not for this
 * function: the caller reads the line again in full, so no verdict and no message is given here.
 *
 * S1  what is taken here, request_parse's full reading takes too, with the same id, endpoint, body,
 *     model, priority and is_fixed, and without an ignored field.
 */
#ifndef CLIENTS_REQUEST_SCAN_H
#define CLIENTS_REQUEST_SCAN_H

#include <stdbool.h>
#include <stddef.h>

struct request;

/* The line is UTF-8, and *q is clear.  False: *q holds nothing of use. */
bool request_scan(struct request *q, const char *line, size_t len);

#endif
