/* numbers.h - memory filled with made-up numbers, the same in each run.
 *
 * Threads    one thread at a time: the sequence is the program's.
 * Ownership  free() by the caller.  No memory ends the program (report_fail).
 */
#ifndef BENCH_NUMBERS_H
#define BENCH_NUMBERS_H

#include <stddef.h>

float numbers_draw(void); /* evenly in [-1, 1) */

void *numbers_room(size_t n_bytes); /* at a multiple of 64, not filled */
float *numbers_floats(size_t n);

#endif
