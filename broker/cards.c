/* cards.c - devices by name.
 *
 * Peaks are of tensor cores without sparsity and with 32-bit sums, and memory is the maker's GB of
 * 1e9 bytes: NVIDIA's, AMD's data sheets and architecture papers as collected by
 * ai-dynamo/aiconfigurator (systems), NVIDIA/TensorRT-LLM (auto_parallel/cluster_info.py),
 * cli99/llm-analysis (gpu_configs), stas00/ml-engineering (compute/accelerator) and
 * Lightning-AI/pytorch-lightning (fabric/utilities/throughput.py).  Tensor cores that know fp8 or
 * int8 do twice as many of them as of f16.
 *
 * The shares of the peaks are those of whole steps on one card: medians over its models in
 * measured.c of the roofline's k1 over theirs, and of its kw over the time of the smallest step
 * without LAUNCH_S.  A matrix product alone reaches more (0.87 to 0.97 of the peak).
 */
#include "broker/cards.h"

#include <ctype.h>
#include <string.h>

/* Medians of the measured ones. */
#define FLOPS_SHARE 0.70
#define BYTES_SHARE 0.77

#define CARD(name, gb, f16, bf16, fp8, int8, gbs, link, pcie, of_flops, of_bytes)                  \
    {                                                                                              \
        name, (gb)*1e9, (f16)*1e12, (bf16)*1e12, (fp8) * (f16)*1e12, (int8) * (f16)*1e12,          \
            (gbs)*1e9, (link)*1e9, (pcie)*1e9, (of_flops) > 0 ? (of_flops) : FLOPS_SHARE,          \
            (of_bytes) > 0 ? (of_bytes) : BYTES_SHARE, (of_flops) > 0                              \
    }

/* GB; Tflop/s of f16 and bf16, fp8 and int8 as so many times f16; GB/s of memory, link and PCIe;
 * the shares, 0: not measured. */
static const struct card CARDS[] = {
    CARD("V100-PCIe-32GB", 32, 112, 0, 0, 0, 900, 0, 16, 0, 0),
    CARD("V100-SXM2-32GB", 32, 125, 0, 0, 0, 900, 150, 16, 0.71, 0.77),
    CARD("T4-16GB", 16, 65, 0, 0, 2, 300, 0, 16, 0.42, 0.74),
    CARD("A10-24GB", 24, 125, 125, 0, 2, 600, 0, 32, 0, 0),
    CARD("A10G-24GB", 24, 70, 70, 0, 2, 600, 0, 32, 0, 0),
    CARD("A30-24GB", 24, 165, 165, 0, 2, 933, 0, 32, 0, 0),
    CARD("A40-48GB", 48, 149.7, 149.7, 0, 2, 696, 56.25, 32, 0.76, 0.76),
    CARD("RTX-A5000-24GB", 24, 111.1, 111.1, 0, 2, 768, 56.25, 32, 0, 0),
    CARD("RTX-A6000-48GB", 48, 154.8, 154.8, 0, 2, 768, 56.25, 32, 0.67, 0.84),
    CARD("RTX-3090-24GB", 24, 71.2, 71.2, 0, 2, 936, 56.25, 32, 0.95, 0.74),
    CARD("RTX-4090-24GB", 24, 165.2, 165.2, 2, 2, 1008, 0, 32, 1.00, 0.82),
    CARD("RTX-5090-32GB", 32, 209.5, 209.5, 2, 2, 1792, 0, 64, 0, 0),
    CARD("RTX-PRO-6000-96GB", 96, 467.8, 467.8, 2, 2, 1792, 0, 64, 0.90, 0.73),
    CARD("L4-24GB", 24, 121, 121, 2, 2, 300, 0, 32, 0.44, 0.80),
    CARD("L40-48GB", 48, 181, 181, 2, 2, 864, 0, 32, 0, 0),
    CARD("L40S-48GB", 48, 362, 362, 2, 2, 864, 0, 32, 0.62, 0.79),
    CARD("A100-PCIe-40GB", 40, 312, 312, 0, 2, 1555, 300, 32, 0, 0),
    CARD("A100-SXM-40GB", 40, 312, 312, 0, 2, 1555, 300, 32, 0.79, 0.79),
    CARD("A100-PCIe-80GB", 80, 312, 312, 0, 2, 1935, 300, 32, 0, 0),
    CARD("A100-SXM-80GB", 80, 312, 312, 0, 2, 2039, 300, 32, 0.73, 0.74),
    CARD("A800-PCIe-40GB", 40, 312, 312, 0, 2, 1555, 200, 32, 0, 0),
    CARD("A800-PCIe-80GB", 80, 312, 312, 0, 2, 1935, 200, 32, 0, 0),
    CARD("A800-SXM-80GB", 80, 312, 312, 0, 2, 2039, 200, 32, 0, 0),
    CARD("H100-PCIe-80GB", 80, 756, 756, 2, 2, 2000, 300, 64, 0, 0),
    CARD("H100-SXM-80GB", 80, 989, 989, 2, 2, 3350, 450, 64, 0.69, 0.81),
    CARD("H20-96GB", 96, 147, 147, 2, 2, 4000, 450, 64, 0, 0),
    CARD("H200-SXM-141GB", 141, 989, 989, 2, 2, 4800, 450, 64, 0.68, 0.75),
    CARD("B200-SXM-180GB", 180, 2250, 2250, 2, 2, 8000, 900, 64, 0.64, 0.77),
    CARD("B300-SXM-288GB", 288, 2250, 2250, 2, 0, 8000, 900, 121, 0, 0),
    CARD("GB200-186GB", 186, 2500, 2500, 2, 2, 8000, 900, 64, 0, 0),
    CARD("MI250-128GB", 128, 362.1, 362.1, 0, 1, 3277, 350, 32, 0, 0),
    CARD("MI250X-128GB", 128, 383, 383, 0, 1, 3277, 350, 32, 0, 0),
    CARD("MI300X-192GB", 192, 1307, 1307, 2, 2, 5300, 448, 64, 0, 0),
    CARD("MI325X-256GB", 256, 1300, 1300, 2, 2, 6000, 448, 64, 0, 0),
};
#define N_CARDS (sizeof CARDS / sizeof CARDS[0])

const struct card *card_at(size_t i)
{
    return i < N_CARDS ? &CARDS[i] : NULL;
}

/* What CUDA's names say beside the card's own; "HBM3" is how the H100 of a board calls itself. */
static const char *const NOISE[] = {"nvidia", "amd",       "geforce", "tesla",   "instinct",
                                    "gpu",    "blackwell", "server",  "edition", "oam"};

#define WORD 32

/* The next word of letters and digits, in lower case; its length, 0 behind the last, -1: too long.
 */
static int word_next(const char **at, char out[WORD])
{
    const char *p = *at;
    int n = 0;

    while (*p && !isalnum((unsigned char)*p))
        p++;
    for (; isalnum((unsigned char)*p); p++) {
        if (n == WORD - 1) return -1;
        out[n++] = (char)tolower((unsigned char)*p);
    }
    out[n] = '\0';
    *at = p;
    return n;
}

static bool word_is_noise(const char *w)
{
    for (size_t i = 0; i < sizeof NOISE / sizeof NOISE[0]; i++)
        if (!strcmp(w, NOISE[i])) return true;
    return false;
}

/* "sxm" is also "sxm2", "sxm4" or "hbm3". */
static bool word_matches(const char *w, const char *of_card)
{
    if (!strncmp(of_card, "sxm", 3) && (!strncmp(w, "sxm", 3) || !strcmp(w, "hbm3"))) return true;
    return !strcmp(w, of_card);
}

/* Does each word of the name stand in the card's? */
static bool has_words(const struct card *c, const char *name)
{
    char w[WORD], of_card[WORD];
    int n, found = 0;

    while ((n = word_next(&name, w)) > 0) {
        const char *at = c->name;
        bool is_there = word_is_noise(w);

        if (is_there) continue;
        while (!is_there && word_next(&at, of_card) > 0)
            is_there = word_matches(w, of_card);
        if (!is_there) return false;
        found++;
    }
    return n == 0 && found > 0;
}

/* All letters and digits of it, without noise. */
static bool squeeze(char out[4 * WORD], const char *name)
{
    char w[WORD];
    size_t len = 0;
    int n;

    while ((n = word_next(&name, w)) > 0) {
        if (word_is_noise(w)) continue;
        if (len + (size_t)n >= 4 * WORD) return false;
        memcpy(out + len, w, (size_t)n);
        len += (size_t)n;
    }
    out[len] = '\0';
    return n == 0 && len > 0;
}

static bool is_whole(const struct card *c, const char *name)
{
    char a[4 * WORD], b[4 * WORD];

    return squeeze(a, name) && squeeze(b, c->name) && !strcmp(a, b);
}

static bool has_part(const struct card *c, const char *name)
{
    char a[4 * WORD], b[4 * WORD];

    return squeeze(a, name) && squeeze(b, c->name) && strstr(b, a);
}

const struct card *card_find(const char *name)
{
    bool (*const ways[])(const struct card *, const char *) = {is_whole, has_words, has_part};

    for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
        const struct card *found = NULL;
        int n = 0;

        for (size_t i = 0; i < N_CARDS; i++)
            if (ways[w](&CARDS[i], name)) {
                found = &CARDS[i];
                n++;
            }
        if (n > 0) return n == 1 ? found : NULL;
    }
    return NULL;
}

#define LAUNCH_S  25e-6 /* of a layer's kernels, as far as they do not overlap */
#define LINK_S    10e-6 /* an all-reduce of a few rows over NVLink and the like */
#define HOST_S    30e-6 /* the same through the host */
#define F32_SHARE 0.125 /* of the tensor peak: f32 is not for tensor cores */
/* Of PCIe, through which all ranks go at once: as L40S and RTX PRO 6000 in aiconfigurator's tables.
 */
#define HOST_SHARE 0.5

static double flops_of(const struct card *c, enum dtype act)
{
    double best = c->flops_f16 > c->flops_bf16 ? c->flops_f16 : c->flops_bf16;

    switch (act) {
    case DTYPE_F32: return c->flops_f16 * F32_SHARE;
    case DTYPE_F16: return c->flops_f16;
    case DTYPE_BF16: return c->flops_bf16 > 0 ? c->flops_bf16 : c->flops_f16 * F32_SHARE;
    case DTYPE_FP8: return c->flops_fp8 > 0 ? c->flops_fp8 : best;
    case DTYPE_INT8: return c->flops_int8 > 0 ? c->flops_int8 : best;
    default: return best;
    }
}

struct device_speed card_speed(const struct card *c, enum dtype act)
{
    bool has_link = c->link_bytes_per_s > 0;

    return (struct device_speed){
        .flops = flops_of(c, act),
        .bytes_per_s = c->bytes_per_s,
        .flops_share = c->flops_share,
        .bytes_share = c->bytes_share,
        .launch_s = LAUNCH_S,
        .link_bytes_per_s = has_link ? c->link_bytes_per_s : c->pcie_bytes_per_s * HOST_SHARE,
        .link_s = has_link ? LINK_S : HOST_S,
        .is_link_shared = !has_link,
    };
}

const char *const SOURCE_NAMES[SOURCE_N] = {"measured", "mixed", "roofline"};

/* Weights and KV of 16 bits, of the shape that was measured under this name. */
static bool is_as_measured(const struct model_shape *s, const char *model)
{
    const struct model_shape *known = measured_shape(model);

    return known && s->weight_bits == known->weight_bits && s->kv_bits == known->kv_bits &&
           s->layers == known->layers && s->hidden == known->hidden;
}

enum model_source card_model(struct perf *out, double *mape, const struct card *c,
                             const char *model, const struct model_shape *shape, enum dtype act,
                             int tp)
{
    const struct measured *m =
        is_as_measured(shape, model) ? measured_find(c->name, model, tp) : NULL;
    struct device_speed speed = card_speed(c, act);

    *mape = m ? m->mape : -1;
    if (!m)
        roofline(out, shape, &speed, tp);
    else
        *out = m->perf;
    return m ? m->source : SOURCE_ROOFLINE;
}
