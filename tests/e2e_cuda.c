/* e2e_cuda.c - a published model's greedy texts from --device cuda, through file, queue, broker,
 * worker and back.
 *
 * The plug-in is the one that $NIGHTMILL_CUDA names, else libnightmill-emu.so of this build, with
 * shorter texts.  The expected ones come from an independent 64-bit computation (goldens.json of
 * the shared test data).
 */
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

#include "kernels/plugin.h"
#include "tests/process.h"
#include "tests/test.h"

#define TOKENS          96
#define TOKENS_EMULATED 12
#define LIMIT_S         300
/* How far rounding to bf16 may move the difference of two logits of this model (test_golden.c). */
#define BF16_TIE 0.11
#define Q8_0_TIE 0.3 /* to 8 bits (test_gguf_golden.c), and then to bf16 */

static int tokens = TOKENS, sm_count;
static bool no_bf16; /* a card of before sm_80, which has f16 */

struct goldens {
    json_t *file;
    const json_t *greedy;
    int n;
};

static void goldens_open(struct goldens *g)
{
    g->file = json_load_file(test_data("models/stories260K/goldens.json"), 0, NULL);
    g->greedy = json_object_get(g->file, "greedy");
    g->n = (int)json_array_size(g->greedy);
    ck_assert_int_ge(g->n, 14);
}

static const char *golden_text(const struct goldens *g, size_t i, const char *key)
{
    return json_string_value(json_object_get(json_array_get(g->greedy, i), key));
}

/* All prompts `times` times, with the two likeliest tokens in each place. */
static const char *write_rows(const struct goldens *g, int times)
{
    struct buf rows = {0};
    const char *path;

    for (int k = 0; k < times; k++)
        for (size_t i = 0; i < (size_t)g->n; i++) {
            json_t *row = json_pack("{s:s, s:i, s:i, s:i}", "prompt", golden_text(g, i, "prompt"),
                                    "max_tokens", tokens, "temperature", 0, "logprobs", 2);
            char *text = json_dumps(row, JSON_COMPACT);

            buf_printf(&rows, "%s\n", text);
            free(text);
            json_decref(row);
        }
    path = test_file("in.jsonl", rows.data, rows.len);
    buf_fini(&rows);
    return path;
}

/* The n-th output line's only choice. */
static json_t *choice_of(json_t *line)
{
    const json_t *body = json_object_get(json_object_get(line, "response"), "body");

    return json_array_get(json_object_get(body, "choices"), 0);
}

/* What the two likeliest tokens differ by in place k; infinite where only one is told. */
static double tie(const json_t *logprobs, size_t k)
{
    const json_t *top = json_array_get(json_object_get(logprobs, "top_logprobs"), k);
    double least = INFINITY, most = -INFINITY;
    const char *token;
    json_t *v;

    json_object_foreach((json_t *)top, token, v)
    {
        least = fmin(least, json_number_value(v));
        most = fmax(most, json_number_value(v));
    }
    return json_object_size(top) > 1 ? most - least : INFINITY;
}

/* Up to where the texts agree, or to the token in which they part. */
static void check_row(const struct goldens *g, size_t i, json_t *line, double may_tie, int *whole)
{
    const char *want = golden_text(g, i, "greedy_text"), *got, *token;
    const json_t *choice = choice_of(line), *logprobs = json_object_get(choice, "logprobs");
    const json_t *spelled = json_object_get(logprobs, "tokens");
    size_t at = 0, k = 0;

    got = json_string_value(json_object_get(choice, "text"));
    ck_assert_msg(got != NULL, "row %zu has no text", i);
    if (!strncmp(got, want, strlen(got))) {
        ++*whole;
        return;
    }
    ck_assert_msg(may_tie > 0, "row %zu: '%s' and not '%s'", i, got, want);
    for (; k < json_array_size(spelled); k++) {
        token = json_string_value(json_array_get(spelled, k));
        if (strncmp(want + at, token, strlen(token)) != 0) break;
        at += strlen(token);
    }
    ck_assert_msg(tie(logprobs, k) <= may_tie, "row %zu parts at token %zu, and it is no tie: %g",
                  i, k, tie(logprobs, k));
}

static int check_output(const struct goldens *g, const char *path, int times, double may_tie)
{
    FILE *f = fopen(path, "r");
    int whole = 0;

    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < (size_t)(g->n * times); i++) {
        json_t *line = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);

        ck_assert_msg(line != NULL, "output line %zu is not there", i);
        check_row(g, i % (size_t)g->n, line, may_tie, &whole);
        json_decref(line);
    }
    fclose(f);
    return whole;
}

static void run_device(const char *file, const char *dtype, const char *more, const char *value,
                       int times, const struct goldens *g, const char *db, const char *out)
{
    const char *in = write_rows(g, times), *model = test_data(file);
    struct process p;
    const char *words[] = {"run", "-i",       in,     "-o",      out,   "--db",
                           db,    "-m",       model,  "-t",      "1",   "--kv-cache-memory-bytes",
                           "16M", "--device", "cuda", "--dtype", dtype, more,
                           value, NULL};
    const int rc = process_run(&p, LIMIT_S, words);
    struct buf said = process_read(p.err);

    ck_assert_msg(rc == 0, "exit code %d: %s", rc, said.data ? said.data : "");
    buf_fini(&said);
}

#define STORIES "models/stories260K/"
static const struct {
    const char *file, *dtype;
    double may_tie;
    int whole; /* of 14 texts, at least: it is the same model */
} MODELS[] = {{STORIES "hf", "float32", 0, 14},
              {STORIES "hf", "bfloat16", BF16_TIE, 7},
              {STORIES "stories260K-f32.gguf", "float32", 0, 14},
              {STORIES "stories260K-q8_0.gguf", "auto", Q8_0_TIE, 5}};
#define N_MODELS (int)(sizeof MODELS / sizeof MODELS[0])

START_TEST(all_prompts_give_the_published_greedy_text_up_to_a_near_tie)
{
    const char *out = test_path("out.jsonl"), *dtype = MODELS[_i].dtype;
    struct goldens g;

    if (no_bf16 && !strcmp(dtype, "bfloat16")) dtype = "float16";
    goldens_open(&g);
    run_device(MODELS[_i].file, dtype, NULL, NULL, 1, &g, test_path("q.db"), out);
    ck_assert_int_ge(check_output(&g, out, 1, MODELS[_i].may_tie), MODELS[_i].whole);
    json_decref(g.file);
}
END_TEST

/* Unequal parts of one card; each computes rows of the job, and all are right. */
START_TEST(two_instances_of_unequal_size_share_a_card_and_a_job)
{
    const char *out = test_path("out.jsonl"), *db = test_path("q.db");
    struct goldens g;
    char parts[32];

    goldens_open(&g);
    snprintf(parts, sizeof parts, "%d,%d", sm_count / 4, sm_count / 2);
    run_device(STORIES "hf", "float32", "--sm-count", parts, 4, &g, db, out);
    ck_assert_int_eq(check_output(&g, out, 4, 0), 4 * g.n);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM instance"), 2);
    ck_assert_int_eq(process_sql(db, "SELECT count(*) FROM result"), 4 * g.n);
    json_decref(g.file);
}
END_TEST

/* Sets the plug-in of this build where none is named.  Has it a device? */
static bool device_found(void)
{
    char path[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    const struct plugin *p;
    struct device_facts f;
    struct errmsg e;
    char *slash;

    path[n > 0 ? n : 0] = 0;
    for (int i = 0; i < 2 && (slash = strrchr(path, '/')); i++)
        *slash = 0;
    snprintf(path + strlen(path), sizeof path - strlen(path), "/libnightmill-emu.so");
    setenv(PLUGIN_ENV, path, 0);
    p = plugin_open(&e);
    if (p && p->emulated) tokens = TOKENS_EMULATED;
    if (p && p->device->count(&e) > 0 && !p->device->facts(0, &f, &e)) {
        sm_count = f.sm_count;
        no_bf16 = f.arch < 80;
        return true;
    }
    printf("SKIPPED: %s\n", e.text);
    if (getenv("REQUIRE_GPU")) exit(EXIT_FAILURE);
    return false;
}

static Suite *suite(void)
{
    Suite *s = suite_create("cuda");
    TCase *t = tcase_create("cuda");

    if (!test_has_data() || !device_found()) return s;
    tcase_set_timeout(t, LIMIT_S + 10);
    tcase_add_loop_test(t, all_prompts_give_the_published_greedy_text_up_to_a_near_tie, 0,
                        N_MODELS);
    tcase_add_test(t, two_instances_of_unequal_size_share_a_card_and_a_job);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
