/* test_gguf_golden.c - worker/engine on stories260K as GGUF files, against tokens and logits that
 * an independent program computed in float64 from the unquantised weights.
 */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "model/tokenizer.h"
#include "tests/rig.h"
#include "tests/test.h"

#define N_PROMPTS 14

/* How far the files' numbers may move a logit, as a share of the largest, and the difference of two
 * of them.  Float32 rounds.  Q8_0 keeps 8 bits of each weight, and ops as much of what they
 * multiply by it: seen are 0.0177 at the prompts' ends, and 0.212 where a story leaves the golden
 * one. */
static const struct file {
    const char *name;
    double off, tie;
    int whole; /* of 14 stories, at least so many to the end */
} FILES[] = {
    {"stories260K-f32.gguf", 1e-4, 1e-3, 14},
    {"stories260K-q8_0.gguf", 0.02, 0.3, 5},
};

static json_t *goldens;

static void open_file(const char *name)
{
    struct model *m = NULL;
    struct errmsg e = {""};
    json_error_t je;
    char path[96];

    goldens = json_load_file(test_data("models/stories260K/goldens.json"), 0, &je);
    ck_assert_msg(goldens != NULL, "%s", je.text);
    snprintf(path, sizeof path, "models/stories260K/%s", name);
    ck_assert_msg(!model_open(&m, test_data(path), &e), "%s", e.text);
    ck_assert_uint_eq(strlen(m->name), strlen(name) - strlen(".gguf"));
    rig.model = *m;
    free(m);
}

static void close_file(void)
{
    json_decref(goldens);
    rig_close();
}

static int ids_of(const json_t *a, int32_t *ids, int cap)
{
    const int n = (int)json_array_size(a);

    ck_assert_int_le(n, cap);
    for (int i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(json_array_get(a, (size_t)i));
    return n;
}

static const struct device *device(int i)
{
    return i ? device_ref() : device_cpu();
}

START_TEST(logits_agree_with_the_unquantised_model)
{
    const struct file *f = &FILES[_i / 2];
    const json_t *c;
    double off = 0, largest = 0;
    size_t k;

    open_file(f->name);
    rig_start((struct engine_opts){.device = device(_i % 2)});
    json_array_foreach(json_object_get(goldens, "greedy"), k, c)
    {
        float logits[512];
        int32_t ids[64];
        const int n = ids_of(json_object_get(c, "prompt_ids"), ids, 64);

        ck_assert_msg(!engine_logits(rig.en, ids, n, logits, &rig.err), "%s", rig.err.text);
        for (size_t i = 0; i < 512; i++) {
            const double w =
                json_number_value(json_array_get(json_object_get(c, "next_logits"), i));

            ck_assert(!isnan(logits[i]));
            off = fmax(off, fabs((double)logits[i] - w));
            largest = fmax(largest, fabs(w));
        }
    }
    ck_assert_msg(off <= f->off * largest, "off by %g of %g", off, largest);
    close_file();
}
END_TEST

/* All prompts in one batch, 96 tokens each. */
static void run_stories(struct outcome out[N_PROMPTS])
{
    const json_t *cases = json_object_get(goldens, "greedy"), *c;
    struct sampling p = RIG_GREEDY;
    int32_t ids[96];
    size_t k;

    ck_assert_uint_eq(json_array_size(cases), N_PROMPTS);
    p.max_tokens = 96;
    json_array_foreach(cases, k, c)
        rig_add(ids, ids_of(json_object_get(c, "prompt_ids"), ids, 96), &p, (int)k);
    rig_run();
    rig_take(out, N_PROMPTS);
}

/* Where a story leaves the golden one, the float32 logit of the golden token less that of the
 * chosen one; 0 when it never does. */
static double margin(const json_t *c, const struct outcome *o)
{
    float logits[512];
    int32_t golden[96], ids[256];
    const int len = ids_of(json_object_get(c, "greedy_ids"), golden, 96);
    const int n = ids_of(json_object_get(c, "prompt_ids"), ids, 64);
    int at = 0;

    while (at < len && o->ids[at] == golden[at])
        at++;
    if (at == len) return 0;
    memcpy(ids + n, golden, (size_t)at * sizeof *ids);
    ck_assert_int_eq(engine_logits(rig.en, ids, n + at, logits, &rig.err), ERR_OK);
    return (double)logits[golden[at]] - (double)logits[o->ids[at]];
}

START_TEST(stories_come_out_up_to_a_near_tie)
{
    const struct file *f = &FILES[_i / 2];
    struct outcome out[N_PROMPTS];
    int whole = 0;

    open_file(f->name);
    rig_start((struct engine_opts){.device = device(_i % 2)});
    run_stories(out);
    close_file();
    open_file(FILES[0].name);
    rig_start((struct engine_opts){0});
    for (int k = 0; k < N_PROMPTS; k++) {
        const double off =
            margin(json_array_get(json_object_get(goldens, "greedy"), (size_t)k), &out[k]);

        whole += !(fabs(off) > 0);
        ck_assert_msg(off <= f->tie, "prompt %d: off by %g: %s", k, off, out[k].text.data);
    }
    ck_assert_msg(whole >= f->whole, "%d of 14 stories agree to the end", whole);
    rig_free(out, N_PROMPTS);
    close_file();
}
END_TEST

START_TEST(a_prompt_has_the_same_ids_as_from_tokenizer_json)
{
    const json_t *c;
    size_t k;

    open_file(FILES[_i].name);
    json_array_foreach(json_object_get(goldens, "greedy"), k, c)
    {
        const char *text = json_string_value(json_object_get(c, "prompt"));
        struct ids got = {0};
        int32_t ids[64];
        const int n = ids_of(json_object_get(c, "prompt_ids"), ids, 64);

        ck_assert(!tokenizer_encode(rig.model.tokenizer, text, strlen(text), TOKENIZER_BOS, &got,
                                    &rig.err));
        ck_assert_uint_eq(got.n, (size_t)n);
        ck_assert_mem_eq(got.at, ids, (size_t)n * sizeof *ids);
        ids_fini(&got);
    }
    close_file();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gguf_golden");
    TCase *g = tcase_create("golden");

    if (!test_has_data()) return s;
    tcase_set_timeout(g, 120);
    tcase_add_loop_test(g, logits_agree_with_the_unquantised_model, 0, 4);
    tcase_add_loop_test(g, stories_come_out_up_to_a_near_tie, 0, 4);
    tcase_add_loop_test(g, a_prompt_has_the_same_ids_as_from_tokenizer_json, 0, 2);
    suite_add_tcase(s, g);
    return s;
}

TEST_MAIN(suite)
