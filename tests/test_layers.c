/* test_layers.c - worker/layers: tensors of one family under the configuration of another. */
#include "worker/layers.h"

#include <string.h>

#include "model/weights.h"
#include "tests/family.h"
#include "tests/test.h"

static const struct family_case *case_of(const char *name)
{
    for (int i = 0; i < N_FAMILY_CASES; i++)
        if (!strcmp(FAMILY_CASES[i].name, name)) return &FAMILY_CASES[i];
    ck_abort_msg("no case %s", name);
}

struct mixed {
    struct model model; /* without a tokenizer */
    struct layers layers;
    struct errmsg e;
};

/* config: whose configuration; weights: whose tensors. */
static int open_mixed(struct mixed *m, const char *config, const char *weights)
{
    struct family_run f, w;

    family_load(&f, case_of(config));
    family_load(&w, case_of(weights));
    m->model = f.model;
    m->model.weights = w.model.weights;
    weights_close(&f.model.weights);
    free(f.want);
    free(w.want);
    return layers_open(&m->layers, &m->model, &m->e);
}

static void close_mixed(struct mixed *m)
{
    layers_fini(&m->layers);
    weights_close(&m->model.weights);
}

static void refuse(const char *config, const char *weights, int want, const char *text)
{
    struct mixed m;
    int rc = open_mixed(&m, config, weights);

    ck_assert_msg(rc == want && strstr(m.e.text, text), "%s on %s: %d '%s'", config, weights, rc,
                  m.e.text);
    ck_assert_ptr_null(m.layers.at);
    close_mixed(&m);
}

START_TEST(a_part_that_is_missing_is_named)
{
    refuse("llama-bias", "mistral", ERR_FORMAT, "'model.layers.0.self_attn.q_proj.bias' [32] is");
    refuse("qwen3", "llama", ERR_FORMAT, "'model.layers.0.self_attn.q_norm.weight' [16] is");
    refuse("phi3", "mistral", ERR_FORMAT, "'model.layers.0.self_attn.qkv_proj.weight' [64, 32] is");
    refuse("mistral", "smollm", ERR_FORMAT, "'lm_head.weight' [97, 32] is missing");
    refuse("gemma2", "gemma3", ERR_UNSUPPORTED, "_norm.weight' has no place in Gemma2");
    refuse("gemma3", "gemma2", ERR_FORMAT, "'model.layers.0.self_attn.q_norm.weight' [16] is");
}
END_TEST

START_TEST(a_part_that_has_no_place_is_named)
{
    refuse("mistral", "llama-bias", ERR_UNSUPPORTED, "_proj.bias' has no place in Mistral");
    refuse("llama", "qwen3", ERR_UNSUPPORTED,
           "_norm.weight' has no place in LlamaForCausalLM of 2");
}
END_TEST

START_TEST(a_part_of_another_shape_is_named_with_both)
{
    refuse("mistral", "llama", ERR_FORMAT,
           "'model.layers.0.self_attn.q_proj.weight' is [64, 32], and config.json makes it "
           "[32, 32]");
}
END_TEST

START_TEST(fused_tensors_are_views_of_their_rows)
{
    struct mixed m;
    const struct layer *x;

    ck_assert_int_eq(open_mixed(&m, "phi3", "phi3"), ERR_OK);
    x = &m.layers.at[1];
    ck_assert_int_eq(x->q.N, 32);
    ck_assert_int_eq(x->k.N, 16);
    ck_assert_ptr_eq(x->k.data, (const float *)x->q.data + 32 * 32);
    ck_assert_ptr_eq(x->v.data, (const float *)x->q.data + 48 * 32);
    ck_assert_ptr_eq(x->up.data, (const float *)x->gate.data + 44 * 32);
    ck_assert_int_eq(x->gate.N, 44);
    close_mixed(&m);
}
END_TEST

START_TEST(a_tied_head_is_the_embedding)
{
    /* a file may hold the head once more: it is not used */
    static const char *const WEIGHTS[] = {"smollm", "mistral"};
    struct mixed m;

    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(open_mixed(&m, "smollm", WEIGHTS[i]), ERR_OK);
        ck_assert_ptr_eq(m.layers.head.data, m.layers.embed.data);
        close_mixed(&m);
    }
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("layers");
    TCase *t = tcase_create("layers");

    tcase_add_test(t, a_part_that_is_missing_is_named);
    tcase_add_test(t, a_part_that_has_no_place_is_named);
    tcase_add_test(t, a_part_of_another_shape_is_named_with_both);
    tcase_add_test(t, fused_tensors_are_views_of_their_rows);
    tcase_add_test(t, a_tied_head_is_the_embedding);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
