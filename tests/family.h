/* family.h - the tiny models of tests/golden, run without an engine.
 *
 * Each case is a model of some family, a prompt, the logits of every position and the greedy ids
 * that follow, as another program computed them (tests/golden/make_golden.py).  Every call ends
 * the test when something fails, but family_step.
 */
#ifndef TESTS_FAMILY_H
#define TESTS_FAMILY_H

#include "kernels/ops.h"
#include "kernels/simd.h"
#include "model/model.h"
#include "worker/forward.h"

#define FAMILY_MAX_IDS 64

struct family_case {
    const char *name, *weights;
    int max_model_len; /* phi3: which set of factors */
};
extern const struct family_case FAMILY_CASES[];
extern const int N_FAMILY_CASES;

struct family_run {
    struct model model; /* without a tokenizer */
    int V;
    int n_ids, n_greedy;
    int32_t ids[FAMILY_MAX_IDS]; /* the prompt, then the greedy ids */
    float *want;                 /* [n_ids][V] */
    struct forward *forward;
    struct kv *kv;
    int32_t tables[2][FAMILY_MAX_IDS / KV_BLOCK_TOKENS]; /* of the second sequence, of the first */
    int n_kv, n_other_kv;                                /* tokens that are in the KV blocks */
    struct errmsg e;
};

/* The reference, then the CPU's ops at each level; NULL where the machine lacks it. */
#define FAMILY_TABLES 4
const struct ops *family_table(int i);

void family_load(struct family_run *f, const struct family_case *c);
int family_forward(struct family_run *f, const struct family_case *c, const struct ops *ops,
                   int tp) MUSTCHECK;
void family_close(struct family_run *f);

/* n more tokens of f->ids; logits [n][V]. */
int family_step(struct family_run *f, int n, float *logits) MUSTCHECK;
/* The same, with n_other more tokens of a second sequence before them in the step: f->ids from the
 * back to the front.  It goes on at n_other_kv. */
int family_step_beside(struct family_run *f, int n, int n_other, float *logits) MUSTCHECK;
/* The whole prompt, chunk tokens at a time; 0: chunks of 1, 2, ... 7, 1, ... */
void family_prompt(struct family_run *f, int chunk, float *logits);
/* Largest |got - want| by the largest |want|; not a number counts as the worst. */
double family_off(const struct family_run *f, const float *got);

#endif
