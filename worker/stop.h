/* stop.h - finds stop strings in text that grows.
 *
 * Text is bytes: a stop string may begin in one token and end in a later one, and may cut a token
 * or a character.  The text is cut where the first one begins, or behind it when the caller wants
 * to have it (include_stop).
 *
 * ST1  the answer does not depend on how the text was cut into tokens, save that text beyond the
 *      token that completes a stop string is never made.
 */
#ifndef WORKER_STOP_H
#define WORKER_STOP_H

#include <stdbool.h>
#include <stddef.h>

struct sampling;

/* Does a stop string of p end in text behind byte `searched`?  Then *cut is where the text ends: of
 * several the one that begins first counts.  What ends at or before `searched` was looked at when
 * it came. */
bool stop_find(const struct sampling *p, const char *text, size_t len, size_t searched,
               size_t *cut);

#endif
