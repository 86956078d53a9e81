/* clock.h - the only place that reads a clock, or waits for it.
 *
 * Everything else takes now_ms as a parameter, so tests need no sleep.
 *
 * Units  milliseconds.  clock_mono_ms runs evenly and never back (leases, heartbeats, backoff);
 * clock_wall_ms is unix time, for records and for what a person wrote.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void);
int64_t clock_mono_ns(void);
int64_t clock_wall_ms(void);
void clock_wait_until_ns(int64_t mono_ns); /* sleeps; returns at once when it is past */
int64_t clock_thread_ns(void); /* processor time of the calling thread, for benchmarks */

#endif
