/* family.c - the tiny models of tests/golden, run without an engine. */
#include "tests/family.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

#include "model/weights.h"
#include "tests/test.h"

const struct family_case FAMILY_CASES[] = {
    {"llama", "llama", 64},           {"llama-linear", "llama", 64},
    {"llama-llama3", "llama", 64},    {"llama-yarn", "llama", 64},
    {"llama-bias", "llama-bias", 64}, {"smollm", "smollm", 64},
    {"mistral", "mistral", 64},       {"mistral-nowindow", "mistral", 64},
    {"qwen2", "qwen2", 64},           {"qwen2-window", "qwen2", 64},
    {"qwen3", "qwen3", 64},           {"phi3", "phi3", 64},
    {"phi3-long", "phi3-long", 64},   {"phi3-short", "phi3-long", 24},
    {"gemma2", "gemma2", 64},         {"gemma2-scale", "gemma2", 64},
    {"gemma3-scale", "gemma3", 64},   {"gemma3", "gemma3", 64},
};
const int N_FAMILY_CASES = sizeof FAMILY_CASES / sizeof FAMILY_CASES[0];

const struct ops *family_table(int i)
{
    static const enum simd_level LEVELS[] = {SIMD_BASE, SIMD_V3, SIMD_V4};

    simd_cap(SIMD_V4);
    if (i == 0) return ops_ref();
    if (simd_level() < LEVELS[i - 1]) return NULL;
    simd_cap(LEVELS[i - 1]);
    return ops_cpu();
}

static const char *golden(const char *name, const char *suffix)
{
    static char path[4][256];
    static int at;
    char *p = path[at++ % 4];

    snprintf(p, sizeof path[0], "tests/golden/%s%s", name, suffix);
    return p;
}

static int whole_numbers(const struct weights *w, const char *name, int32_t *out, int cap)
{
    const struct tensor *t = weights_find(w, name);
    const int n = t ? (int)t->shape[0] : -1;

    ck_assert_msg(t && n <= cap, "%s: %d numbers, and %d fit", name, n, cap);
    for (int i = 0; i < n; i++)
        out[i] = (int32_t)((const float *)t->data)[i];
    return n;
}

static void load_answers(struct family_run *f, const char *name)
{
    struct weights *w = NULL;
    const struct tensor *t;

    ck_assert_msg(!weights_open(&w, golden(name, ".logits.safetensors"), &f->e), "%s", f->e.text);
    f->n_ids = whole_numbers(w, "ids", f->ids, FAMILY_MAX_IDS);
    f->n_greedy = whole_numbers(w, "greedy", f->ids + f->n_ids, FAMILY_MAX_IDS - f->n_ids);
    t = weights_find(w, "logits");
    ck_assert(t && t->shape[0] == f->n_ids && t->shape[1] == f->V);
    f->want = malloc(t->bytes);
    memcpy(f->want, t->data, t->bytes);
    weights_close(&w);
}

void family_load(struct family_run *f, const struct family_case *c)
{
    json_error_t je;
    json_t *config = json_load_file(golden(c->name, ".json"), 0, &je);

    memset(f, 0, sizeof *f);
    ck_assert_msg(config != NULL, "%s: %s", c->name, je.text);
    ck_assert_msg(!config_from_json(&f->model.config, config, NULL, c->name, &f->e), "%s",
                  f->e.text);
    json_decref(config);
    ck_assert_msg(!weights_open(&f->model.weights, golden(c->weights, ".safetensors"), &f->e), "%s",
                  f->e.text);
    f->V = f->model.config.vocab_size;
    load_answers(f, c->name);
}

int family_forward(struct family_run *f, const struct family_case *c, const struct ops *ops, int tp)
{
    const int n_blocks = FAMILY_MAX_IDS / KV_BLOCK_TOKENS;
    const struct forward_opts o = {.model = &f->model,
                                   .device = device_cpu(),
                                   .ops = ops,
                                   .parts = &(struct device_opts){.threads = 1},
                                   .n_parts = 1,
                                   .max_tokens = FAMILY_MAX_IDS,
                                   .max_rows = FAMILY_MAX_IDS,
                                   .max_model_len = c->max_model_len,
                                   .tp = tp};
    struct kv_shape shape;
    struct kv_home home;
    int rc;

    kv_close(&f->kv);
    forward_close(&f->forward);
    f->n_kv = f->n_other_kv = 0;
    rc = forward_open(&f->forward, &o, &f->e);
    if (rc) return rc;
    shape = forward_kv_shape(f->forward, DTYPE_F32);
    home = (struct kv_home){o.device, forward_streams(f->forward), forward_ranks(f->forward)};
    ck_assert_int_eq(kv_open(&f->kv, &shape, &home, n_blocks + 3, false, &f->e), ERR_OK);
    /* 7 blocks, in no order; the second sequence has three of them */
    for (int i = 0; i < n_blocks; i++)
        f->tables[1][i] = (3 * i + 2) % (n_blocks + 3);
    for (int i = n_blocks; i < 2 * n_blocks - 1; i++)
        f->tables[0][i - n_blocks] = (3 * i + 2) % (n_blocks + 3);
    return ERR_OK;
}

void family_close(struct family_run *f)
{
    kv_close(&f->kv);
    forward_close(&f->forward);
    weights_close(&f->model.weights);
    free(f->want);
}

/* Token i of a step: the second sequence's come first. */
static void put_token(const struct family_run *f, struct ragged *r, int i, int n_other)
{
    const int k = i < n_other ? f->n_other_kv + i : f->n_kv + i - n_other;

    ((int32_t *)r->pos)[i] = k;
    ((int32_t *)r->seq)[i] = n_other && i >= n_other;
    ((int32_t *)r->ids)[i] = f->ids[i < n_other ? f->n_ids - 1 - k : k];
}

int family_step_beside(struct family_run *f, int n, int n_other, float *logits)
{
    const size_t V = (size_t)f->V;
    int32_t ids[FAMILY_MAX_IDS], pos[FAMILY_MAX_IDS], seq[FAMILY_MAX_IDS];
    int32_t rows[FAMILY_MAX_IDS] = {0}, start[] = {0, n_other ? n_other : n, n_other + n};
    struct ragged r = {.T = n_other + n,
                       .S = n_other ? 2 : 1,
                       .ids = ids,
                       .pos = pos,
                       .seq = seq,
                       .start = start,
                       .blocks = f->tables[n_other ? 0 : 1],
                       .max_blocks = FAMILY_MAX_IDS / KV_BLOCK_TOKENS,
                       .rows = rows,
                       .n_rows = n};
    int rc;

    ck_assert_int_le(r.T, FAMILY_MAX_IDS);
    for (int i = 0; i < r.T; i++)
        put_token(f, &r, i, n_other);
    for (int i = 0; i < n; i++)
        rows[i] = n_other + i;
    rc = model_forward(f->forward, &r, f->kv, &f->e);
    for (int first = 0; first < n && !rc; first += FORWARD_LOGITS) {
        const int k = n - first < FORWARD_LOGITS ? n - first : FORWARD_LOGITS;
        float *got;

        rc = forward_logits(f->forward, first, k, &got, &f->e);
        if (!rc) memcpy(logits + (size_t)first * V, got, (size_t)k * V * sizeof *got);
    }
    f->n_kv += n;
    f->n_other_kv += n_other;
    return rc;
}

int family_step(struct family_run *f, int n, float *logits)
{
    return family_step_beside(f, n, 0, logits);
}

void family_prompt(struct family_run *f, int chunk, float *logits)
{
    int next = 1;

    f->n_kv = 0;
    while (f->n_kv < f->n_ids) {
        const int left = f->n_ids - f->n_kv, n = chunk ? chunk : next, at = f->n_kv;

        next = next % 7 + 1;
        ck_assert_msg(!family_step(f, n < left ? n : left, logits + (size_t)at * (size_t)f->V),
                      "%s", f->e.text);
    }
}

double family_off(const struct family_run *f, const float *got)
{
    double off = 0, largest = 0;

    for (size_t i = 0; i < (size_t)f->n_ids * (size_t)f->V; i++) {
        const double d = fabs((double)got[i] - (double)f->want[i]);

        if (isnan(d)) return HUGE_VAL;
        off = fmax(off, d);
        largest = fmax(largest, fabs((double)f->want[i]));
    }
    return off / largest;
}
