/* peak.h - the most that some cores of this machine do together, as loops that do nothing else.
 *
 * Time is on the wall; with one thread it is the processor time of that thread (bench/engine_run.h
 * has the same clock).
 *
 * Threads  one caller; it works too.
 * Errors   end the benchmark (report_fail).
 */
#ifndef BENCH_PEAK_H
#define BENCH_PEAK_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

/* Of one thread its processor time, of more the wall's. */
int64_t peak_clock_ns(int threads);

/* Flops/s (a multiply-add is two): of dot products of bf16 for bf16 and of bytes for the quantised
 * ones, where the processor has them, else of floats. */
double peak_flops(int threads, enum dtype d);

/* Bytes/s of reading n_bytes in order, all threads together. */
double peak_read(int threads, size_t n_bytes);

#endif
