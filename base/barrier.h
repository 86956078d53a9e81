/* barrier.h - threads that wait for each other, again and again.
 *
 * Looks for a while before it sleeps: who arrives within microseconds of the others pays no
 * wake-up.
 *
 * Threads    n of them, each once in a round.
 * Ownership  barrier_open/barrier_close, when nobody waits.
 */
#ifndef BASE_BARRIER_H
#define BASE_BARRIER_H

#include "base/err.h"

struct barrier;

int barrier_open(struct barrier **out, int n) MUSTCHECK; /* ERR_NOMEM */
void barrier_close(struct barrier **b);

/* Returns when all n have called it; what they wrote before is seen by all. */
void barrier_wait(struct barrier *b);

#endif
