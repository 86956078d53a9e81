/* seq.h - one sequence: a prompt, the tokens sampled so far, its KV blocks, its text.
 *
 *   seq_new --> waiting --admitted--> running --last token, abort--> done --taken--> seq_free
 *                  ^   \                 |                            ^
 *                  |    `-----------abort|----------------------------+
 *                  +------put back-------+
 *
 * A waiting sequence holds no KV blocks.  One that was put back keeps its tokens and prefills them
 * again.
 *
 * Threads    the engine's thread only.
 * Ownership  seq_new copies the prompt and takes the memory for all that will be sampled; only the
 *            text may grow later.
 *
 * SQ1  a sequence is on exactly the list of its state; seq_move is the only mover.
 */
#ifndef WORKER_SEQ_H
#define WORKER_SEQ_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "worker/engine.h"
#include "worker/kv.h"

enum seq_state { SEQ_NEW, SEQ_WAITING, SEQ_RUNNING, SEQ_DONE };
#define SEQ_N_STATES 4

struct seq {
    struct seq *prev, *next; /* on its state's list */
    enum seq_state state;
    int64_t order; /* of arrival: smaller is older */
    void *owner;
    int index; /* which of its owner's answers */
    struct sampling sampling;

    int32_t *prompt;          /* [n_prompt] */
    int32_t *out;             /* [max_out], the first n_out are sampled */
    struct logprob *logprobs; /* [max_out][1 + top_logprobs]; NULL: not asked for */
    int n_prompt, n_out, max_out;
    int n_kv; /* tokens whose K and V are in the blocks */
    struct kv_table table;
    int n_sealed;  /* blocks of the table that are sealed, the first ones */
    int64_t scope; /* of the prefix cache: who may share its blocks */
    bool alone;    /* its blocks are never sealed: what they hold is not what its tokens make */
    int n_cached;  /* prompt tokens that were in shared blocks when it was first let in */

    struct buf text;
    bool has_text;   /* prompt or answer holds a token that spells something */
    bool stopped;    /* by the id of its last token */
    size_t searched; /* bytes of text that stop strings were looked for in */
    enum finish finish;
    int64_t added_ns, started_ns, first_ns, done_ns;
};

/* The sequences of one state, oldest first. */
struct seq_list {
    enum seq_state state;
    struct seq *first, *last;
    int n;
};

/* NULL when there is no memory.  max_out: most tokens it may sample. */
struct seq *seq_new(const int32_t *prompt, int n_prompt, const struct sampling *p, int max_out);
void seq_free(struct seq **s);

/* To the place on `to` that its order gives it. */
void seq_move(struct seq *s, struct seq_list *from, struct seq_list *to);

int seq_len(const struct seq *s); /* tokens, prompt and sampled */
int32_t seq_id_at(const struct seq *s, int i);
struct logprob *seq_logprobs(const struct seq *s, int i); /* of its i-th sampled token */
int seq_left(const struct seq *s); /* tokens whose K and V are not in the blocks: 1 when decoding */
bool seq_is_decoding(const struct seq *s);

/* Takes what the prefix cache has of its tokens, all but the last; it holds no blocks before. */
void seq_share(struct seq *s, struct kv *kv);
/* Seals its full blocks of the first n tokens (kv_seal). */
void seq_seal(struct seq *s, struct kv *kv, int n, bool swap);
void seq_release(struct seq *s, struct kv *kv); /* lets go of all its blocks */

/* Takes a sampled token.  True when it is the last one, whatever its text is: an end token, or the
 * limit. */
bool seq_put(struct seq *s, int32_t id, const struct model_config *c);
/* The text of the token that was put last, once; *done says that no more may come: what seq_put
 * said, or a stop string; finish is set then.  0 or ERR_NOMEM. */
int seq_spell(struct seq *s, const struct model *m, bool *done) MUSTCHECK;

#endif
