/* cards.h - what is known of devices that are not here: peaks from their makers' tables, and
 * instance models fitted from published measurements.
 *
 * A fitted model is of one card, one model shape and one TP degree (measured.c, printed by
 * bench_fit from the tables that it names, each with its error on held-out rows).  For another
 * model on that card the roofline stands in, with the shares of the peak that those tables show.
 *
 * Units    bytes, bytes/s, flop/s; schema/perf.h.
 * Threads  constant tables.
 */
#ifndef BROKER_CARDS_H
#define BROKER_CARDS_H

#include <stddef.h>

#include "base/dtype.h"
#include "schema/roofline.h"

struct card {
    const char *name;                                    /* "H100-SXM-80GB" */
    double bytes;                                        /* of memory */
    double flops_f16, flops_bf16, flops_fp8, flops_int8; /* dense tensor peaks; 0: has none */
    double bytes_per_s;
    double link_bytes_per_s, pcie_bytes_per_s; /* one direction; 0: none */
    double flops_share,
        bytes_share;  /* of the peaks that measurements reach; the default where none is */
    bool is_measured; /* those two */
};

/* By its name, by a part of it that only it has ("h200", "4090"), or by what CUDA calls it ("NVIDIA
 * H200"); case, blanks and dashes do not count.  NULL: not known, or not only one. */
const struct card *card_find(const char *name);
const struct card *card_at(size_t i); /* NULL behind the last */

/* For the roofline, computing in this dtype (N_DTYPES: what the card is fastest in of f16 and
 * bf16). */
struct device_speed card_speed(const struct card *c, enum dtype act);

enum model_source { SOURCE_MEASURED, SOURCE_MIXED, SOURCE_ROOFLINE, SOURCE_N };
extern const char *const SOURCE_NAMES[SOURCE_N]; /* "measured", "mixed", "roofline" */

struct measured {
    const char *card, *model, *table; /* model as the table names it; the table's file */
    int tp;
    enum model_source source; /* measured; or mixed: some constants are the roofline's */
    struct perf perf;
    double mape; /* percent, on held-out rows of the same table */
};
const struct measured *measured_at(size_t i); /* NULL behind the last */
/* NULL: there is none of this card (its name above), model and TP degree; of several the one of
 * whole instances, or of more of their parts. */
const struct measured *measured_find(const char *card, const char *model, int tp);
/* Do both names mean one model: letters and digits behind the last slash, without "-hf",
 * "-instruct", "-chat" behind and "meta" before? */
bool measured_is_model(const char *a, const char *b);
/* Of a model that the tables are of, in 16 bits; NULL: not known. */
const struct model_shape *measured_shape(const char *model);

/* The best that is known of a model on a card: measured, mixed or roofline; *mape negative where it
 * is not known.  What was measured is taken for 16 bits of weights and KV, and for a model of the
 * same shape as well as name. */
enum model_source card_model(struct perf *out, double *mape, const struct card *c,
                             const char *model, const struct model_shape *shape, enum dtype act,
                             int tp);

#endif
