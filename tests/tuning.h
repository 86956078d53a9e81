/* tuning.h - a shelf in memory, for what measuring found (struct tuning). */
#ifndef TESTS_TUNING_H
#define TESTS_TUNING_H

#include "kernels/device.h"

#define SHELF_ITEMS 16
#define SHELF_BYTES 4096

struct shelf {
    struct tuning tuning; /* what the code under test is given */
    int n, finds, keeps;  /* items; calls */
    struct {
        char name[48];
        char bytes[SHELF_BYTES];
        size_t len;
    } items[SHELF_ITEMS];
};

/* Empties it.  Not moved afterwards: tuning points to it. */
void shelf_init(struct shelf *s);

#endif
