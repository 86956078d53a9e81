/* submit_flags.h - the options that say how an input file is read, the same for `submit` and `run`.
 */
#ifndef CLIENTS_SUBMIT_FLAGS_H
#define CLIENTS_SUBMIT_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "clients/ingest.h"

struct submit_flags {
    const char *batch, *format;
    int64_t max_attempts, max_body_bytes;
    bool strict, replace;
};

#define SUBMIT_FLAGS_DEFAULT                                                                       \
    {                                                                                              \
        .format = "jsonl", .max_attempts = 3, .max_body_bytes = 16 << 20                           \
    }

#define SUBMIT_OPTS(at)                                                                            \
    {"batch", 'b',                                                                                 \
     "NAME",  "the batch's name (default: the file's name)",                                       \
     OPT_STR, (at) + offsetof(struct submit_flags, batch),                                         \
     0,       0},                                                                                  \
        {"format",                                                                                 \
         'f',                                                                                      \
         "jsonl|text",                                                                             \
         "jsonl (default), or one plain prompt a line",                                            \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct submit_flags, format),                                             \
         0,                                                                                        \
         0},                                                                                       \
        {"max-attempts",                                                                           \
         0,                                                                                        \
         "N",                                                                                      \
         "tries of a row that fails by its own fault (default 3)",                                 \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct submit_flags, max_attempts),                                       \
         1,                                                                                        \
         1000},                                                                                    \
        {"max-body-bytes",                                                                         \
         0,                                                                                        \
         "BYTES",                                                                                  \
         "a longer line is an error row (default 16M)",                                            \
         OPT_BYTES,                                                                                \
         (at) + offsetof(struct submit_flags, max_body_bytes),                                     \
         64,                                                                                       \
         48 << 20},                                                                                \
        {"strict", 0,                                                                              \
         NULL,     "one bad line, and nothing is submitted",                                       \
         OPT_FLAG, (at) + offsetof(struct submit_flags, strict),                                   \
         0,        0},                                                                             \
    {                                                                                              \
        "replace", 0, NULL, "a row whose id is there with another body runs again", OPT_FLAG,      \
            (at) + offsetof(struct submit_flags, replace), 0, 0                                    \
    }

/* Checks the flags and copies them. */
int submit_flags_apply(const struct submit_flags *f, struct ingest_opts *o,
                       struct errmsg *e) MUSTCHECK;

#endif
