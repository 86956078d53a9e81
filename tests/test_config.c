/* test_config.c - config.json: its numbers, its limits, what is refused by name. */
#include "model/config.h"

#include <jansson.h>
#include <string.h>

#include "tests/test.h"

#define GOOD                                                                                       \
    "{'architectures':['LlamaForCausalLM'],'hidden_size':64,'intermediate_size':172,"              \
    "'num_hidden_layers':5,'num_attention_heads':8,'num_key_value_heads':4,'vocab_size':512,"      \
    "'max_position_embeddings':128,'rms_norm_eps':1e-5,'hidden_act':'silu','bos_token_id':1,"      \
    "'eos_token_id':2}"

#define MISTRAL "'architectures':['MistralForCausalLM']"
#define QWEN2   "'architectures':['Qwen2ForCausalLM']"
#define QWEN3   "'architectures':['Qwen3ForCausalLM']"
#define PHI3    "'architectures':['Phi3ForCausalLM']"
#define GEMMA2  "'architectures':['Gemma2ForCausalLM']"
#define GEMMA3  "'architectures':['Gemma3ForCausalLM']"

/* Writes GOOD with some fields changed: `patch` is an object with ' for ". */
static void put_config(const char *patch)
{
    char good[] = GOOD, *text, change[512];
    json_t *config, *more;

    snprintf(change, sizeof change, "%s", patch);
    for (char *p = good; *p; p++)
        if (*p == '\'') *p = '"';
    for (char *p = change; *p; p++)
        if (*p == '\'') *p = '"';
    config = json_loads(good, 0, NULL);
    more = json_loads(change, 0, NULL);
    ck_assert_msg(config && more, "%s", patch);
    json_object_update(config, more);
    text = json_dumps(config, 0);
    test_file("config.json", text, strlen(text));
    free(text);
    json_decref(config);
    json_decref(more);
}

static void read_good(struct model_config *c, const char *patch)
{
    struct errmsg e;

    put_config(patch);
    ck_assert_msg(!config_read(c, test_dir(), &e), "%s: %s", patch, e.text);
}

static void refuse(const char *patch, int want, const char *word, const char *number)
{
    struct model_config c;
    struct errmsg e = {""};

    put_config(patch);
    ck_assert_msg(config_read(&c, test_dir(), &e) == want, "%s: %s", patch, e.text);
    ck_assert_msg(strstr(e.text, word) && strstr(e.text, number), "'%s' lacks '%s' or '%s'", e.text,
                  word, number);
}

START_TEST(numbers_and_defaults_are_read)
{
    struct model_config c;

    read_good(&c, "{}");
    ck_assert_str_eq(c.arch, "LlamaForCausalLM");
    ck_assert_int_eq(c.n_layers, 5);
    ck_assert_int_eq(c.head_dim, 8);
    ck_assert_int_eq(c.n_kv_heads, 4);
    ck_assert_float_eq(c.rope.theta, 10000.0f);
    ck_assert(!c.tied);
    ck_assert_int_eq(c.bos_id, 1);
    ck_assert_int_eq(c.n_eos, 1);
    ck_assert_int_eq(c.eos_ids[0], 2);
    read_good(&c, "{'num_key_value_heads':null,'head_dim':16,'tie_word_embeddings':true,"
                  "'bos_token_id':null,'eos_token_id':null,"
                  "'rope_parameters':{'rope_type':'default','rope_theta':500000}}");
    ck_assert_int_eq(c.n_kv_heads, 8);
    ck_assert_int_eq(c.head_dim, 16);
    ck_assert_float_eq(c.rope.theta, 500000.0f);
    ck_assert(c.tied);
    ck_assert_int_eq(c.bos_id, -1);
    ck_assert_int_eq(c.n_eos, 0);
}
END_TEST

START_TEST(generation_config_overrides_eos)
{
    struct model_config c;
    const char *gen = "{\"eos_token_id\":[1,2,9]}";

    test_file("generation_config.json", gen, strlen(gen));
    read_good(&c, "{'eos_token_id':[3,4]}");
    ck_assert_int_eq(c.n_eos, 3);
    ck_assert_int_eq(c.eos_ids[2], 9);
    gen = "{\"eos_token_id\":512}";
    test_file("generation_config.json", gen, strlen(gen));
    refuse("{}", ERR_FORMAT, "generation_config.json: eos_token_id", "512");
}
END_TEST

START_TEST(a_missing_or_wild_number_is_refused_by_name)
{
    refuse("{'hidden_size':null}", ERR_FORMAT, "hidden_size", "missing");
    refuse("{'hidden_size':-1}", ERR_FORMAT, "hidden_size", "-1");
    refuse("{'hidden_size':64.5}", ERR_FORMAT, "hidden_size", "whole number");
    refuse("{'vocab_size':99999999999}", ERR_FORMAT, "vocab_size", "99999999999");
    refuse("{'num_hidden_layers':0}", ERR_FORMAT, "num_hidden_layers", "0");
    refuse("{'num_key_value_heads':3}", ERR_FORMAT, "num_key_value_heads", "3");
    refuse("{'hidden_size':65}", ERR_FORMAT, "hidden_size", "65");
    refuse("{'head_dim':7}", ERR_FORMAT, "head_dim", "7");
    refuse("{'rms_norm_eps':0}", ERR_FORMAT, "rms_norm_eps", "0");
    refuse("{'rms_norm_eps':null}", ERR_FORMAT, "rms_norm_eps", "missing");
    refuse("{'rope_theta':-2}", ERR_FORMAT, "rope_theta", "-2");
    refuse("{'bos_token_id':512}", ERR_FORMAT, "bos_token_id", "512");
    refuse("{'eos_token_id':[2,-3]}", ERR_FORMAT, "eos_token_id", "-3");
    refuse("{'tie_word_embeddings':3}", ERR_FORMAT, "tie_word_embeddings", "true or false");
}
END_TEST

START_TEST(an_unknown_architecture_is_refused_with_the_list)
{
    refuse("{'architectures':['MambaForCausalLM']}", ERR_UNSUPPORTED, "MambaForCausalLM",
           "known are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, "
           "Phi3ForCausalLM, Gemma2ForCausalLM, Gemma3ForCausalLM");
    refuse("{'architectures':['MixtralForCausalLM']}", ERR_UNSUPPORTED, "MixtralForCausalLM",
           "mixture of experts");
    refuse("{'architectures':['Gemma3ForConditionalGeneration']}", ERR_UNSUPPORTED,
           "Gemma3ForConditionalGeneration", "known are");
    refuse("{'architectures':[]}", ERR_FORMAT, "architectures", "nothing");
}
END_TEST

START_TEST(options_that_change_the_answer_are_refused_by_name)
{
    refuse("{'quantization_config':{'quant_method':'gptq','bits':4}}", ERR_UNSUPPORTED,
           "quantization_config gptq", "f32, f16, bf16");
    refuse("{'hidden_act':'relu'}", ERR_UNSUPPORTED, "hidden_act relu", "silu");
    refuse("{'sliding_window':4096}", ERR_UNSUPPORTED, "sliding_window", "LlamaForCausalLM");
    refuse("{'final_logit_softcapping':30.0}", ERR_UNSUPPORTED, "final_logit_softcapping", "none");
    refuse("{'num_local_experts':8}", ERR_UNSUPPORTED, "num_local_experts", "not computed");
    refuse("{'no_rope_layers':[1,0]}", ERR_UNSUPPORTED, "no_rope_layers", "not computed");
    refuse("{" MISTRAL ",'attention_bias':true}", ERR_UNSUPPORTED, "attention_bias", "Mistral");
    refuse("{" MISTRAL ",'mlp_bias':true}", ERR_UNSUPPORTED, "mlp_bias", "Mistral");
    refuse("{" GEMMA3 ",'attn_logit_softcapping':50.0}", ERR_UNSUPPORTED, "attn_logit_softcapping",
           "Gemma3ForCausalLM");
    refuse("{" GEMMA2 ",'use_bidirectional_attention':true}", ERR_UNSUPPORTED,
           "use_bidirectional_attention", "not computed");
    refuse("{'layer_types':['full_attention','sliding_attention','full_attention','full_attention',"
           "'full_attention']}",
           ERR_UNSUPPORTED, "layer_types[1] is sliding_attention", "LlamaForCausalLM");
    refuse("{" GEMMA2 ",'layer_types':['full_attention']}", ERR_FORMAT, "layer_types has 1", "5");
    refuse("{" QWEN2 ",'layer_types':['full_attention','full_attention','chunked_attention',"
           "'full_attention','full_attention']}",
           ERR_UNSUPPORTED, "layer_types[2]", "chunked_attention");
}
END_TEST

START_TEST(a_rope_that_is_not_computed_is_refused_by_name)
{
    refuse("{'rope_scaling':{'type':'dynamic','factor':2.0}}", ERR_UNSUPPORTED, "dynamic",
           "already cached");
    refuse("{'rope_scaling':{'rope_type':'proportional'}}", ERR_UNSUPPORTED, "proportional",
           "known are default, linear, llama3, yarn, longrope");
    refuse("{'rope_scaling':{'rope_type':'linear'}}", ERR_FORMAT, "rope_scaling: factor",
           "missing");
    refuse("{'rope_scaling':{'rope_type':'linear','factor':0}}", ERR_FORMAT, "factor is 0", "(0,");
    refuse("{'rope_parameters':{'rope_type':'llama3','factor':8}}", ERR_FORMAT,
           "rope_parameters: low_freq_factor", "missing");
    refuse("{'rope_parameters':{'rope_type':'llama3','factor':8,'low_freq_factor':4,"
           "'high_freq_factor':4}}",
           ERR_FORMAT, "high_freq_factor 4", "low_freq_factor 4");
    refuse("{'rope_parameters':{'rope_type':'yarn','factor':8,'truncate':false}}", ERR_UNSUPPORTED,
           "truncate", "false");
    refuse("{'rope_parameters':{'rope_type':'yarn','factor':8,'mrope_section':[1]}}",
           ERR_UNSUPPORTED, "mrope_section", "yarn");
    refuse("{'rope_parameters':7}", ERR_FORMAT, "rope_parameters", "not an object");
    refuse("{'partial_rotary_factor':0.5}", ERR_UNSUPPORTED, "partial_rotary_factor", "0.5");
    refuse("{" PHI3 ",'partial_rotary_factor':0.1}", ERR_FORMAT, "partial_rotary_factor", "is 0");
    refuse("{" PHI3 ",'rope_scaling':{'type':'longrope','short_factor':[1,1,1],'long_factor':[1]}}",
           ERR_FORMAT, "short_factor has 3", "4");
    refuse("{" PHI3 ",'rope_scaling':{'type':'su','short_factor':[1,1,1,1],"
           "'long_factor':[1,2,-3,4]}}",
           ERR_FORMAT, "long_factor[2]", "-3");
}
END_TEST

START_TEST(both_manners_of_rope_are_read)
{
    struct model_config c;

    read_good(&c, "{'rope_theta':500000.0,'rope_scaling':{'factor':32.0,'high_freq_factor':4.0,"
                  "'low_freq_factor':1.0,'original_max_position_embeddings':8192,"
                  "'rope_type':'llama3'}}");
    ck_assert_int_eq(c.rope.kind, ROPE_LLAMA3);
    ck_assert_float_eq(c.rope.theta, 500000);
    ck_assert_float_eq(c.rope.factor, 32);
    ck_assert_float_eq(c.rope.low_freq_factor, 1);
    ck_assert_float_eq(c.rope.high_freq_factor, 4);
    ck_assert_int_eq(c.rope.original_positions, 8192);
    read_good(&c, "{'rope_scaling':null,'rope_parameters':{'rope_type':'linear','factor':2.5,"
                  "'rope_theta':1e6}}");
    ck_assert_int_eq(c.rope.kind, ROPE_LINEAR);
    ck_assert_float_eq(c.rope.theta, 1e6f);
    ck_assert_float_eq(c.rope.factor, 2.5f);
    ck_assert_int_eq(c.max_positions, 128);
    read_good(&c, "{'rope_scaling':{'type':'yarn','factor':4.0,"
                  "'original_max_position_embeddings':64}}");
    ck_assert_int_eq(c.rope.kind, ROPE_YARN);
    ck_assert_float_eq(c.rope.beta_fast, 32);
    ck_assert_float_eq(c.rope.beta_slow, 1);
    ck_assert_float_eq(c.rope.attention_factor, 0);
    ck_assert_int_eq(c.max_positions, 256); /* 4 * 64: what the stretch reaches */
    /* (0.1 * 2 * ln 4 + 1) / (0.1 * 1 * ln 4 + 1) */
    read_good(&c, "{'rope_scaling':{'type':'yarn','factor':4.0,'mscale':2,'mscale_all_dim':1}}");
    ck_assert_float_eq_tol(c.rope.attention_factor, 1.1217511f, 1e-6f);
}
END_TEST

START_TEST(longrope_has_two_sets_and_a_part_that_turns)
{
    struct model_config c;

    read_good(&c, "{" PHI3 ",'head_dim':16,'partial_rotary_factor':0.75,'sliding_window':33,"
                  "'original_max_position_embeddings':32,'rope_scaling':{'type':'su',"
                  "'short_factor':[1,1,1,1,1,2],'long_factor':[1,2,3,4,5,6.5]}}");
    ck_assert_int_eq(c.n_rot, 12);
    ck_assert_int_eq(c.rope.kind, ROPE_LONGROPE);
    ck_assert_int_eq(c.rope.original_positions, 32);
    ck_assert_int_eq(c.rope.n_factors, 6);
    ck_assert_float_eq(c.rope.short_factor[5], 2);
    ck_assert_float_eq(c.rope.long_factor[5], 6.5f);
    ck_assert_float_eq(c.rope.attention_factor, 0);
    ck_assert(c.fused_qkv && c.fused_gate_up);
    ck_assert_int_eq(c.window, 33);
    ck_assert(c.windowed[0] && c.windowed[4]);
    read_good(&c, "{" PHI3 ",'original_max_position_embeddings':32,'rope_scaling':{'type':"
                  "'longrope','factor':4,'short_factor':[1,1,1,1],'long_factor':[1,1,1,1]}}");
    ck_assert_float_eq(c.rope.factor, 4);
    ck_assert_int_eq(c.window, 0);
}
END_TEST

START_TEST(families_differ_in_their_flags)
{
    struct model_config c;

    read_good(&c, "{'attention_bias':true,'mlp_bias':true}");
    ck_assert(c.q_bias && c.k_bias && c.v_bias && c.o_bias && c.mlp_bias);
    read_good(&c, "{" QWEN2 "}");
    ck_assert(c.q_bias && c.k_bias && c.v_bias && !c.o_bias && !c.mlp_bias && !c.qk_norm);
    ck_assert_int_eq(c.window, 0);
    read_good(&c, "{" QWEN2 ",'use_sliding_window':true,'sliding_window':32,"
                  "'max_window_layers':3}");
    ck_assert_int_eq(c.window, 32);
    ck_assert(!c.windowed[2] && c.windowed[3] && c.windowed[4]);
    read_good(&c, "{" QWEN3 "}");
    ck_assert(c.qk_norm && !c.q_bias && !c.norm_plus_one);
    ck_assert_int_eq(c.head_dim, 128);
    read_good(&c, "{" MISTRAL ",'sliding_window':7}");
    ck_assert_int_eq(c.window, 7);
    ck_assert(c.windowed[0] && c.windowed[4]);
    read_good(&c, "{" MISTRAL ",'sliding_window':null}");
    ck_assert_int_eq(c.window, 0);
    ck_assert(!c.windowed[0]);
    read_good(&c, "{'nightmill_rope_adjacent':true}");
    ck_assert(c.rope_adjacent);
}
END_TEST

START_TEST(gemma_is_read)
{
    struct model_config c;

    read_good(&c, "{" GEMMA2 ",'query_pre_attn_scalar':144,'sliding_window':9}");
    ck_assert(c.tied && c.norm_plus_one && c.post_norms && !c.qk_norm);
    ck_assert_int_eq(c.head_dim, 256);
    ck_assert_float_eq(c.attn_scale, 1.0f / 12);
    ck_assert_float_eq(c.attn_softcap, 50);
    ck_assert_float_eq(c.logit_softcap, 30);
    ck_assert_float_eq(c.embed_scale, 8);
    ck_assert_int_eq(c.act, ACT_GELU_TANH);
    ck_assert(c.windowed[0] && !c.windowed[1] && c.windowed[2] && !c.windowed[3]);
    ck_assert_float_eq(c.rope_local.theta, 10000);
    read_good(&c, "{" GEMMA2 ",'attn_logit_softcapping':null,'final_logit_softcapping':null,"
                  "'nightmill_norm_plus_one':false}");
    ck_assert_float_eq(c.attn_softcap, 0);
    ck_assert_float_eq(c.logit_softcap, 0);
    ck_assert(!c.norm_plus_one);
    read_good(&c, "{" GEMMA3 ",'sliding_window_pattern':2,'rope_theta':1e6,"
                  "'rope_local_base_freq':5000,'rope_scaling':{'rope_type':'linear','factor':8}}");
    ck_assert(c.qk_norm && c.norm_plus_one);
    ck_assert(c.windowed[0] && !c.windowed[1] && c.windowed[2]);
    ck_assert_int_eq(c.rope.kind, ROPE_LINEAR);
    ck_assert_float_eq(c.rope.theta, 1e6f);
    ck_assert_int_eq(c.rope_local.kind, ROPE_DEFAULT);
    ck_assert_float_eq(c.rope_local.theta, 5000);
    read_good(&c, "{" GEMMA3 ",'layer_types':['full_attention','sliding_attention',"
                  "'full_attention','sliding_attention','sliding_attention'],'rope_parameters':"
                  "{'full_attention':{'rope_type':'linear','factor':4,'rope_theta':3e6},"
                  "'sliding_attention':{'rope_type':'default','rope_theta':777}}}");
    ck_assert(!c.windowed[0] && c.windowed[1] && !c.windowed[2] && c.windowed[3]);
    ck_assert_float_eq(c.rope.theta, 3e6f);
    ck_assert_float_eq(c.rope.factor, 4);
    ck_assert_float_eq(c.rope_local.theta, 777);
}
END_TEST

START_TEST(a_file_that_is_no_json_object_is_refused)
{
    struct model_config c;
    struct errmsg e;

    ck_assert_int_eq(config_read(&c, test_dir(), &e), ERR_IO);
    test_file("config.json", "{\n\"a\": }", 8);
    ck_assert_int_eq(config_read(&c, test_dir(), &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "config.json: line 2"));
    test_file("config.json", "[]", 2);
    ck_assert_int_eq(config_read(&c, test_dir(), &e), ERR_FORMAT);
}
END_TEST

START_TEST(a_real_config_is_read)
{
    struct model_config c;
    struct errmsg e;

    ck_assert_msg(!config_read(&c, test_data("models/stories260K/hf"), &e), "%s", e.text);
    ck_assert_int_eq(c.hidden_size, 64);
    ck_assert(c.tied);
    ck_assert_int_eq(c.n_eos, 2); /* generation_config.json says 1 and 2 */
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("config");
    TCase *t = tcase_create("config");

    tcase_add_test(t, numbers_and_defaults_are_read);
    tcase_add_test(t, generation_config_overrides_eos);
    tcase_add_test(t, a_missing_or_wild_number_is_refused_by_name);
    tcase_add_test(t, an_unknown_architecture_is_refused_with_the_list);
    tcase_add_test(t, options_that_change_the_answer_are_refused_by_name);
    tcase_add_test(t, a_rope_that_is_not_computed_is_refused_by_name);
    tcase_add_test(t, both_manners_of_rope_are_read);
    tcase_add_test(t, longrope_has_two_sets_and_a_part_that_turns);
    tcase_add_test(t, families_differ_in_their_flags);
    tcase_add_test(t, gemma_is_read);
    tcase_add_test(t, a_file_that_is_no_json_object_is_refused);
    if (test_has_data()) tcase_add_test(t, a_real_config_is_read);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
