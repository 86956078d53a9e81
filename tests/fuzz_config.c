/* fuzz_config.c - any bytes as config.json and, behind a NUL, generation_config.json.
 *
 * Held besides memory safety: a configuration that is accepted has sizes inside their limits, and
 * numbers that are numbers; its positions make a table or are refused.
 */
#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "model/config.h"
#include "model/rope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *parse(const char *text, size_t len)
{
    json_error_t bad;
    json_t *v = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &bad);

    if (json_is_object(v)) return v;
    json_decref(v);
    return NULL;
}

static void check(const struct model_config *c)
{
    float inv_freq[CONFIG_MAX_HD / 2], scale;
    struct errmsg e;

    assert(c->hidden_size > 0 && c->intermediate_size > 0 && c->vocab_size > 0);
    assert(c->n_layers > 0 && c->n_layers <= CONFIG_MAX_LAYERS);
    assert(c->head_dim >= 2 && c->head_dim <= CONFIG_MAX_HD && c->n_rot <= c->head_dim);
    assert(c->n_kv_heads > 0 && c->n_heads % c->n_kv_heads == 0);
    assert(c->n_eos >= 0 && c->n_eos <= CONFIG_MAX_EOS && c->bos_id < c->vocab_size);
    for (int i = 0; i < c->n_eos; i++)
        assert(c->eos_ids[i] >= 0 && c->eos_ids[i] < c->vocab_size);
    assert(isfinite(c->attn_scale) && isfinite(c->rms_eps) && isfinite(c->embed_scale));
    if (rope_table(inv_freq, &scale, &c->rope, c->n_rot, c->max_positions, c->max_positions, &e))
        return;
    for (int i = 0; i < c->n_rot / 2; i++)
        assert(isfinite(inv_freq[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct model_config c;
    const char *text = (const char *)data, *second = size ? memchr(text, 0, size) : NULL;
    const size_t first_len = second ? (size_t)(second - text) : size;
    json_t *config = parse(text, first_len), *generation = NULL;
    struct errmsg e;

    if (second) generation = parse(second + 1, size - first_len - 1);
    if (config && !config_from_json(&c, config, generation, "fuzz", &e)) check(&c);
    json_decref(config);
    json_decref(generation);
    return 0;
}
