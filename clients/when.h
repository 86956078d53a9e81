/* when.h - the times and windows that people write on a command line.
 *
 *   2026-11-21 22:00   a date and a time of day, also with T between them and with :SS
 *   22:00              the next such time
 *   +2h30m             from now on: d, h, m, s, each once and in this order
 *   1795291200         unix seconds
 *
 * Zone    the machine's (TZ).  A time that the clocks skip in spring is as much later as they are
 *         set forward; of a time that comes twice in autumn, the first is meant.
 * Units   unix milliseconds; a window's ends are minutes of the day.
 * Clock   never read here; now_ms is passed in.
 * Errors  ERR_ARG, with what was written and the forms.
 */
#ifndef CLIENTS_WHEN_H
#define CLIENTS_WHEN_H

#include <stdint.h>

#include "base/err.h"

int when_parse(const char *text, int64_t now_ms, int64_t *out_ms, struct errmsg *e) MUSTCHECK;

/* "2026-11-21 22:00", in the machine's zone. */
void when_show(int64_t ms, char out[32]);

/* "22:00-07:00": from is in it, to is not; it may cross midnight. */
int when_window(const char *text, int64_t *from, int64_t *to, struct errmsg *e) MUSTCHECK;

#endif
