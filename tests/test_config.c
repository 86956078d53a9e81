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
           "known are LlamaForCausalLM");
    refuse("{'architectures':[]}", ERR_FORMAT, "architectures", "nothing");
}
END_TEST

START_TEST(options_that_change_the_answer_are_refused_by_name)
{
    refuse("{'quantization_config':{'quant_method':'gptq','bits':4}}", ERR_UNSUPPORTED,
           "quantization_config gptq", "f32, f16, bf16");
    refuse("{'rope_scaling':{'rope_type':'yarn','factor':4.0}}", ERR_UNSUPPORTED, "rope_scaling",
           "yarn");
    refuse("{'rope_parameters':{'rope_type':'llama3'}}", ERR_UNSUPPORTED, "rope_parameters",
           "llama3");
    refuse("{'attention_bias':true}", ERR_UNSUPPORTED, "attention_bias", "true");
    refuse("{'mlp_bias':true}", ERR_UNSUPPORTED, "mlp_bias", "true");
    refuse("{'hidden_act':'gelu'}", ERR_UNSUPPORTED, "hidden_act gelu", "silu");
    refuse("{'sliding_window':4096}", ERR_UNSUPPORTED, "sliding_window", "4096");
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
    tcase_add_test(t, a_file_that_is_no_json_object_is_refused);
    if (test_has_data()) tcase_add_test(t, a_real_config_is_read);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
