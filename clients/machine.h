/* machine.h - what this machine has to offer: CUDA devices, or where there is none its processors.
 *
 * A card's peaks are known by its name (broker/cards.h).  Of processors the peaks are
 * MACHINE_CORE_* for each core: they stand in until a profile is there.
 *
 * Units    bytes, flop/s, bytes/s.
 * Errors   ERR_ARG with the device; ERR_FORMAT.
 */
#ifndef CLIENTS_MACHINE_H
#define CLIENTS_MACHINE_H

#include <jansson.h>

#include "base/buf.h"
#include "broker/plan.h"

struct machine {
    char host[64];
    int cores;            /* that this process may run on */
    int64_t memory_bytes; /* that programs may still take */
    int n_devices;
    struct machine_device {
        char name[64], device[24];        /* "NVIDIA H200", "cuda:0" */
        double bytes, flops, bytes_per_s; /* those that it reaches; of a card 0: its name tells */
    } devices[PLAN_DEVICES];
};

/* only: "cpu", "cuda" or "cuda:N[,M...]"; NULL: all cards, or the processors where there is none.
 * ERR_ARG: there is no such device. */
int machine_look(struct machine *m, const char *only, struct errmsg *e) MUSTCHECK;

/* Its devices as the JSON array of the table node, and back; ERR_FORMAT: it is none. */
int machine_devices_json(const struct machine *m, struct buf *out) MUSTCHECK;
int machine_devices_parse(struct machine *m, const char *json, struct errmsg *e) MUSTCHECK;

/* As the search takes it.  ERR_ARG: a card that is not known, by its name. */
int machine_plan(const struct machine *m, struct plan_machine *out, struct errmsg *e) MUSTCHECK;

#endif
