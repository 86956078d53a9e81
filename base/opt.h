/* opt.h - a command's options: one table feeds argp, the environment, the help and the manual's
 * check.
 *
 * Order    default (what the struct holds before), then the environment, then the flag.
 * Twin     --max-model-len is also NIGHTMILL_MAX_MODEL_LEN.
 * Errors   a value out of range names the option, the value and the limits.  argp's own errors end
 * the program with status 2, --help with 0.
 */
#ifndef BASE_OPT_H
#define BASE_OPT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum opt_kind {
    OPT_STR,   /* const char *; borrowed from argv or the environment */
    OPT_INT,   /* int64_t */
    OPT_BYTES, /* int64_t; K, M, G, T behind the number are powers of 1024 */
    OPT_SHARE, /* double, over 0 and at most 1 */
    OPT_FLAG,  /* bool; in the environment 1 or 0 */
    OPT_NOT    /* bool, of a flag that is on unless this one is given: `no-` before its name */
};

struct opt {
    const char *name; /* NULL ends the table */
    int key;          /* the short letter, or 0 */
    const char *arg;  /* what stands for the value in the help; NULL for a flag */
    const char *help;
    enum opt_kind kind;
    size_t at;        /* offset in the config */
    int64_t min, max; /* OPT_INT and OPT_BYTES */
};

struct opt_command {
    const char *name;     /* "submit" */
    const char *operands; /* "FILE|-", or "" */
    const char *help;     /* one paragraph */
    const struct opt *table;
    int min_operands, max_operands;
};

/* Fills config and operands (max_operands of them, borrowed; missing ones NULL). */
int opt_parse(const struct opt_command *c, void *config, const char **operands, int argc,
              char **argv, struct errmsg *e) MUSTCHECK;

#endif
