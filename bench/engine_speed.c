/* engine_speed.c - tokens/s of our engine and of libllama, on the same rows and weights, in turns.
 *
 * total    prompt and answer tokens of all sequences over the time from the first step to the last
 * prefill  prompt tokens over the time to each sequence's first token, when no more are asked for
 * decode   tokens of steps that prefill nothing, over their time
 *
 * libllama's settings are all tried on shorter answers first, and the best takes part.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/engine_figures.h"
#include "bench/engine_peer.h"
#include "bench/engine_run.h"
#include "bench/peak.h"
#include "bench/report.h"
#include "worker/engine.h"

#define TRIAL_SEQUENCES 4      /* of 512 tokens: the largest batch that is tried */
#define TRIAL_AT_MOST   8      /* sequences; more run with what was best for so many */
#define SETTLE_US       200000 /* threads of the one spin on for a while; the other should not pay */
#define TRIAL_ANSWER    17
#define STORIES         "../shared/data/models/stories260K/"

enum kind { TOTAL, PREFILL, DECODE, N_KINDS };
static const char *const KINDS[] = {"total", "prefill", "decode"};

/* One model, for both. */
struct race {
    struct engine_figures *f;
    const char *name;
    char ours[PATH_MAX], theirs[PATH_MAX];
    int prompt, answer;
    bool same; /* greedy tokens of both must agree */
    enum dtype dtype;
    double weight_bytes, bandwidth, flops; /* per s, all threads */
    struct model *model;
    struct engine_peer peer;
    struct peer_setting best; /* for many sequences */
};

struct rates {
    double at[N_KINDS][ENGINE_MAX_ROUNDS];
};

static void print(const struct race *r, const struct engine_load *l, enum kind k, double value,
                  double peer, double limit)
{
    char name[128];

    snprintf(name, sizeof name, "%s %s sequences=%d prompt=%d answer=%d threads=%d", r->name,
             KINDS[k], l->sequences, l->prompt, l->answer, l->threads);
    report_figure(&(struct figure){.bench = "engine",
                                   .figure = name,
                                   .value = value,
                                   .unit = "tokens/s",
                                   .against = peer > 0 ? "llama.cpp" : NULL,
                                   .ratio = peer > 0 ? value / peer : 0,
                                   .target = peer,
                                   .limit = limit});
}

/* --- one run of each -------------------------------------------------------------------------- */

static struct engine_load load_of(const struct race *r, int sequences)
{
    return (struct engine_load){r->f->threads, sequences, r->prompt, r->answer};
}

static void run_ours(const struct race *r, const struct engine_load *l, struct rates *out,
                     int round, int32_t *ids)
{
    struct engine_load first = *l;
    struct engine_times t;
    struct engine *en = engine_run_open(r->model, l);

    engine_run(en, r->model, l, &t);
    engine_close(&en);
    memcpy(ids, t.ids, sizeof t.ids);
    out->at[TOTAL][round] = l->sequences * (l->prompt + l->answer) / t.total_s;
    out->at[DECODE][round] = t.decoded / t.decode_s;
    first.answer = 1;
    en = engine_run_open(r->model, l);
    engine_run(en, r->model, &first, &t);
    engine_close(&en);
    out->at[PREFILL][round] = l->sequences * l->prompt / t.total_s;
}

static void run_peer(struct race *r, const struct engine_load *l, const struct peer_setting *s,
                     struct rates *out, int round, int32_t *ids)
{
    struct peer_times t;

    engine_peer_run(&r->peer, l, s, &t);
    memcpy(ids, t.ids, sizeof t.ids);
    out->at[TOTAL][round] = l->sequences * (l->prompt + l->answer) / (t.prefill_s + t.decode_s);
    out->at[PREFILL][round] = l->sequences * l->prompt / t.prefill_s;
    out->at[DECODE][round] = l->sequences * (l->answer - 1) / t.decode_s;
}

/* --- libllama's best setting ------------------------------------------------------------------ */

/* Tokens/s of whole rows, from a run of fewer and shorter ones. */
static double try(struct race *r, const struct engine_load *whole, const struct peer_setting *s)
{
    struct engine_load l = *whole;
    struct peer_times t;
    char name[160];
    double all_s;

    if (l.sequences > TRIAL_SEQUENCES) l.sequences = TRIAL_SEQUENCES;
    l.answer = TRIAL_ANSWER;
    engine_peer_run(&r->peer, &l, s, &t);
    all_s = t.prefill_s + t.decode_s * (whole->answer - 1) / (l.answer - 1);
    snprintf(name, sizeof name,
             "llama.cpp setting %s ubatch=%d flash=%d unified=%d sequences=%d threads=%d", r->name,
             s->ubatch, s->flash, s->unified, l.sequences, l.threads);
    report_figure(&(struct figure){.bench = "engine",
                                   .figure = name,
                                   .value = l.sequences * (l.prompt + whole->answer) / all_s,
                                   .unit = "tokens/s"});
    return 1 / all_s;
}

/* Returns the more of the two rates. */
static double try_against(struct race *r, const struct engine_load *l, const struct peer_setting *s,
                          double most)
{
    const double rate = try(r, l, s);

    if (rate <= most) return most;
    r->best = *s;
    return rate;
}

static void find_best(struct race *r, const struct engine_load *l)
{
    static const int UBATCH[] = {512, 1024, 2048};
    const int n = l->sequences == 1 ? 1 : 3; /* one prompt is no more than one batch */
    struct peer_setting unified;
    double most = 0;

    for (int u = 0; u < n; u++)
        for (int flash = 0; flash < 2; flash++)
            most = try_against(r, l, &(struct peer_setting){UBATCH[u], flash, 0}, most);
    unified = r->best;
    unified.unified = 1;
    if (n > 1) try_against(r, l, &unified, most);
}

/* --- the limits ------------------------------------------------------------------------------- */

/* Multiply-adds of one token but for attention, and of the head. */
static void count_products(const struct model_config *c, double *token, double *head)
{
    const double D = c->hidden_size, HD = c->head_dim;
    const double heads = HD * (2 * c->n_heads + 2 * c->n_kv_heads); /* q and o, k and v */

    *token = c->n_layers * D * (heads + 3.0 * c->intermediate_size);
    *head = D * c->vocab_size;
}

/* Tokens/s at which prefill would run into the cores' products, and decode of one sequence into the
 * memory's speed. */
static double limit_of(const struct race *r, const struct engine_load *l, enum kind k)
{
    const struct model_config *c = &r->model->config;
    const double context = k == PREFILL ? l->prompt / 2.0 : l->prompt + l->answer / 2.0;
    const double attn = 2.0 * c->n_layers * c->n_heads * c->head_dim * context;
    const double kv = 2.0 * c->n_layers * c->n_kv_heads * c->head_dim * 4 * context;
    double token, head;

    count_products(c, &token, &head);
    if (k == PREFILL) return r->flops / (2 * (token + attn + head / l->prompt));
    if (k == DECODE && l->sequences == 1) return r->bandwidth / (r->weight_bytes + kv);
    return 0;
}

static void measure_limits(struct race *r)
{
    const struct engine_load l = load_of(r, 1);
    struct engine *en = engine_run_open(r->model, &l);
    const struct {
        const char *what, *unit;
        double *value;
    } all[] = {{"reading weights in order", "bytes/s", &r->bandwidth},
               {"products", "flops/s", &r->flops}};
    struct engine_stats st;
    char name[128];

    engine_stats(en, &st);
    engine_close(&en);
    r->weight_bytes = (double)st.weight_bytes;
    r->bandwidth = peak_read(l.threads, st.weight_bytes & ~(size_t)4095);
    r->flops = peak_flops(l.threads, r->dtype);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        snprintf(name, sizeof name, "limit %s %s threads=%d", r->name, all[i].what, l.threads);
        report_figure(&(struct figure){
            .bench = "engine", .figure = name, .value = *all[i].value, .unit = all[i].unit});
    }
}

/* --- the figures ------------------------------------------------------------------------------ */

/* Ours at any number of sequences; the peer's, where both compute in floats: its flash attention
 * makes other tokens of a near tie than its own plain one. */
static void check_ids(const struct race *r, const int32_t *ids, const int32_t *first,
                      const int32_t *peer, int sequences)
{
    const size_t bytes = (size_t)r->answer * sizeof *ids;

    if (memcmp(ids, first, bytes))
        report_fail("%s: a row's tokens among %d sequences are not those alone", r->name,
                    sequences);
    if (peer && r->same && !r->best.flash && memcmp(ids, peer, bytes))
        report_fail("%s: a row's tokens are not llama.cpp's", r->name);
}

static void race_at(struct race *r, int sequences, int32_t *first)
{
    static int32_t ids[ENGINE_RUN_MAX_ANSWER], theirs[ENGINE_RUN_MAX_ANSWER];
    const struct engine_load l = load_of(r, sequences);
    const bool alone = r->f->alone;
    struct rates mine, peer;

    if (!alone && sequences <= TRIAL_AT_MOST) find_best(r, &l);
    for (int i = 0; i < r->f->rounds; i++) {
        usleep(SETTLE_US);
        run_ours(r, &l, &mine, i, ids);
        usleep(SETTLE_US);
        if (!alone) run_peer(r, &l, &r->best, &peer, i, theirs);
        if (sequences == 1 && i == 0) memcpy(first, ids, sizeof ids);
        check_ids(r, ids, first, alone ? NULL : theirs, sequences);
    }
    for (int k = 0; k < N_KINDS; k++)
        print(r, &l, (enum kind)k, report_median(mine.at[k], (size_t)r->f->rounds),
              alone ? 0 : report_median(peer.at[k], (size_t)r->f->rounds),
              limit_of(r, &l, (enum kind)k));
}

static void race_all(struct race *r)
{
    static const int SEQUENCES[] = {1, 8, 32};
    static int32_t first[ENGINE_RUN_MAX_ANSWER];
    struct errmsg e;

    if (model_open(&r->model, r->ours, &e)) report_fail("%s", e.text);
    if (!r->f->alone) engine_peer_open(&r->peer, r->f->peer, r->theirs);
    measure_limits(r);
    for (size_t i = 0; i < sizeof SEQUENCES / sizeof SEQUENCES[0]; i++)
        if (SEQUENCES[i] <= r->f->sequences) race_at(r, SEQUENCES[i], first);
    if (!r->f->alone) engine_peer_close(&r->peer);
    model_close(&r->model);
}

/* Its context has room for 512 tokens. */
void engine_figures_stories(struct engine_figures *f)
{
    struct race r = {.f = f,
                     .name = "stories260K f32",
                     .prompt = 256,
                     .answer = 128,
                     .same = true,
                     .dtype = DTYPE_F32};

    snprintf(r.ours, sizeof r.ours, "%s", STORIES "hf");
    snprintf(r.theirs, sizeof r.theirs, "%s", STORIES "stories260K-f32.gguf");
    race_all(&r);
    r.name = "stories260K q8_0";
    r.same = false;
    r.dtype = DTYPE_Q8_0;
    snprintf(r.ours, sizeof r.ours, "%s", STORIES "stories260K-q8_0.gguf");
    snprintf(r.theirs, sizeof r.theirs, "%s", r.ours);
    race_all(&r);
}

void engine_figures_bf16(struct engine_figures *f)
{
    struct race r = {
        .f = f, .name = "0.5B bf16", .prompt = 512, .answer = 128, .dtype = DTYPE_BF16};

    engine_model_path(f, ENGINE_BIG, "hf", r.ours);
    engine_model_path(f, ENGINE_BIG, "bf16.gguf", r.theirs);
    race_all(&r);
}

void engine_figures_q8(struct engine_figures *f)
{
    struct race r = {
        .f = f, .name = "0.5B q8_0", .prompt = 512, .answer = 128, .dtype = DTYPE_Q8_0};

    engine_model_path(f, ENGINE_BIG, "q8_0.gguf", r.ours);
    snprintf(r.theirs, sizeof r.theirs, "%s", r.ours);
    race_all(&r);
}
