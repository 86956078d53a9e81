/* gpu.c - the device of bench_gpu, its sizes, and the model that it computes with. */
#include "bench/gpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/clock.h"
#include "bench/engine_run.h"
#include "bench/model_out.h"
#include "bench/report.h"

#define GIB         ((size_t)1 << 30)
#define MODEL_BYTES (20 * GIB)

static const struct gpu_sizes LLAMA = {
    .model = {.hidden = 4096,
              .layers = 32,
              .heads = 32,
              .kv_heads = 8,
              .head_dim = 128,
              .feed = 14336,
              .vocab = 128256,
              .positions = 16384,
              .rope_theta = 500000,
              .seed = 1,
              .untied = true,
              .repeat = 256},
    .square = 8192,
    .copy_bytes = 4 * GIB,
    .calls = 20,
    .batches = {1, 64},
    .contexts = {1024, 8192},
    .steps = 64,
    .prefill = 8192,
    .rows = 3000,
    .prompt = 1000,
    .answer = 1000,
    .seqs = 512,
    .budget = 8192,
};

static const struct gpu_sizes TINY = {
    .model = {.hidden = 64,
              .layers = 1,
              .heads = 2,
              .kv_heads = 1,
              .head_dim = 64,
              .feed = 64,
              .vocab = 512,
              .positions = 128,
              .rope_theta = 10000,
              .seed = 1,
              .untied = true,
              .repeat = 16},
    .square = 32,
    .copy_bytes = 64 << 10,
    .calls = 2,
    .batches = {1, 2},
    .contexts = {16, 32},
    .steps = 2,
    .prefill = 32,
    .rows = 6,
    .prompt = 8,
    .answer = 6,
    .seqs = 4,
    .budget = 64,
    .kv_bytes = 4 << 20,
};

/* Of snprintf: was it cut? */
static void cut(int n)
{
    if (n < 0 || n >= PATH_MAX) report_fail("a path is longer than %d bytes", PATH_MAX);
}

/* Memory where there is enough of it, else the disk. */
static const char *roomy(void)
{
    struct statvfs v;

    if (!statvfs("/dev/shm", &v) && (size_t)v.f_bavail * v.f_frsize > MODEL_BYTES)
        return "/dev/shm";
    return getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
}

static void choose_folder(struct gpu *g, const char *folder)
{
    g->keep = folder != NULL;
    if (folder)
        cut(snprintf(g->folder, PATH_MAX, "%s", folder));
    else
        cut(snprintf(g->folder, PATH_MAX, "%s/nightmill-bench-%ld", roomy(), (long)getpid()));
}

/* --- what measuring found --------------------------------------------------------------------- */

static struct gpu_tuned *tuned_of(struct gpu *g, const char *name)
{
    for (int i = 0; i < g->n_tuned; i++)
        if (!strcmp(g->tuned[i].name, name)) return &g->tuned[i];
    return NULL;
}

static size_t find_tuned(void *self, const char *name, void *out, size_t cap)
{
    const struct gpu_tuned *t = tuned_of(self, name);

    if (!t || t->len > cap) return 0;
    memcpy(out, t->bytes, t->len);
    return t->len;
}

static void keep_tuned(void *self, const char *name, const void *bytes, size_t len)
{
    struct gpu *g = self;
    struct gpu_tuned *t = tuned_of(g, name);

    if (!t && g->n_tuned == GPU_MAX_TUNED) return;
    if (!t) t = &g->tuned[g->n_tuned++];
    free(t->bytes);
    t->bytes = malloc(len);
    if (!t->bytes) report_fail("no memory for %zu bytes", len);
    memcpy(t->bytes, bytes, len);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->len = len;
}

/* --- open and close --------------------------------------------------------------------------- */

void gpu_open(struct gpu *g, const char *beside, const char *folder, bool tiny, int seconds)
{
    struct errmsg e;
    char machine[2 * DEVICE_TEXT];

    *g = (struct gpu){.sizes = tiny ? TINY : LLAMA};
    g->tuning = (struct tuning){g, find_tuned, keep_tuned};
    g->end_ns = clock_mono_ns() + seconds * (int64_t)1000000000;
    g->plugin = plugin_open(&e);
    if (!g->plugin) report_fail("%s", e.text);
    g->device = g->plugin->device;
    if (g->device->count(&e) < 1 || g->device->facts(0, &g->facts, &e)) report_fail("%s", e.text);
    snprintf(machine, sizeof machine, "%s, %s%s", g->facts.name, g->facts.library,
             g->plugin->emulated ? ", emulated: no figure means anything" : "");
    report_machine(machine);
    choose_folder(g, folder);
    bed_open(&g->bed, beside);
}

static void remove_model(const struct gpu *g)
{
    static const char *const FILES[] = {"config.json", "generation_config.json",
                                        "model.safetensors", "tokenizer.json",
                                        "tokenizer_config.json"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        cut(snprintf(path, PATH_MAX, "%s/%s", g->folder, FILES[i]));
        unlink(path);
    }
    rmdir(g->folder);
}

void gpu_close(struct gpu *g)
{
    bed_close(&g->bed);
    model_close(&g->model);
    for (int i = 0; i < g->n_tuned; i++)
        free(g->tuned[i].bytes);
    if (!g->keep) remove_model(g);
}

double gpu_left_s(const struct gpu *g)
{
    return (double)(g->end_ns - clock_mono_ns()) * 1e-9;
}

bool gpu_has_time(const struct gpu *g, const char *what, int seconds)
{
    if (g->plugin->emulated || gpu_left_s(g) >= seconds) return true;
    fprintf(stderr, "bench: left out: %s: %.0f s are left, and it takes about %d\n", what,
            gpu_left_s(g), seconds);
    return false;
}

const struct model *gpu_model(struct gpu *g)
{
    char path[PATH_MAX];
    struct vocab_file v;
    struct errmsg e;

    if (g->model) return g->model;
    cut(snprintf(path, PATH_MAX, "%s/model.safetensors", g->folder));
    if (access(path, R_OK)) {
        fprintf(stderr, "bench: writing a random model to %s\n", g->folder);
        vocab_file_open(&v, NULL, g->sizes.model.vocab);
        model_out_dir(&g->sizes.model, &v, g->folder);
        vocab_file_close(&v);
    }
    if (model_open(&g->model, g->folder, &e)) report_fail("%s", e.text);
    return g->model;
}

void gpu_say(const char *figure, double value, const char *unit, double target, double limit)
{
    report_figure(&(struct figure){.bench = "gpu",
                                   .figure = figure,
                                   .value = value,
                                   .unit = unit,
                                   .target = target,
                                   .limit = limit});
}

/* --- what a step needs ------------------------------------------------------------------------ */

double gpu_kv_bytes(const struct gpu *g, enum dtype d)
{
    const struct random_model *m = &g->sizes.model;
    const double scale = dtype_is_scaled(d) ? sizeof(float) : 0;

    return 2.0 * m->layers * m->kv_heads * (m->head_dim * (double)dtype_bytes(d) + scale);
}

double gpu_layer_weights(const struct gpu *g)
{
    const struct random_model *m = &g->sizes.model;
    const double D = m->hidden, Q = m->heads * m->head_dim, KV = m->kv_heads * m->head_dim;

    return m->layers * (D * (2 * Q + 2 * KV) + 3 * D * m->feed);
}

double gpu_head_weights(const struct gpu *g)
{
    return (double)g->sizes.model.hidden * g->sizes.model.vocab;
}

/* --- the engine ------------------------------------------------------------------------------- */

struct engine *gpu_engine_open(struct gpu *g, const struct gpu_engine *o)
{
    const struct gpu_sizes *z = &g->sizes;
    const struct engine_opts opts = {.model = gpu_model(g),
                                     .device = o->device ? o->device : g->device,
                                     .act = DTYPE_BF16,
                                     .quantization = o->quantization,
                                     .tuning = &g->tuning,
                                     .threads = 1,
                                     .kv_bytes = z->kv_bytes,
                                     .batch_invariant = o->batch_invariant,
                                     .max_num_seqs = z->seqs,
                                     .max_batched_tokens = z->budget,
                                     .max_model_len = z->model.positions,
                                     .kv_dtype = o->kv_dtype};
    struct engine *en;
    struct errmsg e;

    if (engine_open(&en, &opts, &e)) report_fail("%s", e.text);
    return en;
}

void gpu_engine_add(struct gpu *g, struct engine *en, int rows, int prompt, int answer)
{
    static int row; /* no two of a run are the same */
    const struct sampling greedy = {.max_tokens = answer, .top_p = 1, .ignore_eos = true};
    int32_t *ids = malloc((size_t)prompt * sizeof *ids);
    struct errmsg e;

    if (!ids) report_fail("no memory for a prompt of %d", prompt);
    for (int i = 0; i < rows; i++) {
        engine_run_ids(ids, row++, prompt, g->sizes.model.vocab);
        if (engine_add(en, ids, prompt, &greedy, NULL, &e)) report_fail("%s", e.text);
    }
    free(ids);
}

int gpu_engine_take(struct engine *en)
{
    struct outcome o;
    int n = 0;

    while (engine_take(en, &o)) {
        free(o.ids);
        buf_fini(&o.text);
        n++;
    }
    return n;
}

bool gpu_engine_step(struct engine *en)
{
    struct errmsg e;
    const int rc = engine_step(en, &e);

    if (rc && rc != ERR_EMPTY) report_fail("a step: %s", e.text);
    return !rc;
}
