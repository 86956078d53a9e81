/* make_model.c - writes a Llama-shaped model with random weights, to time engines with.
 *
 *   make_model DIR [--vocab-file FILE.gguf[.xz]] [--hidden N] ... [--seed N]
 *
 *   DIR/hf           a model directory: model.safetensors in bf16
 *   DIR/bf16.gguf    the same weights
 *   DIR/q8_0.gguf    the same weights, each block rounded to bytes
 *
 * Without options about 0.5 billion parameters: 24 layers, a tied vocabulary of Llama 3's size.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/model_out.h"
#include "bench/report.h"

struct asked {
    struct random_model model;
    const char *vocab;
    const char *dir;
};

enum { HIDDEN, LAYERS, HEADS, KV_HEADS, HEAD_DIM, FEED, VOCAB, POSITIONS, THETA, SEED, VOCAB_FILE };

static const struct option OPTIONS[] = {
    {"hidden", 1, NULL, HIDDEN},     {"layers", 1, NULL, LAYERS},         {"heads", 1, NULL, HEADS},
    {"kv-heads", 1, NULL, KV_HEADS}, {"head-dim", 1, NULL, HEAD_DIM},     {"feed", 1, NULL, FEED},
    {"vocab", 1, NULL, VOCAB},       {"positions", 1, NULL, POSITIONS},   {"theta", 1, NULL, THETA},
    {"seed", 1, NULL, SEED},         {"vocab-file", 1, NULL, VOCAB_FILE}, {0}};

static int number(const char *s)
{
    char *end;
    const long v = strtol(s, &end, 10);

    if (*end || v < 1 || v > 1 << 28) report_fail("%s is not a number from 1 to %d", s, 1 << 28);
    return (int)v;
}

static void read_options(struct asked *a, int argc, char **argv)
{
    struct random_model *m = &a->model;
    int *const sizes[] = {&m->hidden,   &m->layers, &m->heads, &m->kv_heads,
                          &m->head_dim, &m->feed,   &m->vocab, &m->positions};
    int c;

    while ((c = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        if (c >= HIDDEN && c <= POSITIONS)
            *sizes[c] = number(optarg);
        else if (c == THETA)
            m->rope_theta = number(optarg);
        else if (c == SEED)
            m->seed = (uint64_t)number(optarg);
        else if (c == VOCAB_FILE)
            a->vocab = optarg;
        else
            report_fail("make_model DIR [--vocab-file FILE.gguf[.xz]] [--hidden N] ...");
    }
    if (optind != argc - 1) report_fail("make_model: one folder, not %d", argc - optind);
    a->dir = argv[optind];
    if (m->head_dim % 2) report_fail("a head of %d is not a whole number of pairs", m->head_dim);
}

int main(int argc, char **argv)
{
    struct asked a = {.model = {.hidden = 1024,
                                .layers = 24,
                                .heads = 16,
                                .kv_heads = 4,
                                .head_dim = 64,
                                .feed = 4096,
                                .vocab = 128256,
                                .positions = 4096,
                                .rope_theta = 500000,
                                .seed = 1}};
    char path[4096];
    struct vocab_file v;

    read_options(&a, argc, argv);
    if (mkdir(a.dir, 0777) && errno != EEXIST) report_fail("%s: %s", a.dir, strerror(errno));
    vocab_file_open(&v, a.vocab, a.model.vocab);
    snprintf(path, sizeof path, "%s/hf", a.dir);
    model_out_dir(&a.model, &v, path);
    snprintf(path, sizeof path, "%s/bf16.gguf", a.dir);
    model_out_gguf(&a.model, &v, path, MODEL_BF16);
    snprintf(path, sizeof path, "%s/q8_0.gguf", a.dir);
    model_out_gguf(&a.model, &v, path, MODEL_Q8_0);
    vocab_file_close(&v);
    return EXIT_SUCCESS;
}
