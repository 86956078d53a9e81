/* config.h - what config.json and generation_config.json say, as numbers.
 *
 * Every number is checked against a limit before it is used; a missing or wild one is ERR_FORMAT
 * and named.  An architecture or an option that the engine does not compute is ERR_UNSUPPORTED,
 * named, with the list of what is known; nothing that would change the answer is ignored.
 */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/err.h"

#define CONFIG_MAX_EOS 16

struct model_config {
    char arch[48]; /* "LlamaForCausalLM" */
    int hidden_size;
    int intermediate_size;
    int n_layers;
    int n_heads;
    int n_kv_heads;
    int head_dim;
    int vocab_size;
    int max_positions; /* max_position_embeddings */
    float rms_eps;
    float rope_theta;
    bool tied;  /* the head is the embedding */
    int bos_id; /* -1 when there is none */
    int n_eos;
    int32_t eos_ids[CONFIG_MAX_EOS]; /* from generation_config.json, else config.json */
};

/* Reads dir/config.json and, where it is, dir/generation_config.json. */
int config_read(struct model_config *out, const char *dir, struct errmsg *e) MUSTCHECK;

#endif
