/* bench_quality.c - what fp8 and int8 weights cost in quality, beside the same model in bf16.
 *
 *   bench_quality [-d DEVICE] [-n ROWS] [-p PLACES] [-r ROWS.jsonl] [MODEL]
 *
 * MODEL is examples/tidy, its prompts the first 16 of examples/messy_cells.jsonl; -r "" takes no
 * prompts: the model speaks by itself.  At most 32 tokens of each answer are looked at.  DEVICE is
 * cuda, on a machine without one with NIGHTMILL_CUDA=.../libnightmill-emu.so.
 *
 * The figures have a target, and the program fails where one is missed.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/quality.h"
#include "bench/report.h"
#include "bench/words.h"
#include "model/chat.h"
#include "model/model.h"
#include "worker/engine.h"
#include "worker/place.h"

/* About three times what stories260K loses in fp8 on the emulation: 2 % of the places, 0.0066 nats.
 */
#define LEAST_AGREEMENT 0.95
#define MOST_KL         0.02

struct options {
    const char *device, *model, *prompts;
    int rows, places;
};

static const struct {
    enum quantization by;
    const char *name;
} KINDS[] = {{QUANTIZATION_FP8, "fp8"}, {QUANTIZATION_INT8, "int8"}};

static struct errmsg e;

static void must(int rc)
{
    if (rc) report_fail("%s", e.text);
}

static struct engine *open_engine(const struct options *o, const struct model *m,
                                  enum quantization by)
{
    struct engine_opts opts = {.model = m,
                               .act = DTYPE_BF16,
                               .quantization = by,
                               .threads = 1,
                               .kv_bytes = (size_t)16 << 20,
                               .max_num_seqs = 4,
                               .max_batched_tokens = 256,
                               .kv_dtype = DTYPE_BF16,
                               .batch_invariant = true,
                               .no_graphs = true};
    struct place place;
    struct engine *en;

    must(place_find(&place, o->device, 1, &e));
    opts.device = place.device;
    opts.n_devices = place.n_devices;
    memcpy(opts.devices, place.devices, sizeof opts.devices);
    must(engine_open(&en, &opts, &e));
    return en;
}

/* The next row's prompt; without a file, what the tokenizer puts in front of nothing. */
static void prompt(struct ids *ids, const struct model *m, FILE *rows)
{
    struct buf text = {0};
    char *line = NULL;
    size_t room = 0;
    json_t *row = NULL;

    ids->n = 0;
    if (rows) {
        if (getline(&line, &room, rows) < 0) report_fail("too few rows");
        if (!(row = json_loads(line, 0, NULL))) report_fail("a row is no JSON");
        if (!m->chat) report_fail("%s", m->why_no_chat);
        must(chat_render(m->chat, json_object_get(json_object_get(row, "body"), "messages"), true,
                         NULL, &text, &e));
    }
    must(tokenizer_encode(m->tokenizer, text.len ? text.data : "", text.len,
                          rows ? TOKENIZER_SPECIALS : TOKENIZER_BOS, ids, &e));
    json_decref(row);
    free(line);
    buf_fini(&text);
}

/* The last two parts of a path: "stories260K/hf" says more than "hf". */
static const char *short_name(const char *path)
{
    const char *at = path + strlen(path);

    for (int slashes = 0; at > path; at--)
        if (at[-1] == '/' && ++slashes == 2) break;
    return at;
}

static bool print(const char *model, const char *kind, const struct quality *q)
{
    char name[128];
    const struct figure agreement = {"quality",    name,         "share",         "bf16",
                                     q->agreement, q->agreement, LEAST_AGREEMENT, 1};
    const struct figure kl = {"quality", name, "nats", "bf16", q->kl, 0, MOST_KL, 0};

    snprintf(name, sizeof name, "%.64s %s: same likeliest token at %d places", model, kind,
             q->places);
    report_figure(&agreement);
    snprintf(name, sizeof name, "%.64s %s: mean KL at %d places", model, kind, q->places);
    report_figure(&kl);
    return q->agreement >= LEAST_AGREEMENT && q->kl <= MOST_KL;
}

static bool compare(const struct options *o)
{
    struct engine *plain, *others[2];
    struct quality q[2] = {{0}};
    struct ids ids = {0};
    struct model *m;
    FILE *rows = *o->prompts ? fopen(o->prompts, "r") : NULL;
    bool good = true;

    if (*o->prompts && !rows) report_fail("%s cannot be read", o->prompts);
    must(model_open(&m, o->model, &e));
    plain = open_engine(o, m, QUANTIZATION_NONE);
    for (int k = 0; k < 2; k++)
        others[k] = open_engine(o, m, KINDS[k].by);
    for (int i = 0; i < o->rows; i++) {
        int from;

        prompt(&ids, m, rows);
        from = quality_answer(plain, &ids, o->places, i);
        for (int k = 0; k < 2; k++)
            quality_add(&q[k], plain, others[k], &ids, from, m->config.vocab_size);
    }
    for (int k = 0; k < 2; k++) {
        good = print(short_name(o->model), KINDS[k].name, &q[k]) && good;
        engine_close(&others[k]);
    }
    engine_close(&plain);
    model_close(&m);
    ids_fini(&ids);
    if (rows) fclose(rows);
    return good;
}

int main(int argc, char **argv)
{
    struct options o = {"cuda", "examples/tidy", "examples/messy_cells.jsonl", 16, 32};
    int c;

    while ((c = getopt(argc, argv, "d:n:p:r:")) != -1) {
        if (c == 'd')
            o.device = optarg;
        else if (c == 'n')
            o.rows = (int)words_number(optarg, 2000);
        else if (c == 'p')
            o.places = (int)words_number(optarg, 1024);
        else if (c == 'r')
            o.prompts = optarg;
        else
            report_fail("bench_quality [-d DEVICE] [-n ROWS] [-p PLACES] [-r ROWS.jsonl] [MODEL]");
    }
    if (optind < argc) o.model = argv[optind];
    return compare(&o) ? EXIT_SUCCESS : EXIT_FAILURE;
}
