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
    const char *batch, *format, *not_before, *deadline, *window;
    int64_t max_attempts, max_body_bytes;
    bool strict, replace, reuse;
};

#define SUBMIT_FLAGS_DEFAULT                                                                       \
    {                                                                                              \
        .format = "jsonl", .max_attempts = BATCH_UNSAID, .max_body_bytes = 16 << 20                \
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
        {"not-before",                                                                             \
         0,                                                                                        \
         "T",                                                                                      \
         "nothing of the batch starts earlier: a time, or +2h30m from now",                        \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct submit_flags, not_before),                                         \
         0,                                                                                        \
         0},                                                                                       \
        {"deadline", 0,                                                                            \
         "T",        "what is not done by then fails, as batch_expired",                           \
         OPT_STR,    (at) + offsetof(struct submit_flags, deadline),                               \
         0,          0},                                                                           \
        {"window",                                                                                 \
         0,                                                                                        \
         "22:00-07:00",                                                                            \
         "outside this time of the broker's day nothing new starts",                               \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct submit_flags, window),                                             \
         0,                                                                                        \
         0},                                                                                       \
        {"reuse",                                                                                  \
         0,                                                                                        \
         NULL,                                                                                     \
         "rows that have an answer in the queue file, with temperature 0 or a seed, take it",      \
         OPT_FLAG,                                                                                 \
         (at) + offsetof(struct submit_flags, reuse),                                              \
         0,                                                                                        \
         0},                                                                                       \
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

/* Checks the flags and fills what they say, the wish for the batch too. */
int submit_flags_apply(const struct submit_flags *f, int64_t now_ms, struct ingest_opts *o,
                       struct errmsg *e) MUSTCHECK;

#endif
