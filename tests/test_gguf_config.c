/* test_gguf_config.c - what a GGUF's metadata makes of a model, family by family. */
#include <math.h>
#include <string.h>

#include "model/config.h"
#include "model/gguf_config.h"
#include "tests/gguffile.h"
#include "tests/test.h"

#define DIMS(...)                                                                                  \
    (uint64_t[])                                                                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static struct gguffile file;
static struct model_config c;
static struct errmsg e;

static int read_config(void)
{
    struct gguf *g = NULL;
    json_t *config = NULL;
    int rc;

    memset(&e, 0, sizeof e);
    ck_assert_msg(!gguf_open(&g, gguffile_write(&file, "m.gguf"), &e), "%s", e.text);
    rc = gguf_config(&config, g, &e);
    if (!rc) rc = config_from_json(&c, config, NULL, "m.gguf", &e);
    json_decref(config);
    gguf_close(&g);
    gguffile_fini(&file);
    return rc;
}

static void read_good(void)
{
    ck_assert_msg(!read_config(), "%s", e.text);
}

static void refuse(int want, const char *word, const char *number)
{
    int rc = read_config();

    ck_assert_msg(rc == want, "%s: %d %s", word, rc, e.text);
    ck_assert_msg(strstr(e.text, word) && strstr(e.text, number), "'%s' lacks '%s' or '%s'", e.text,
                  word, number);
}

static bool near(float a, double b)
{
    return fabs((double)a - b) <= 1e-6 * fabs(b);
}

START_TEST(a_llama_turns_neighbours)
{
    gguffile_model(&file, "llama");
    gguffile_f32(&file, "llama.rope.freq_base", 500000);
    gguffile_u32(&file, "llama.rope.dimension_count", 16);
    read_good();
    ck_assert_str_eq(c.arch, "LlamaForCausalLM");
    ck_assert_int_eq(c.hidden_size, 64);
    ck_assert_int_eq(c.intermediate_size, 128);
    ck_assert_int_eq(c.n_layers, 4);
    ck_assert_int_eq(c.n_heads, 4);
    ck_assert_int_eq(c.n_kv_heads, 2);
    ck_assert_int_eq(c.head_dim, 16);
    ck_assert_int_eq(c.vocab_size, 8);
    ck_assert_int_eq(c.max_positions, 4096);
    ck_assert(near(c.rms_eps, 1e-5));
    ck_assert(near(c.rope.theta, 500000));
    ck_assert_int_eq(c.rope.kind, ROPE_DEFAULT);
    ck_assert(c.rope_adjacent);
    ck_assert(c.tied);
    ck_assert(!c.q_bias);
    ck_assert_int_eq(c.n_eos, 0);
    ck_assert_int_eq(c.bos_id, -1);
}
END_TEST

START_TEST(what_a_file_holds_says_what_a_model_has)
{
    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "output.weight", 0, DIMS(64, 8), 2, 2048, NULL);
    gguffile_tensor(&file, "blk.0.attn_q.bias", 0, DIMS(64), 1, 256, NULL);
    gguffile_tensor(&file, "blk.0.ffn_gate.bias", 0, DIMS(128), 1, 512, NULL);
    gguffile_u32(&file, "llama.attention.key_length", 32);
    gguffile_u32(&file, "llama.attention.sliding_window", 100);
    refuse(ERR_UNSUPPORTED, "attention_bias", "MistralForCausalLM");
    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "output.weight", 0, DIMS(64, 8), 2, 2048, NULL);
    gguffile_tensor(&file, "blk.0.attn_q.bias", 0, DIMS(64), 1, 256, NULL);
    gguffile_tensor(&file, "blk.0.ffn_gate.bias", 0, DIMS(128), 1, 512, NULL);
    gguffile_u32(&file, "llama.attention.key_length", 32);
    read_good();
    ck_assert(!c.tied);
    ck_assert(c.q_bias);
    ck_assert(c.mlp_bias);
    ck_assert_int_eq(c.head_dim, 32);
    gguffile_model(&file, "llama");
    gguffile_u32(&file, "llama.attention.sliding_window", 100);
    read_good();
    ck_assert_int_eq(c.window, 100);
}
END_TEST

START_TEST(llama_3_has_one_set_of_factors)
{
    const float factors[8] = {1, 1, 1, 1.5f, 2, 4, 8, 8};

    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "rope_freqs.weight", 0, DIMS(8), 1, sizeof factors, factors);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_LONGROPE);
    ck_assert_int_eq(c.rope.n_factors, 8);
    ck_assert_mem_eq(c.rope.long_factor, factors, sizeof factors);
    ck_assert_mem_eq(c.rope.short_factor, factors, sizeof factors);
    ck_assert(near(c.rope.attention_factor, 1));
    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "rope_freqs.weight", 0, DIMS(7), 1, 28, factors);
    refuse(ERR_FORMAT, "short_factor has 7", "8");
    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "rope_freqs.weight", 1, DIMS(8), 1, 16, factors);
    refuse(ERR_UNSUPPORTED, "rope_freqs.weight", "F32");
    gguffile_model(&file, "llama");
    gguffile_tensor(&file, "rope_freqs.weight", 0, DIMS(8), 1, 32, (float[8]){1, 1, NAN, 1});
    refuse(ERR_FORMAT, "short_factor[2]", "0");
}
END_TEST

START_TEST(linear_and_yarn_are_read_from_their_keys)
{
    gguffile_model(&file, "llama");
    gguffile_text(&file, "llama.rope.scaling.type", "linear");
    gguffile_f32(&file, "llama.rope.scaling.factor", 4);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_LINEAR);
    ck_assert(near(c.rope.factor, 4));
    gguffile_model(&file, "llama");
    gguffile_f32(&file, "llama.rope.scale_linear", 8);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_LINEAR);
    ck_assert(near(c.rope.factor, 8));
    gguffile_model(&file, "qwen2");
    gguffile_text(&file, "qwen2.rope.scaling.type", "yarn");
    gguffile_f32(&file, "qwen2.rope.scaling.factor", 4);
    gguffile_u32(&file, "qwen2.rope.scaling.original_context_length", 1024);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_YARN);
    ck_assert_int_eq(c.rope.original_positions, 1024);
    ck_assert(c.q_bias && c.v_bias && !c.o_bias);
    ck_assert(!c.rope_adjacent);
    ck_assert_int_eq(c.window, 0);
    gguffile_model(&file, "llama");
    gguffile_text(&file, "llama.rope.scaling.type", "none");
    gguffile_f32(&file, "llama.rope.scaling.factor", 4);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_DEFAULT);
    gguffile_model(&file, "llama");
    gguffile_text(&file, "llama.rope.scaling.type", "dynamic");
    refuse(ERR_UNSUPPORTED, "llama.rope.scaling.type", "yarn");
    gguffile_model(&file, "llama");
    gguffile_text(&file, "llama.rope.scaling.type", "longrope");
    refuse(ERR_FORMAT, "rope_factors_long.weight", "missing");
}
END_TEST

START_TEST(qwen3_norms_heads)
{
    gguffile_model(&file, "qwen3");
    gguffile_u32(&file, "qwen3.attention.key_length", 32);
    gguffile_u32(&file, "qwen3.attention.value_length", 32);
    read_good();
    ck_assert_str_eq(c.arch, "Qwen3ForCausalLM");
    ck_assert(c.qk_norm);
    ck_assert_int_eq(c.head_dim, 32);
    gguffile_model(&file, "qwen3");
    gguffile_u32(&file, "qwen3.attention.key_length", 32);
    gguffile_u32(&file, "qwen3.attention.value_length", 64);
    refuse(ERR_UNSUPPORTED, "qwen3.attention.value_length", "differs");
}
END_TEST

START_TEST(phi3_has_two_sets_of_factors_and_fused_parts)
{
    const float s[8] = {1, 1, 1, 1, 1, 1, 1, 2}, l[8] = {1, 2, 3, 4, 5, 6, 7, 8};

    gguffile_model(&file, "phi3");
    gguffile_u32(&file, "phi3.rope.scaling.original_context_length", 1024);
    gguffile_f32(&file, "phi3.rope.scaling.attn_factor", 1.19f);
    gguffile_tensor(&file, "rope_factors_long.weight", 0, DIMS(8), 1, 32, l);
    gguffile_tensor(&file, "rope_factors_short.weight", 0, DIMS(8), 1, 32, s);
    gguffile_u32(&file, "phi3.attention.sliding_window", 300);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_LONGROPE);
    ck_assert_mem_eq(c.rope.short_factor, s, sizeof s);
    ck_assert_mem_eq(c.rope.long_factor, l, sizeof l);
    ck_assert_int_eq(c.rope.original_positions, 1024);
    ck_assert(near(c.rope.attention_factor, (double)1.19f));
    ck_assert(c.fused_qkv && c.fused_gate_up);
    ck_assert_int_eq(c.window, 300);
    gguffile_model(&file, "phi3");
    gguffile_u32(&file, "phi3.rope.dimension_count", 12);
    read_good();
    ck_assert_int_eq(c.rope.kind, ROPE_DEFAULT);
    ck_assert_int_eq(c.n_rot, 12);
    ck_assert_int_eq(c.window, 0);
    gguffile_model(&file, "phi3");
    gguffile_u32(&file, "phi3.rope.scaling.original_context_length", 1024);
    gguffile_tensor(&file, "rope_factors_long.weight", 0, DIMS(8), 1, 32, l);
    refuse(ERR_FORMAT, "rope_factors_long.weight without", "short");
}
END_TEST

START_TEST(gemmas_norms_are_whole_in_a_gguf)
{
    gguffile_model(&file, "gemma2");
    gguffile_u32(&file, "gemma2.attention.key_length", 32);
    gguffile_u32(&file, "gemma2.attention.sliding_window", 100);
    gguffile_f32(&file, "gemma2.attn_logit_softcapping", 40);
    gguffile_f32(&file, "gemma2.final_logit_softcapping", 20);
    read_good();
    ck_assert(!c.norm_plus_one);
    ck_assert(c.post_norms);
    ck_assert(near(c.attn_softcap, 40) && near(c.logit_softcap, 20));
    ck_assert(near(c.attn_scale, 1 / sqrt(32)));
    ck_assert(near(c.embed_scale, 8));
    ck_assert_int_eq(c.window, 100);
    ck_assert(c.windowed[0] && !c.windowed[1] && c.windowed[2]);
    gguffile_model(&file, "gemma3");
    gguffile_u32(&file, "gemma3.attention.key_length", 32);
    gguffile_u32(&file, "gemma3.attention.sliding_window", 50);
    gguffile_u32(&file, "gemma3.attention.sliding_window_pattern", 3);
    gguffile_f32(&file, "gemma3.rope.freq_base", 1e6f);
    read_good();
    ck_assert(!c.norm_plus_one);
    ck_assert(c.qk_norm);
    ck_assert(near(c.rope.theta, 1e6) && near(c.rope_local.theta, 1e4));
    ck_assert(c.windowed[1] && !c.windowed[2] && c.windowed[3]);
    gguffile_model(&file, "gemma3");
    gguffile_raw(&file, "gemma3.attention.sliding_window_pattern", 9,
                 "\x07\0\0\0\4\0\0\0\0\0\0\0\0\1\1\0", 16);
    read_good();
    ck_assert(!c.windowed[0] && c.windowed[1] && c.windowed[2] && !c.windowed[3]);
}
END_TEST

START_TEST(ends_are_the_files_and_the_known_ones)
{
    static const char *const TOKENS[] = {"a", "b", "<|eot_id|>", "<|im_end|>", "e", "f", "g", "h"};

    gguffile_model(&file, "llama");
    gguffile_texts(&file, "tokenizer.ggml.tokens", TOKENS, 8);
    gguffile_u32s(&file, "tokenizer.ggml.token_type", (uint32_t[]){1, 3, 3, 1, 3, 1, 1, 1}, 8);
    gguffile_u32(&file, "tokenizer.ggml.eos_token_id", 4);
    gguffile_u32(&file, "tokenizer.ggml.eot_token_id", 1);
    gguffile_u32(&file, "tokenizer.ggml.bos_token_id", 5);
    read_good();
    ck_assert_int_eq(c.bos_id, 5);
    ck_assert_int_eq(c.n_eos, 3);
    ck_assert_int_eq(c.eos_ids[0], 4);
    ck_assert_int_eq(c.eos_ids[1], 1);
    ck_assert_int_eq(c.eos_ids[2], 2); /* a control token; 3 is spelled like one and is none */
    gguffile_model(&file, "llama");
    gguffile_u32(&file, "tokenizer.ggml.eos_token_id", 8);
    refuse(ERR_FORMAT, "eos_token_id 8", "7");
}
END_TEST

START_TEST(what_is_missing_or_wild_is_named)
{
    gguffile_text(&file, "general.name", "x");
    refuse(ERR_FORMAT, "general.architecture", "missing");
    gguffile_model(&file, "mamba");
    refuse(ERR_UNSUPPORTED, "general.architecture is mamba", "llama, qwen2, qwen3, phi3, gemma2");
    gguffile_text(&file, "general.architecture", "llama");
    refuse(ERR_FORMAT, "llama.embedding_length", "missing");
    gguffile_model(&file, "llama");
    gguffile_u32(&file, "llama.attention.key_length", 4000000000u);
    refuse(ERR_FORMAT, "llama.attention.key_length is 4000000000", "67108864");
    gguffile_model(&file, "llama");
    gguffile_text(&file, "llama.rope.freq_base", "much");
    refuse(ERR_FORMAT, "llama.rope.freq_base", "number");
    gguffile_model(&file, "llama");
    gguffile_f32(&file, "llama.rope.freq_base", NAN);
    refuse(ERR_FORMAT, "llama.rope.freq_base is", "nan");
    gguffile_model(&file, "llama");
    gguffile_u32(&file, "llama.expert_count", 8);
    refuse(ERR_UNSUPPORTED, "llama.expert_count", "not computed");
    gguffile_model(&file, "llama");
    gguffile_u32s(&file, "llama.attention.key_length", (uint32_t[]){16, 16, 8, 16}, 4);
    refuse(ERR_UNSUPPORTED, "llama.attention.key_length", "differs from layer to layer, at 2");
    gguffile_model(&file, "llama");
    gguffile_u32s(&file, "llama.attention.key_length", NULL, 0);
    refuse(ERR_FORMAT, "llama.attention.key_length", "whole number");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gguf_config");
    TCase *t = tcase_create("families");

    tcase_add_test(t, a_llama_turns_neighbours);
    tcase_add_test(t, what_a_file_holds_says_what_a_model_has);
    tcase_add_test(t, llama_3_has_one_set_of_factors);
    tcase_add_test(t, linear_and_yarn_are_read_from_their_keys);
    tcase_add_test(t, qwen3_norms_heads);
    tcase_add_test(t, phi3_has_two_sets_of_factors_and_fused_parts);
    tcase_add_test(t, gemmas_norms_are_whole_in_a_gguf);
    tcase_add_test(t, ends_are_the_files_and_the_known_ones);
    tcase_add_test(t, what_is_missing_or_wild_is_named);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
