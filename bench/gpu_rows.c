/* gpu_rows.c - the whole engine on many rows, and the same behind broker and SQLite.
 *
 * All rows are there from the start.  Where there is time for all of them, the rate is that between
 * 20 and 80 % of the tokens; where not, the first rows' answers end one after the other, so that
 * sequences are soon of all ages as they are in a long run, and the rate is that of the rest of the
 * time, from where as many rows have ended as a step holds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/gpu.h"
#include "bench/report.h"

#define SHARE_ENGINE 0.70 /* of the ceiling */
#define SHARE_SERVED 0.98
#define SERVED_WORDS 100 /* tokens of a prompt, about, and of its answer */
#define LIMIT_S      600

/* One run. */
struct rows {
    struct gpu *g;
    struct engine *en;
    int n, ended;
    bool whole;
    double end_s; /* of the run, at the latest */
};

struct mark {
    double tokens;
    int64_t ns;
};

static struct mark mark_now(const struct rows *r)
{
    struct engine_stats s;

    engine_stats(r->en, &s);
    return (struct mark){(double)s.decode_tokens, clock_mono_ns()};
}

/* Answers of one, two, ... tokens and so on first, where the run will be cut short. */
static void add_rows(struct rows *r)
{
    const struct gpu_sizes *z = &r->g->sizes;
    const int uneven = r->whole ? 0 : z->seqs < r->n ? z->seqs : r->n;

    for (int i = 0; i < uneven; i++) {
        const int answer = (int)((int64_t)z->answer * (i + 1) / uneven);

        gpu_engine_add(r->g, r->en, 1, z->prompt, answer > 0 ? answer : 1);
    }
    gpu_engine_add(r->g, r->en, r->n - uneven, z->prompt, z->answer);
}

static bool began(const struct rows *r, double tokens)
{
    const struct gpu_sizes *z = &r->g->sizes;

    if (r->whole) return tokens >= 0.2 * r->n * z->answer;
    return r->ended >= (z->seqs < r->n ? z->seqs : r->n) / 2;
}

static bool is_over(const struct rows *r, double tokens)
{
    if (r->whole) return tokens >= 0.8 * r->n * r->g->sizes.answer;
    return gpu_left_s(r->g) < r->end_s;
}

/* Tokens/s. */
static double run_rows(struct rows *r)
{
    struct mark from = {0}, to = {0}, zero = mark_now(r);

    add_rows(r);
    while (gpu_engine_step(r->en)) {
        const struct mark now = mark_now(r);

        r->ended += gpu_engine_take(r->en);
        if (!from.ns && began(r, now.tokens - zero.tokens)) from = now;
        to = now;
        if (from.ns && to.ns > from.ns && is_over(r, now.tokens - zero.tokens)) break;
    }
    if (!from.ns || to.ns == from.ns) report_fail("%d rows are too few to tell a rate", r->n);
    return (to.tokens - from.tokens) / ((double)(to.ns - from.ns) * 1e-9);
}

/* Output tokens/s at the device's own rates, when reading K and V, the products of decoding and
 * those of prefill follow each other; what a token's prefill looks back at is left out. */
static double ceiling(const struct gpu *g, enum dtype kv, double flops)
{
    const double P = g->sizes.prompt, A = g->sizes.answer;
    const double read_s = (P + A / 2) * gpu_kv_bytes(g, kv) / g->rates.copy;
    const double decode_s = 2 * (gpu_layer_weights(g) + gpu_head_weights(g)) / flops;
    const double prefill_s = 2 * gpu_layer_weights(g) / flops * P / A;

    return 1 / (read_s + decode_s + prefill_s);
}

/* share: of the time that is left. */
static double figure_rows(struct gpu *g, bool fp8, double share)
{
    const struct gpu_sizes *z = &g->sizes;
    const double most =
        ceiling(g, fp8 ? DTYPE_FP8 : DTYPE_BF16, fp8 ? g->rates.fp8 : g->rates.bf16);
    const struct gpu_engine how = {.quantization = fp8 ? QUANTIZATION_FP8 : QUANTIZATION_NONE,
                                   .kv_dtype = fp8 ? DTYPE_FP8 : DTYPE_BF16};
    const double left_s = gpu_left_s(g), all_s = z->rows * (double)z->answer / (most / 2);
    struct rows r = {.g = g, .n = z->rows, .en = gpu_engine_open(g, &how)};
    char name[128];
    double rate;

    r.end_s = left_s * (1 - share);
    r.whole = g->plugin->emulated || all_s < left_s * share;
    rate = run_rows(&r);
    engine_close(&r.en);
    snprintf(name, sizeof name, "whole engine %s in=%d out=%d rows=%d%s", fp8 ? "fp8" : "bf16",
             z->prompt, z->answer, r.n, r.whole ? "" : ", steady part");
    gpu_say(name, rate, "tokens/s", SHARE_ENGINE * most, most);
    return rate;
}

/* --- behind the broker ------------------------------------------------------------------------ */

/* Rows of about SERVED_WORDS tokens. */
static void submit(struct gpu *g, int rows)
{
    char path[PATH_MAX];
    FILE *out;

    bed_path(&g->bed, "rows.jsonl", path);
    out = fopen(path, "we");
    for (int i = 0; out && i < rows; i++) {
        fprintf(out, "{\"prompt\": \"%d", i);
        for (int k = g->plugin->emulated ? SERVED_WORDS * 9 / 10 : 4; k < SERVED_WORDS; k++)
            fputc('a' + (i + k) % 26, out);
        fprintf(out, "\", \"max_tokens\": %d, \"temperature\": 0, \"ignore_eos\": true}\n",
                g->sizes.answer < SERVED_WORDS ? g->sizes.answer : SERVED_WORDS);
    }
    if (!out || fclose(out)) report_fail("%s cannot be written", path);
    bed_run(&g->bed, (const char *const[]){"submit", path, "--batch", "bench", NULL});
}

static pid_t start_worker(struct gpu *g)
{
    char seqs[16], budget[16], kv[32];

    snprintf(seqs, sizeof seqs, "%d", g->sizes.seqs);
    snprintf(budget, sizeof budget, "%d", g->sizes.budget);
    snprintf(kv, sizeof kv, "%zu", g->sizes.kv_bytes);
    return bed_spawn((const char *const[]){g->bed.program,
                                           "worker",
                                           "--db",
                                           g->bed.db,
                                           "-m",
                                           g->folder,
                                           "--device",
                                           "cuda",
                                           "--dtype",
                                           "bfloat16",
                                           "--kv-cache-dtype",
                                           "bf16",
                                           "--max-num-seqs",
                                           seqs,
                                           "--max-num-batched-tokens",
                                           budget,
                                           "--profile-seconds",
                                           "0",
                                           g->sizes.kv_bytes ? "--kv-cache-memory-bytes" : NULL,
                                           kv,
                                           NULL});
}

/* Output tokens/s from the first lease to the last answer, which are then as the queue file has
 * them. */
static double run_served(struct gpu *g, int rows)
{
    const int64_t start_ns = clock_mono_ns();
    double ms, tokens;
    pid_t worker;

    bed_start(&g->bed);
    bed_ready(&g->bed);
    submit(g, rows);
    worker = start_worker(g);
    while (bed_count(&g->bed, "SELECT count(*) FROM result") < rows) {
        if (!bed_runs(worker)) report_fail("the worker ended");
        if (clock_mono_ns() - start_ns > LIMIT_S * (int64_t)1000000000)
            report_fail("%d rows are not done after %d s", rows, LIMIT_S);
        clock_wait_until_ns(clock_mono_ns() + 20000000);
    }
    bed_end(&worker);
    ms = (double)bed_count(&g->bed, "SELECT max(done_ms) - min(done_ms - queue_ms - prefill_ms -"
                                    " decode_ms) FROM result");
    tokens = (double)bed_count(&g->bed, "SELECT sum(output_tokens) FROM result");
    return tokens / (ms > 0 ? ms / 1e3 : 1e-3);
}

/* The same rows without a queue. */
static double run_alone(struct gpu *g, int rows)
{
    const int prompt = (int)bed_count(&g->bed, "SELECT sum(prompt_tokens) / count(*) FROM result");
    const int answer = (int)bed_count(&g->bed, "SELECT sum(output_tokens) / count(*) FROM result");
    struct engine *en = gpu_engine_open(g, &(struct gpu_engine){.kv_dtype = DTYPE_BF16});
    const int64_t start_ns = clock_mono_ns();
    double s;

    gpu_engine_add(g, en, rows, prompt, answer);
    while (gpu_engine_step(en))
        ;
    s = (double)(clock_mono_ns() - start_ns) * 1e-9;
    gpu_engine_take(en);
    engine_close(&en);
    return (double)rows * answer / s;
}

static void figure_served(struct gpu *g)
{
    const int rows = g->plugin->emulated ? g->sizes.rows : 4 * g->sizes.seqs;
    const double served = run_served(g, rows), alone = run_alone(g, rows);
    char name[128];

    snprintf(name, sizeof name, "through broker and SQLite rows=%d", rows);
    report_figure(&(struct figure){.bench = "gpu",
                                   .figure = name,
                                   .value = served,
                                   .unit = "tokens/s",
                                   .against = "engine alone",
                                   .ratio = served / alone,
                                   .target = SHARE_SERVED * alone});
    bed_stop(&g->bed);
    bed_clear(&g->bed);
}

void gpu_figures_rows(struct gpu *g)
{
    gpu_figures_rates(g);
    figure_rows(g, false, 0.35);
    if (g->rates.fp8 > 0 && gpu_has_time(g, "rows in fp8", 60)) figure_rows(g, true, 0.4);
    if (gpu_has_time(g, "rows through broker and SQLite", 60)) figure_served(g);
}
