/* e2e_cuda_rows.c - what a row may ask for, answered by --device cuda as by --device cpu.
 *
 * Greedy, so that both must give the same answers: several of them, stops, penalties, biases,
 * log-probabilities, shared beginnings, prompts in chunks; all in one job, so that steps are mixed.
 * The plug-in is the one that $NIGHTMILL_CUDA names, else libnightmill-emu.so of this build.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "tests/device_rig.h"
#include "tests/process.h"
#include "tests/test.h"

#define LIMIT_S 300
#define OFF     2e-3 /* of a log-probability: float sums in another order */

/* Two KV blocks and more that rows share, and are computed in chunks. */
#define LONG                                                                                       \
    "\"prompt\":\"Once upon a time, there was a little girl named Lily. She loved to play "        \
    "outside "                                                                                     \
    "in the park. One day, she saw a big, red ball. "
#define SHORT "\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"temperature\":0"

static const char *const ROWS[] = {
    LONG "She\",\"max_tokens\":10,\"temperature\":0",
    LONG "Her mom\",\"max_tokens\":10,\"temperature\":0,\"n\":2",
    LONG "She\",\"max_tokens\":10,\"temperature\":0,\"repetition_penalty\":1.5",
    SHORT ",\"n\":3",
    SHORT ",\"logprobs\":4",
    SHORT ",\"stop\":[\"little\"]",
    SHORT ",\"stop\":\"tle g\",\"include_stop_str_in_output\":true",
    SHORT ",\"stop\":\"little\",\"min_tokens\":11",
    SHORT ",\"presence_penalty\":1.5,\"frequency_penalty\":1.25,\"logprobs\":1",
    SHORT ",\"repetition_penalty\":1.7",
    SHORT ",\"logit_bias\":{\"403\":-100,\"432\":5}",
    SHORT ",\"allowed_token_ids\":[261,286,300,378,403,407,432]",
    SHORT ",\"stop_token_ids\":[378]",
    SHORT ",\"top_k\":5,\"top_p\":0.5,\"min_p\":0.1",
    "\"prompt\":\"Once upon a time\",\"max_tokens\":12,\"temperature\":1.5,\"top_k\":1,\"seed\":7",
    "\"prompt\":\"\",\"max_tokens\":12,\"temperature\":0",
    "\"prompt\":\"Tim\",\"max_tokens\":1,\"temperature\":0,\"logprobs\":5",
    SHORT ",\"stop_token_ids\":[512]", /* which the vocabulary has not */
};
#define N_ROWS (sizeof ROWS / sizeof ROWS[0])

static const char *write_rows(void)
{
    struct buf rows = {0};
    const char *path;

    for (size_t i = 0; i < N_ROWS; i++)
        buf_printf(&rows, "{%s}\n", ROWS[i]);
    path = test_file("in.jsonl", rows.data, rows.len);
    buf_fini(&rows);
    return path;
}

/* One row has an error, so that the exit code is 1. */
static FILE *answers(const char *device, const char *db, const char *more)
{
    const char *out = test_path(device);
    struct process p;
    const int rc =
        PROCESS_RUN(&p, LIMIT_S, "run", "-i", write_rows(), "-o", out, "--db", db, "-m",
                    test_data("models/stories260K/hf"), "-t", "1", "--kv-cache-memory-bytes", "16M",
                    "--device", device, "--dtype", "float32", "--max-num-batched-tokens", "24",
                    "--max-num-seqs", "6", more);
    struct buf said;
    FILE *f;

    said = process_read(p.err);
    ck_assert_msg(rc == 1, "exit code %d: %s", rc, said.data ? said.data : "");
    buf_fini(&said);
    f = fopen(out, "r");
    ck_assert_ptr_nonnull(f);
    return f;
}

/* As json_equal, but that floats may be off. */
static bool alike(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *v;
    size_t i;

    if (json_is_real(a) && json_is_number(b))
        return fabs(json_real_value(a) - json_number_value(b)) <= OFF;
    if (json_typeof(a) != json_typeof(b) || json_object_size(a) != json_object_size(b) ||
        json_array_size(a) != json_array_size(b))
        return false;
    json_object_foreach((json_t *)a, key, v) if (!alike(v, json_object_get(b, key))) return false;
    json_array_foreach(a, i, v) if (!alike(v, json_array_get(b, i))) return false;
    return json_is_object(a) || json_is_array(a) || json_equal(a, b);
}

/* What an output line says that is no matter of time. */
static const json_t *said_by(const json_t *line)
{
    const json_t *body = json_object_get(json_object_get(line, "response"), "body");
    const json_t *choices = json_object_get(body, "choices");

    return choices ? choices : json_object_get(body, "error");
}

static void same_answers(FILE *cpu, FILE *cuda)
{
    for (size_t i = 0; i < N_ROWS; i++) {
        json_t *a = json_loadf(cpu, JSON_DISABLE_EOF_CHECK, NULL);
        json_t *b = json_loadf(cuda, JSON_DISABLE_EOF_CHECK, NULL);
        char *texts[2];

        ck_assert_msg(said_by(a) && said_by(b), "row %zu has no answer", i);
        texts[0] = json_dumps(said_by(a), 0), texts[1] = json_dumps(said_by(b), 0);
        ck_assert_msg(alike(said_by(a), said_by(b)), "row %zu: %s\non the CPU, %s\non CUDA", i,
                      texts[0], texts[1]);
        free(texts[0]), free(texts[1]);
        json_decref(a), json_decref(b);
    }
    fclose(cpu), fclose(cuda);
}

/* Also: what rows share is computed once, and a result says whether its batch may have changed it.
 */
START_TEST(rows_of_all_kinds_are_answered_as_on_the_cpu)
{
    const char *cpu = test_path("cpu.db"), *cuda = test_path("cuda.db");

    same_answers(answers("cpu", cpu, NULL), answers("cuda", cuda, _i ? "--batch-invariant" : NULL));
    ck_assert_int_ge(process_sql(cuda, "SELECT count(*) FROM results WHERE cached_tokens >= 16"),
                     2);
    ck_assert_int_eq(process_sql(cpu, "SELECT min(batch_invariant) FROM result"), 1);
    ck_assert_int_eq(process_sql(cuda, "SELECT min(batch_invariant) FROM result"), _i);
    ck_assert_int_eq(process_sql(cuda, "SELECT max(batch_invariant) FROM result"), _i);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("cuda_rows");
    TCase *t = tcase_create("cuda_rows");

    suite_add_tcase(s, t);
    if (!test_has_data() || !device_rig_found()) return s;
    tcase_set_timeout(t, 2 * LIMIT_S + 10);
    tcase_add_loop_test(t, rows_of_all_kinds_are_answered_as_on_the_cpu, 0, 2);
    return s;
}

TEST_MAIN(suite)
