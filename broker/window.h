/* window.h - the hours of the day in which a batch may run.
 *
 * Units    minutes of the local day, 0 to 1439; unix milliseconds.
 * Zone     the process's own (TZ): when clocks change, the window's ends stay where the clock on
 *          the wall shows them; an hour that comes twice is open twice.
 * Threads  none: a pure function of its arguments and the zone.
 */
#ifndef BROKER_WINDOW_H
#define BROKER_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

/* From `from` on, before `to`; over midnight when to is the smaller one; equal ends: always. */
bool window_is_open(int64_t from, int64_t to, int64_t wall_ms);

#endif
