/* fuzz_gguf.c - any bytes as a GGUF file: its keys and tensors, and all that is made of them: the
 * configuration, the tokenizer, the chat template.
 *
 * Held besides memory safety: every tensor lies inside the bytes (G1), and has those that its shape
 * gives (G2); what a tokenizer encodes are ids of its own.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/config.h"
#include "model/gguf_config.h"
#include "model/gguf_names.h"
#include "model/gguf_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensors(const struct gguf *g, const char *begin, size_t len)
{
    const char *last = begin;
    unsigned sum = 0;
    char name[512];

    for (int i = 0; i < gguf_count(g); i++) {
        const struct tensor *t = gguf_at(g, i);
        const char *at = t->data;
        size_t n = dtype_row_bytes(t->dtype, (size_t)t->shape[t->n_dims - 1]);

        for (int d = 0; d < t->n_dims - 1; d++)
            n *= (size_t)t->shape[d];
        assert(n == t->bytes && at >= begin && t->bytes <= (size_t)(begin + len - at));
        assert(gguf_tensor(g, t->name) == t);
        sum += (unsigned char)at[0] + (unsigned char)at[t->bytes - 1];
        assert(gguf_rename(name, sizeof name, "gemma3", t->name) && strlen(name) < sizeof name);
        last = sum & 1 ? at : last; /* the reads are used */
    }
    assert(last);
}

static void try_config(const struct gguf *g)
{
    struct model_config c;
    json_t *json = NULL;
    struct errmsg e;

    if (!gguf_config(&json, g, &e) && !config_from_json(&c, json, NULL, "fuzz", &e)) {
        assert(c.n_layers > 0 && c.n_layers <= CONFIG_MAX_LAYERS && c.head_dim <= CONFIG_MAX_HD);
        assert(c.n_heads % c.n_kv_heads == 0 && c.n_rot <= c.head_dim);
    }
    json_decref(json);
}

static void try_tokenizer(const struct gguf *g)
{
    static const char TEXT[] = "<s>The  b\xC3\xBCg 123 \xE2\x96\x81\n\n<|im_end|>it's\x01";
    struct tokenizer *t = NULL;
    struct ids ids = {0};
    struct buf back = {0};
    struct errmsg e;

    if (gguf_tokenizer(&t, g, &e)) return;
    if (!tokenizer_encode(t, TEXT, sizeof TEXT - 1, TOKENIZER_BOS | TOKENIZER_SPECIALS, &ids, &e)) {
        for (size_t i = 0; i < ids.n; i++)
            assert(ids.at[i] >= 0 && ids.at[i] < tokenizer_size(t));
        assert(!tokenizer_decode(t, ids.at, ids.n, &back));
    }
    buf_fini(&back);
    ids_fini(&ids);
    tokenizer_close(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gguf *g = NULL;
    struct chat *chat = NULL;
    struct errmsg e;
    uint8_t *own = malloc(size ? size : 1); /* aligned, and of exactly its size */

    if (!own) return 0;
    memcpy(own, data, size);
    if (!gguf_from_bytes(&g, own, size, "fuzz", &e)) {
        check_tensors(g, (const char *)own, size);
        try_config(g);
        try_tokenizer(g);
        if (!gguf_chat(&chat, g, &e)) chat_close(&chat);
    }
    gguf_close(&g);
    free(own);
    return 0;
}
