/* engine.h - runs many sequences through one model, a step at a time.
 *
 * A step is a mixed ragged batch: chunks of prefill and one token of each decoding sequence, under
 * a token budget. Sequences wait in order of arrival, get KV blocks as they grow, and when blocks
 * run out the youngest is put back (its tokens are kept and prefilled again later), never an abort
 * of the others.
 *
 * On an asynchronous device the text of a step's tokens is made while the next step is computed: a
 * stop string is then found one step later, and what was computed for its sequence is dropped.
 *
 * Threads    one thread owns an engine and calls everything here.
 * Ownership  engine_open takes all its memory (KV blocks, activations) at once; engine_step
 *            allocates nothing. A sequence belongs to the engine from engine_add until its outcome
 *            was taken with engine_take.
 * Errors     engine_add: ERR_ARG with a text that names the limit and the number.
 *
 * E1  a sequence's tokens do not depend on what else is in the step, on prefill chunking, on what
 *     the prefix cache has, on having been put back or on the thread count.
 * E2  every sequence that was added comes out of engine_take exactly once: n for each engine_add.
 * E3  a sequence that no token can follow, as its logits are no finite numbers or all are ruled
 *     out, ends there with FINISH_NO_TOKEN; the others go on.
 */
#ifndef WORKER_ENGINE_H
#define WORKER_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "kernels/coll.h"
#include "kernels/device.h"
#include "model/model.h"
#include "schema/perf_fit.h"

struct engine;

/* What the float weights of the layers become when they are brought to the device. */
enum quantization { QUANTIZATION_NONE, QUANTIZATION_FP8, QUANTIZATION_INT8 };

#define ENGINE_MAX_DEVICES 64

struct engine_opts {
    const struct model *model; /* borrowed, outlives the engine */
    const struct device *device;
    int devices[ENGINE_MAX_DEVICES]; /* [n_devices] rank i works on devices[i % n_devices] */
    int n_devices;                   /* 0: all on the first */
    const struct coll_ops *coll; /* what several ranks add up by; NULL: threads of this process */
    enum dtype act;              /* of activations; N_DTYPES: auto: what the device computes in of
                                    what the weights are stored in */
    enum quantization quantization;
    int threads;
    size_t kv_bytes;             /* memory for KV blocks; 0: what memory_utilization leaves */
    double memory_utilization;   /* share of a device's memory for all parts together; 0: 0.92 */
    int sm_count;                /* multiprocessors of the instance; 0: all of the device */
    bool batch_invariant;        /* E1 also on a device whose products depend on the batch */
    const struct tuning *tuning; /* what measuring finds is kept there; borrowed, or NULL */
    int max_num_seqs;            /* sequences in a step */
    int max_batched_tokens;      /* token budget of a step */
    int max_model_len;           /* 0: what the model allows */
    enum dtype kv_dtype;         /* f32, f16, bf16; fp8 where the device has it; N_DTYPES: auto */
    int tp;                      /* tensor-parallel ranks, which share the threads; 0: one */
    bool no_prefix_caching;      /* KV blocks are not kept for sequences that come later */
    bool no_graphs;              /* every step is launched op by op */
};

/* How tokens are chosen, and when to stop.  What it points to is borrowed until engine_take gives
 * the last of its sequences back. */
struct sampling {
    int n;                                     /* answers to the same prompt; 0: one */
    int max_tokens;                            /* 0: the rest of the context */
    int min_tokens;                            /* no stop before this many */
    float temperature;                         /* 0: greedy */
    float top_p;                               /* 1: off */
    float min_p;                               /* 0: off */
    int top_k;                                 /* 0: off */
    float presence_penalty, frequency_penalty; /* 0: off */
    float repetition_penalty;                  /* 1 or 0: off */
    uint64_t seed;                             /* of the first answer; the next has seed + 1 */
    bool ignore_eos;
    bool keep_specials; /* special tokens are text too, but for the one that ended the answer */
    bool include_stop;  /* the text keeps the stop string, or the stop id's text, that ended it */
    bool logprobs;      /* of each token, and of the top_logprobs likeliest in its place */
    int top_logprobs;
    int n_stops;
    struct {
        const char *text;
        size_t len;
    } stops[16];
    int n_stop_ids, n_biases;
    const int32_t *stop_ids;   /* [n_stop_ids] that end an answer as the end token does */
    const struct bias *biases; /* [n_biases] */
    const uint64_t *allowed;   /* a set of mask.h: the only ids that may come; NULL: all */
};
#define SAMPLING_MAX_STOPS    16
#define SAMPLING_MAX_N        128
#define SAMPLING_MAX_LOGPROBS 20

struct logprob {
    int32_t id; /* -1: none */
    float logprob;
};

enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_ABORT, FINISH_NO_TOKEN };
const char *finish_name(enum finish f); /* "stop", "length", "abort", "no_token" */

/* What one sequence gave. */
struct outcome {
    void *owner; /* as given to engine_add */
    int index;   /* which of the owner's n answers */
    enum finish finish;
    struct buf
        text; /* bytes as the tokens spell them, cut before a stop string; buf_fini by the taker */
    int32_t *ids; /* [n_ids] all sampled ids, the end token included; free() by the taker */
    int n_ids;
    struct logprob *logprobs; /* [n_ids][1 + top_logprobs] the token's, then the likeliest ones';
                                 free() by the taker; NULL: not asked for */
    int n_prompt;             /* prompt tokens */
    int n_cached;             /* of them, read from KV blocks that others computed */
    int64_t added_ns, first_ns, started_ns,
        done_ns; /* monotonic: added, first token out, first prefill, end */
};

struct engine_stats {
    int n_waiting, n_running;
    int64_t steps, prefill_tokens, decode_tokens, put_back; /* since open */
    int64_t cached_tokens; /* since open, not computed because KV blocks had them */
    int64_t step_ns;       /* since open, time inside engine_step */
    int kv_blocks, kv_blocks_free;
    size_t weight_bytes, kv_bytes, work_bytes; /* of all ranks */
    struct perf_sample last; /* what the last step held, and how long it took; ms is 0: none yet */
    int64_t graph_bytes;     /* that recorded steps took on the device of rank 0, as it tells */
};

int engine_open(struct engine **out, const struct engine_opts *o, struct errmsg *e) MUSTCHECK;
void engine_close(struct engine **en); /* outcomes not taken are freed */

int engine_max_len(
    const struct engine *en); /* tokens, prompt and answer: the model's or --max-model-len */
int engine_kv_tokens(const struct engine *en); /* tokens that fit the KV blocks: the longest
                                                  sequence this instance can hold */

enum dtype engine_kv_dtype(const struct engine *en); /* as chosen */
int engine_sm_count(const struct engine *en); /* multiprocessors of each device; 0 on the host */

/* Queues a sequence, or n of them that share the prompt's KV blocks; the prompt ids are copied.
 * Fails with ERR_ARG when a parameter is out of range, the prompt is empty, holds an id outside the
 * vocabulary or leaves no room for one token; ERR_FULL when prompt and answer (max_tokens, at most
 * the rest of the context) could never fit the KV blocks here though the model allows it: an answer
 * is never cut short because this instance is small. */
int engine_add(struct engine *en, const int32_t *ids, int n, const struct sampling *p, void *owner,
               struct errmsg *e) MUSTCHECK;

/* For measuring: one more sequence, let in at once, whose first n_kv tokens (of n: at least one is
 * left) count as computed.  Their KV is zeros, so that a step deep in a context need not compute
 * the context first.  Nobody shares its blocks, and nothing of them stays behind; what it answers
 * means nothing.  Errors as of engine_add; ERR_FULL also when a step has no place left, or blocks
 * are missing now. */
int engine_place(struct engine *en, const int32_t *ids, int n, int n_kv, const struct sampling *p,
                 void *owner, struct errmsg *e) MUSTCHECK;

/* Ends an owner's sequences at once; their outcomes are FINISH_ABORT.  No effect on an unknown
 * owner. */
void engine_abort(struct engine *en, const void *owner);

/* fn is told the owners of each step, an owner once, before it is computed, and NULL, 0 when it is
 * done; n is at most max_num_seqs. */
void engine_watch(struct engine *en, void (*fn)(void *arg, void *const *owners, int n), void *arg);

/* One step.  ERR_EMPTY when there is nothing to do; any other error is the device's or the host's
 * end: no sequence is lost, but none can be relied on to advance, nor KV blocks to hold what they
 * are known by; abort, take and close. */
int engine_step(struct engine *en, struct errmsg *e) MUSTCHECK;

/* The next finished sequence, or false. */
bool engine_take(struct engine *en, struct outcome *out);
void engine_stats(const struct engine *en, struct engine_stats *out);
/* Grows while a step is under way; from any thread. */
int64_t engine_beats(const struct engine *en);

/* Logits [V] of the last position of ids, for tests and perplexity: runs alone, leaves the queue as
 * it was. */
int engine_logits(struct engine *en, const int32_t *ids, int n, float *logits,
                  struct errmsg *e) MUSTCHECK;

#endif
