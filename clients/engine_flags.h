/* engine_flags.h - the options of a worker's engine, the same for `worker` and `run`.
 *
 * A config struct that has them embeds struct engine_flags; ENGINE_OPTS gives the rows of its
 * option table.
 */
#ifndef CLIENTS_ENGINE_FLAGS_H
#define CLIENTS_ENGINE_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/opt.h"
#include "worker/worker.h"

struct engine_flags {
    const char *device, *context_dir, *kv_dtype, *dtype, *quantization, *sm_counts;
    bool prefix_caching, batch_invariant;
    double memory_utilization;
    int64_t tp, threads, kv_bytes, max_num_seqs, max_batched_tokens, max_model_len,
        default_max_tokens, profile_seconds;
};

#define ENGINE_FLAGS_DEFAULT                                                                       \
    {                                                                                              \
        .device = "cpu", .kv_dtype = "auto", .dtype = "auto", .quantization = "none",              \
        .prefix_caching = true, .memory_utilization = 0.92, .max_num_seqs = 64,                    \
        .max_batched_tokens = 512, .profile_seconds = 10                                           \
    }

#define ENGINE_OPTS(at)                                                                            \
    {"device",                                                                                     \
     0,                                                                                            \
     "cpu|cuda[:N,...]|ref|sim:FILE",                                                              \
     "what computes: cpu (default), CUDA devices, the plain reference, or, on a worker, nothing "  \
     "at all",                                                                                     \
     OPT_STR,                                                                                      \
     (at) + offsetof(struct engine_flags, device),                                                 \
     0,                                                                                            \
     0},                                                                                           \
        {"context-dir",                                                                            \
         0,                                                                                        \
         "DIR",                                                                                    \
         "where tokenizers and hashes are kept between starts (default: nightmill in the user's "  \
         "cache)",                                                                                 \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct engine_flags, context_dir),                                        \
         0,                                                                                        \
         0},                                                                                       \
        {"threads", 't',                                                                           \
         "N",       "threads of one worker (default: as many as it may run on)",                   \
         OPT_INT,   (at) + offsetof(struct engine_flags, threads),                                 \
         0,         1024},                                                                         \
        {"gpu-memory-utilization",                                                                 \
         0,                                                                                        \
         "SHARE",                                                                                  \
         "of a CUDA device's memory, for weights, KV blocks and work together (default 0.92)",     \
         OPT_SHARE,                                                                                \
         (at) + offsetof(struct engine_flags, memory_utilization),                                 \
         0,                                                                                        \
         0},                                                                                       \
        {"sm-count",                                                                               \
         0,                                                                                        \
         "N[,M...]",                                                                               \
         "instances on one CUDA device, each with so many of its multiprocessors (default: one "   \
         "with all)",                                                                              \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct engine_flags, sm_counts),                                          \
         0,                                                                                        \
         0},                                                                                       \
        {"dtype",                                                                                  \
         0,                                                                                        \
         "auto|float32|float16|bfloat16",                                                          \
         "what activations are computed in (default auto: as the weights, where the device can)",  \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct engine_flags, dtype),                                              \
         0,                                                                                        \
         0},                                                                                       \
        {"quantization",                                                                           \
         0,                                                                                        \
         "none|fp8|int8",                                                                          \
         "what float weights become on a CUDA device (default none)",                              \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct engine_flags, quantization),                                       \
         0,                                                                                        \
         0},                                                                                       \
        {"batch-invariant",                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "on CUDA the same tokens whatever else is in the batch, at a price",                      \
         OPT_FLAG,                                                                                 \
         (at) + offsetof(struct engine_flags, batch_invariant),                                    \
         0,                                                                                        \
         0},                                                                                       \
        {"kv-cache-memory-bytes",                                                                  \
         0,                                                                                        \
         "BYTES",                                                                                  \
         "memory for KV blocks (default: half of what the weights leave, at least 256M; on CUDA "  \
         "what --gpu-memory-utilization leaves)",                                                  \
         OPT_BYTES,                                                                                \
         (at) + offsetof(struct engine_flags, kv_bytes),                                           \
         1 << 12,                                                                                  \
         (int64_t)1 << 44},                                                                        \
        {"kv-cache-dtype",                                                                         \
         0,                                                                                        \
         "auto|f32|f16|bf16|fp8",                                                                  \
         "how KV blocks store numbers (default auto: f32 for an f32 model, else f16; on CUDA as "  \
         "the weights)",                                                                           \
         OPT_STR,                                                                                  \
         (at) + offsetof(struct engine_flags, kv_dtype),                                           \
         0,                                                                                        \
         0},                                                                                       \
        {"enable-prefix-caching",                                                                  \
         0,                                                                                        \
         NULL,                                                                                     \
         "keep KV blocks for rows that begin alike (default)",                                     \
         OPT_FLAG,                                                                                 \
         (at) + offsetof(struct engine_flags, prefix_caching),                                     \
         0,                                                                                        \
         0},                                                                                       \
        {"no-enable-prefix-caching",                                                               \
         0,                                                                                        \
         NULL,                                                                                     \
         "do not",                                                                                 \
         OPT_NOT,                                                                                  \
         (at) + offsetof(struct engine_flags, prefix_caching),                                     \
         0,                                                                                        \
         0},                                                                                       \
        {"tensor-parallel-size",                                                                   \
         0,                                                                                        \
         "N",                                                                                      \
         "ranks that share the model's heads and columns (default 1; on CUDA one for each "        \
         "device)",                                                                                \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct engine_flags, tp),                                                 \
         1,                                                                                        \
         64},                                                                                      \
        {"max-num-seqs",                                                                           \
         0,                                                                                        \
         "N",                                                                                      \
         "sequences in one step (default 64)",                                                     \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct engine_flags, max_num_seqs),                                       \
         1,                                                                                        \
         4096},                                                                                    \
        {"max-num-batched-tokens",                                                                 \
         0,                                                                                        \
         "N",                                                                                      \
         "tokens in one step (default 512)",                                                       \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct engine_flags, max_batched_tokens),                                 \
         1,                                                                                        \
         1 << 20},                                                                                 \
        {"max-model-len",                                                                          \
         0,                                                                                        \
         "N",                                                                                      \
         "tokens of prompt and answer at most (default: the model's)",                             \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct engine_flags, max_model_len),                                      \
         0,                                                                                        \
         1 << 24},                                                                                 \
        {"profile-seconds",                                                                        \
         0,                                                                                        \
         "N",                                                                                      \
         "to measure how fast steps are, at the first start with a model (default 10; 0: never)",  \
         OPT_INT,                                                                                  \
         (at) + offsetof(struct engine_flags, profile_seconds),                                    \
         0,                                                                                        \
         600},                                                                                     \
    {                                                                                              \
        "default-max-tokens", 0, "N",                                                              \
            "for a chat that does not say (default: the rest of the context)", OPT_INT,            \
            (at) + offsetof(struct engine_flags, default_max_tokens), 0, 1 << 24                   \
    }

/* Copies the flags into a worker's options.  ERR_ARG: a word that is not known. */
int engine_flags_apply(const struct engine_flags *f, struct worker_opts *o,
                       struct errmsg *e) MUSTCHECK;

#endif
