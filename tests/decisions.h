/* decisions.h - what a scheduler's last event led to.
 *
 * Ownership  borrowed, until the next event.
 */
#ifndef TESTS_DECISIONS_H
#define TESTS_DECISIONS_H

#include "broker/schedule.h"

/* How many of this kind, for an instance (0: any). */
int decisions_said(const struct schedule *s, enum schedule_verdict v, int64_t instance);
/* The k-th of them, from 0; the test fails where there is none. */
const struct schedule_decision *decisions_nth(const struct schedule *s, enum schedule_verdict v,
                                              int k);
/* Rows that the instance holds. */
int64_t decisions_rows(const struct schedule *s, int64_t instance);

#endif
