/* tiny.h - a small model with random weights, written by the test that needs it.
 *
 * Llama architecture, 3 layers, 6 heads on 2 KV heads of 20 (no whole vec), 61 tokens: 0 is the
 * special end token, 1 is a space, 2..27 the letters a..z, the rest pairs of letters.
 */
#ifndef TESTS_TINY_H
#define TESTS_TINY_H

#include <stdbool.h>

#include "base/dtype.h"
#include "model/model.h"

#define TINY_VOCAB     61
#define TINY_POSITIONS 600
#define TINY_STEEP     "model.layers.1.self_attn.v_proj.weight"

struct tiny {
    enum dtype dtype;
    bool tied;
    const char *without; /* a tensor that is left out; NULL: none */
    const char *bent;    /* a tensor that is written one column or row short */
    const char *extra;   /* one more tensor, [4] */
    bool steep;          /* TINY_STEEP is 2^20 times as large and o_proj as much smaller, which
                            changes no answer */
};

/* Writes the files below test_dir() and opens them; the parts are real, there is no chat. */
void tiny_open(struct model *m, const struct tiny *t);

/* Any directory with config.json, tokenizer.json and weights. */
void tiny_open_dir(struct model *m, const char *dir);
void tiny_close(struct model *m);

#endif
