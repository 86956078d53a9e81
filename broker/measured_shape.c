/* measured_shape.c - the shapes of the models that published measurements are of.
 *
 * Source  the models' own config.json; LLaMA's 30B: its paper, table 2.  BLOOM has two matrices of
 *         57,344 where the others have three: its ffn is two thirds of that.
 */
#include <ctype.h>
#include <string.h>

#include "broker/cards.h"

#define KEY 64

/* The letters and digits behind the last slash, without what names a kind of training or a maker.
 */
static void make_key(char out[KEY], const char *model)
{
    static const char *const ENDS[] = {"hf", "instruct", "chat"};
    const char *slash = strrchr(model, '/');
    size_t n = 0;

    for (const char *p = slash ? slash + 1 : model; *p && n < KEY - 1; p++)
        if (isalnum((unsigned char)*p)) out[n++] = (char)tolower((unsigned char)*p);
    out[n] = '\0';
    for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
        size_t len = strlen(ENDS[i]);

        if (n > len && !strcmp(out + n - len, ENDS[i])) {
            out[n -= len] = '\0';
            i = (size_t)-1; /* from the first again: "chat-hf" */
        }
    }
    if (!strncmp(out, "metallama", 9)) memmove(out, out + 4, n - 3);
}

bool measured_is_model(const char *a, const char *b)
{
    char x[KEY], y[KEY];

    make_key(x, a);
    make_key(y, b);
    return !strcmp(x, y);
}

#define SHAPE(l, h, f, q, kv, d, v, max, is_tied)                                                  \
    {                                                                                              \
        .layers = (l), .hidden = (h), .ffn = (f), .q_heads = (q), .kv_heads = (kv),                \
        .head_dim = (d), .vocab = (v), .max_len = (max), .tied = (is_tied), .quant_block = 1,      \
        .weight_bits = 16, .kv_bits = 16                                                           \
    }

static const struct {
    const char *name;
    struct model_shape shape;
} SHAPES[] = {
    {"Llama-3.1-8B", SHAPE(32, 4096, 14336, 32, 8, 128, 128256, 131072, 0)},
    {"Llama-3.1-70B", SHAPE(80, 8192, 28672, 64, 8, 128, 128256, 131072, 0)},
    {"Meta-Llama-3-8B", SHAPE(32, 4096, 14336, 32, 8, 128, 128256, 8192, 0)},
    {"Meta-Llama-3-70B", SHAPE(80, 8192, 28672, 64, 8, 128, 128256, 8192, 0)},
    {"Llama-2-7b-hf", SHAPE(32, 4096, 11008, 32, 32, 128, 32000, 4096, 0)},
    {"Llama-2-70b-hf", SHAPE(80, 8192, 28672, 64, 8, 128, 32000, 4096, 0)},
    {"CodeLlama-34b-Instruct-hf", SHAPE(48, 8192, 22016, 64, 8, 128, 32000, 16384, 0)},
    {"llama1_30b", SHAPE(60, 6656, 17920, 52, 52, 128, 32000, 2048, 0)},
    {"Qwen-72B", SHAPE(80, 8192, 24576, 64, 64, 128, 152064, 32768, 0)},
    {"Qwen3-32B", SHAPE(64, 5120, 25600, 64, 8, 128, 151936, 40960, 0)},
    {"bloom-176b", SHAPE(70, 14336, 38229, 112, 112, 128, 250880, 2048, 1)},
};

const struct model_shape *measured_shape(const char *model)
{
    for (size_t i = 0; i < sizeof SHAPES / sizeof SHAPES[0]; i++)
        if (measured_is_model(SHAPES[i].name, model)) return &SHAPES[i].shape;
    return NULL;
}
