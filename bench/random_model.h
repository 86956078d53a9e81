/* random_model.h - the weights of a Llama-shaped model that nobody trained.
 *
 * A weight is a function of seed, tensor, row and column, so each format that is written of them
 * holds the same model.  Matrices spread by 1/sqrt(their columns) and the embedding by 0.02, as
 * trained ones do, norms lie about 1: activations stay finite.
 *
 * Errors  end the program (report_fail).
 */
#ifndef BENCH_RANDOM_MODEL_H
#define BENCH_RANDOM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

struct random_model {
    int hidden, layers, heads, kv_heads, head_dim, feed, vocab, positions;
    double rope_theta;
    uint64_t seed;
    bool untied; /* a head of its own, not the embedding */
    int repeat;  /* after so many rows a matrix begins again, which is written sooner; 0: never */
};

/* Of one tensor, [rows][cols] or, cols 0, a vector.  A norm's rows lie about 1. */
struct random_tensor {
    char name[64]; /* in safetensors */
    char gguf[48]; /* in GGUF */
    int rows, cols;
    int repeat;
    int heads; /* whose pairs of rotated rows stand side by side in GGUF; 0: no head is rotated */
    uint64_t seed;
};

#define RANDOM_LAYER_TENSORS 9

int random_tensors(const struct random_model *m);
void random_tensor(const struct random_model *m, int i, struct random_tensor *out);

/* Row `row` [cols], in the order of safetensors; of a vector all of it. */
void random_row(const struct random_tensor *t, int row, float *out);
/* Which row of safetensors is this row of GGUF? */
int random_row_of_gguf(const struct random_tensor *t, int row);

#endif
