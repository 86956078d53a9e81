/* test_job.c - worker/job, params, choices: from a request's body to sampling, from outcomes to
 * OpenAI's choices. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "schema/wire.h"
#include "tests/rig.h"
#include "tests/test.h"
#include "worker/choices.h"
#include "worker/job.h"
#include "worker/mask.h"

static struct params params;
static struct refusal refusal;
static json_t *request;

static int read_as(enum endpoint endpoint, const char *body)
{
    const struct params_limits limits = {
        .room = 100, .own_room = 60, .vocab_size = TINY_VOCAB, .seed = 77};

    json_decref(request);
    request = json_loads(body, 0, NULL);
    ck_assert_msg(request != NULL, "%s", body);
    memset(&refusal, 0, sizeof refusal);
    return params_read(&params, request, endpoint, &limits, &refusal);
}

static void tear_down(void)
{
    params_fini(&params);
    json_decref(request);
}

START_TEST(a_body_without_wishes_gets_openais_defaults)
{
    const struct sampling *s = &params.sampling;

    ck_assert_int_eq(read_as(ENDPOINT_CHAT, "{}"), ERR_OK);
    ck_assert(s->temperature == 1 && s->top_p == 1 && s->repetition_penalty == 1);
    ck_assert_int_eq(s->n, 1);
    ck_assert_int_eq(s->max_tokens, 60);
    ck_assert_uint_eq(s->seed, 77);
    ck_assert(!s->logprobs && !s->ignore_eos && !s->include_stop && !s->allowed &&
              !s->keep_specials);
    ck_assert_int_eq(read_as(ENDPOINT_COMPLETION, "{\"temperature\":null}"), ERR_OK);
    ck_assert_int_eq(s->max_tokens, 16);
}
END_TEST

START_TEST(every_field_arrives)
{
    const struct sampling *s = &params.sampling;

    ck_assert_int_eq(
        read_as(ENDPOINT_CHAT,
                "{\"max_tokens\":9,\"max_completion_tokens\":50,\"min_tokens\":3,\"n\":4,"
                "\"temperature\":0.5,\"top_p\":0.9,\"top_k\":7,\"min_p\":0.1,"
                "\"presence_penalty\":-1,\"frequency_penalty\":1.5,\"repetition_penalty\":1.25,"
                "\"seed\":-5,\"ignore_eos\":true,\"skip_special_tokens\":false,\"include_stop_str_"
                "in_output\":true,"
                "\"logprobs\":true,\"top_logprobs\":6,\"stop\":[\"a\",\"bc\"],"
                "\"stop_token_ids\":[4,60],\"logit_bias\":{\"7\":-2.5},"
                "\"allowed_token_ids\":[1,60]}"),
        ERR_OK);
    ck_assert_int_eq(s->max_tokens, 50);
    ck_assert_int_eq(s->min_tokens, 3);
    ck_assert_int_eq(s->n, 4);
    ck_assert(s->temperature == 0.5f && s->top_p == 0.9f && s->min_p == 0.1f);
    ck_assert_int_eq(s->top_k, 7);
    ck_assert(s->presence_penalty == -1 && s->frequency_penalty == 1.5f);
    ck_assert(s->repetition_penalty == 1.25f);
    ck_assert_uint_eq(s->seed, (uint64_t)-5 & INT64_MAX);
    ck_assert(s->ignore_eos && s->include_stop && s->logprobs && s->keep_specials);
    ck_assert_int_eq(s->top_logprobs, 6);
    ck_assert_int_eq(s->n_stops, 2);
    ck_assert_str_eq(s->stops[1].text, "bc");
    ck_assert_int_eq(s->n_stop_ids, 2);
    ck_assert_int_eq(s->stop_ids[1], 60);
    ck_assert_int_eq(s->n_biases, 1);
    ck_assert(s->biases[0].id == 7 && s->biases[0].value == -2.5f);
    ck_assert(mask_has(s->allowed, 1) && mask_has(s->allowed, 60) && !mask_has(s->allowed, 2));
    ck_assert_int_eq(read_as(ENDPOINT_COMPLETION, "{\"logprobs\":3,\"top_k\":-1}"), ERR_OK);
    ck_assert(s->logprobs && s->top_logprobs == 3 && s->top_k == 0);
    ck_assert_int_eq(read_as(ENDPOINT_COMPLETION, "{\"logprobs\":0}"), ERR_OK);
    ck_assert(s->logprobs && s->top_logprobs == 0);
    ck_assert_int_eq(read_as(ENDPOINT_COMPLETION, "{\"logprobs\":false}"), ERR_OK);
    ck_assert(!s->logprobs);
}
END_TEST

START_TEST(a_value_out_of_range_is_refused_by_name_here_too)
{
    static const struct {
        const char *body, *param, *says;
    } BAD[] = {
        {"{\"n\":0}", "n", "1 to 128"},
        {"{\"n\":129}", "n", "1 to 128"},
        {"{\"n\":1.5}", "n", "integer"},
        {"{\"temperature\":3}", "temperature", "0 to 2"},
        {"{\"presence_penalty\":2.5}", "presence_penalty", "-2 to 2"},
        {"{\"top_logprobs\":21,\"logprobs\":true}", "top_logprobs", "0 to 20"},
        {"{\"stop\":[\"\"]}", "stop", "stop[0]"},
        {"{\"stop_token_ids\":[61]}", "stop_token_ids",
         "61, and the ids of this model are 0 to 60"},
        {"{\"stop_token_ids\":[-1]}", "stop_token_ids", "-1"},
        {"{\"logit_bias\":{\"61\":1}}", "logit_bias", "61"},
        {"{\"logit_bias\":{\"x\":1}}", "logit_bias", "0 to 60"},
        {"{\"logit_bias\":{\"1\":101}}", "logit_bias", "-100 to 100"},
        {"{\"allowed_token_ids\":[1,99]}", "allowed_token_ids", "99"},
    };

    for (size_t i = 0; i < sizeof BAD / sizeof BAD[0]; i++) {
        ck_assert_msg(read_as(ENDPOINT_CHAT, BAD[i].body) == ERR_ARG, "%s", BAD[i].body);
        ck_assert_str_eq(refusal.param, BAD[i].param);
        ck_assert_str_eq(refusal.code, "invalid_request");
        ck_assert_msg(strstr(refusal.why.text, BAD[i].says) != NULL, "%s", refusal.why.text);
    }
}
END_TEST

/* --- choices ---------------------------------------------------------------------------------- */

/* The JSON of a greedy answer to "ab", with what p asks for. */
static json_t *answer(struct sampling p, enum endpoint endpoint, struct outcome *keep)
{
    struct outcome o;
    char *text;
    json_t *list;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    rig_start((struct engine_opts){0});
    p.top_p = 1;
    rig_add((int32_t[]){2, 3}, 2, &p, 0);
    rig_run();
    ck_assert(engine_take(rig.en, &o));
    text = choices_json(&o, 1, endpoint, rig.model.tokenizer, &p);
    list = json_loads(text, 0, NULL);
    ck_assert_msg(json_array_size(list) == 1, "%s", text);
    free(text);
    if (keep)
        *keep = o;
    else
        rig_free(&o, 1);
    rig_close();
    return list;
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

START_TEST(a_chats_logprobs_spell_its_text)
{
    struct outcome o;
    json_t *list = answer((struct sampling){.logprobs = true, .top_logprobs = 3, .max_tokens = 9},
                          ENDPOINT_CHAT, &o);
    json_t *choice = json_array_get(list, 0), *message = json_object_get(choice, "message");
    json_t *logprobs = json_object_get(choice, "logprobs");
    json_t *content = json_object_get(logprobs, "content");
    char text[200] = "";

    ck_assert_uint_eq(json_object_size(choice), 4);
    ck_assert_uint_eq(json_object_size(logprobs), 2);
    ck_assert(json_is_null(json_object_get(message, "refusal")));
    ck_assert_str_eq(text_of(message, "role"), "assistant");
    ck_assert_uint_eq(json_array_size(content), 9);
    for (size_t i = 0; i < 9; i++) {
        json_t *t = json_array_get(content, i), *top = json_object_get(t, "top_logprobs");
        const double p = json_number_value(json_object_get(t, "logprob"));

        strcat(text, text_of(t, "token"));
        ck_assert_uint_eq(json_object_size(t), 4);
        ck_assert_uint_eq(json_array_size(json_object_get(t, "bytes")),
                          strlen(text_of(t, "token")));
        ck_assert_uint_eq(json_array_size(top), 3);
        /* greedy: the chosen one is the likeliest; a float reads back as it was */
        ck_assert(p <= 0 && (float)p == o.logprobs[i * 4].logprob);
        ck_assert_str_eq(text_of(json_array_get(top, 0), "token"), text_of(t, "token"));
        ck_assert_uint_eq(json_object_size(json_array_get(top, 1)), 3);
        ck_assert(json_number_value(json_object_get(json_array_get(top, 1), "logprob")) <= p);
    }
    ck_assert_str_eq(text, text_of(message, "content"));
    json_decref(list);
    rig_free(&o, 1);
}
END_TEST

START_TEST(a_completions_logprobs_are_four_lists)
{
    json_t *list = answer((struct sampling){.logprobs = true, .top_logprobs = 2, .max_tokens = 8},
                          ENDPOINT_COMPLETION, NULL);
    json_t *choice = json_array_get(list, 0), *l = json_object_get(choice, "logprobs");
    const char *text = text_of(choice, "text");
    json_int_t at = 0;

    ck_assert_uint_eq(json_object_size(choice), 4);
    ck_assert_uint_eq(json_object_size(l), 4);
    for (size_t i = 0; i < 8; i++) {
        const char *token = json_string_value(json_array_get(json_object_get(l, "tokens"), i));
        json_t *top = json_array_get(json_object_get(l, "top_logprobs"), i);

        ck_assert_int_eq(json_integer_value(json_array_get(json_object_get(l, "text_offset"), i)),
                         at);
        ck_assert(!strncmp(text + at, token, strlen(token)));
        ck_assert_uint_eq(json_object_size(top), 2);
        ck_assert(json_number_value(json_object_get(top, token)) ==
                  json_number_value(json_array_get(json_object_get(l, "token_logprobs"), i)));
        at += (json_int_t)strlen(token);
    }
    json_decref(list);
}
END_TEST

START_TEST(what_a_stop_cut_away_has_no_logprobs)
{
    struct sampling p = {.logprobs = true, .max_tokens = 12};
    struct outcome whole, cut;
    json_t *list = answer(p, ENDPOINT_CHAT, &whole), *content;
    char stop[8];
    size_t shown = 0, len = 0;

    json_decref(list);
    ck_assert_uint_gt(whole.text.len, 8);
    memcpy(stop, whole.text.data + 4, 3);
    stop[3] = '\0';
    p.n_stops = 1, p.stops[0].text = stop, p.stops[0].len = 3;
    list = answer(p, ENDPOINT_CHAT, &cut);
    ck_assert_uint_lt(cut.text.len, whole.text.len);
    content = json_object_get(json_object_get(json_array_get(list, 0), "logprobs"), "content");
    while (len < cut.text.len) /* the last one may begin in the text and end behind it */
        len += strlen(text_of(json_array_get(content, shown++), "token"));
    ck_assert_uint_eq(json_array_size(content), shown);
    ck_assert_int_lt((int)shown, cut.n_ids);
    json_decref(list);

    p.n_stops = 0, p.n_stop_ids = 1, p.stop_ids = (int32_t[]){whole.ids[5]};
    rig_free(&cut, 1);
    list = answer(p, ENDPOINT_CHAT, &cut);
    content = json_object_get(json_object_get(json_array_get(list, 0), "logprobs"), "content");
    ck_assert_uint_eq(json_array_size(content), (size_t)cut.n_ids - 1);
    json_decref(list);
    rig_free(&cut, 1), rig_free(&whole, 1);
}
END_TEST

START_TEST(a_stop_that_is_wanted_stays_in_the_text)
{
    struct sampling p = {.max_tokens = 12};
    struct outcome whole, cut;
    char stop[4];
    const char *at;

    json_decref(answer(p, ENDPOINT_CHAT, &whole));
    memcpy(stop, whole.text.data + 4, 3);
    stop[3] = '\0';
    at = strstr(whole.text.data, stop);
    p.include_stop = true;
    p.n_stops = 1, p.stops[0].text = stop, p.stops[0].len = 3;
    json_decref(answer(p, ENDPOINT_CHAT, &cut));
    ck_assert_uint_eq(cut.text.len, (size_t)(at - whole.text.data) + 3);
    ck_assert_int_eq(cut.finish, FINISH_STOP);
    rig_free(&cut, 1);
    p.n_stops = 0, p.n_stop_ids = 1, p.stop_ids = (int32_t[]){whole.ids[0]};
    json_decref(answer(p, ENDPOINT_CHAT, &cut));
    ck_assert_int_eq(cut.n_ids, 1);
    ck_assert_int_eq(cut.finish, FINISH_STOP);
    ck_assert_uint_gt(cut.text.len, 0);
    rig_free(&cut, 1), rig_free(&whole, 1);
}
END_TEST

START_TEST(special_tokens_are_text_when_they_are_wanted)
{
    static const struct bias ends[] = {{0, 100}};
    struct sampling p = {.max_tokens = 2, .biases = ends, .n_biases = 1, .ignore_eos = true};
    struct outcome o;
    json_t *list, *tokens;

    json_decref(answer(p, ENDPOINT_COMPLETION, &o));
    ck_assert_uint_eq(o.text.len, 0);
    rig_free(&o, 1);
    p.keep_specials = p.logprobs = true;
    list = answer(p, ENDPOINT_COMPLETION, &o);
    ck_assert_str_eq(o.text.data, "<|end|><|end|>");
    tokens = json_object_get(json_object_get(json_array_get(list, 0), "logprobs"), "text_offset");
    ck_assert_int_eq(json_integer_value(json_array_get(tokens, 1)), 7);
    json_decref(list);
    rig_free(&o, 1);
    p.ignore_eos = false; /* one that ends the answer is not shown */
    json_decref(answer(p, ENDPOINT_COMPLETION, &o));
    ck_assert_uint_eq(o.text.len, 0);
    ck_assert_int_eq(o.finish, FINISH_STOP);
    rig_free(&o, 1);
}
END_TEST

START_TEST(bytes_that_are_no_text_are_spelled_and_kept)
{
    struct outcome o = {.finish = FINISH_LENGTH, .n_ids = 2};
    char *text;

    o.ids = (int32_t[]){4, 5};
    buf_adds(&o.text, "a\xFF");
    text = choices_json(&o, 1, ENDPOINT_COMPLETION, NULL, &(struct sampling){0});
    ck_assert_str_eq(text, "[{\"text\":\"a\xEF\xBF\xBD\",\"index\":0,\"logprobs\":null,"
                           "\"finish_reason\":\"length\",\"token_ids\":[4,5]}]");
    free(text);
    buf_fini(&o.text);
}
END_TEST

/* --- a job ------------------------------------------------------------------------------------ */

/* The result as the broker reads it. */
static json_t *read_result(const struct result *r, struct wire_msg *m)
{
    const struct wire_header head = {WIRE_MAGIC, WIRE_VERSION, WIRE_RESULTS, 1};
    struct wire_text choices;
    struct errmsg e;

    ck_assert_msg(!wire_parse(m, &head, sizeof head, r->packed.data, r->packed.len, &e), "%s",
                  e.text);
    choices = wire_str(&m->map, "choices");
    return json_loadb(choices.at, choices.len, 0, NULL);
}

/* One result of all its answers, in order of index, whatever order they end in. */
START_TEST(a_job_with_several_answers_is_one_result)
{
    static const char BODY[] = "{\"prompt\":\"ab\",\"n\":3,\"max_tokens\":5,\"temperature\":1,"
                               "\"seed\":5,\"ignore_eos\":true}";
    struct job *j = job_open(1, 0, ENDPOINT_COMPLETION, BODY, sizeof BODY - 1);
    struct job_rules rules = {.model = &rig.model};
    struct outcome o[3];
    struct result *r;
    struct wire_msg m = {0};
    json_t *list;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    rig_start((struct engine_opts){.max_num_seqs = 2});
    ck_assert_ptr_null(job_start(j, &rules, rig.en));
    rig_run();
    for (int i = 0; i < 3; i++)
        ck_assert(engine_take(rig.en, &o[i]));
    ck_assert(!engine_take(rig.en, &o[0]));
    for (int i = 2; i >= 0; i--) {
        ck_assert_ptr_eq(o[i].owner, j);
        ck_assert_int_eq(job_collect(j, &o[i]), i == 0);
    }
    ck_assert(!job_is_aborted(j));
    r = job_answer(j);
    ck_assert_int_eq(r->kind, WIRE_DONE);
    list = read_result(r, &m);
    ck_assert_int_eq(wire_int(&m.map, "output_tokens", 0), 15);
    ck_assert_int_eq(wire_int(&m.map, "prompt_tokens", 0), 2);
    ck_assert_uint_eq(json_array_size(list), 3);
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(
            json_integer_value(json_object_get(json_array_get(list, (size_t)i), "index")), i);
    ck_assert_str_ne(text_of(json_array_get(list, 0), "text"),
                     text_of(json_array_get(list, 1), "text"));
    json_decref(list);
    wire_msg_fini(&m);
    result_free(&r);
    job_close(&j);
    rig_close();
}
END_TEST

/* E3, J1.  min_tokens keeps the end away, and nothing else is allowed. */
START_TEST(a_row_that_no_token_can_follow_is_an_error_and_its_neighbour_an_answer)
{
    static const char BODY[] = "{\"prompt\":\"ab\",\"n\":2,\"max_tokens\":5,\"min_tokens\":1,"
                               "\"allowed_token_ids\":[0]}";
    static const char GOOD[] = "{\"prompt\":\"ab\",\"max_tokens\":5,\"ignore_eos\":true}";
    struct job *bad = job_open(1, 0, ENDPOINT_COMPLETION, BODY, sizeof BODY - 1);
    struct job *good = job_open(2, 0, ENDPOINT_COMPLETION, GOOD, sizeof GOOD - 1);
    struct job_rules rules = {.model = &rig.model};
    struct wire_msg m = {0};
    struct wire_text code;
    struct outcome o;
    struct result *r;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    rig_start((struct engine_opts){0});
    ck_assert_ptr_null(job_start(bad, &rules, rig.en));
    ck_assert_ptr_null(job_start(good, &rules, rig.en));
    rig_run();
    while (engine_take(rig.en, &o))
        (void)job_collect(o.owner, &o);
    ck_assert_int_eq(bad->n_outcomes, 2);
    ck_assert_str_eq(finish_name(bad->outcomes[1].finish), "no_token");
    ck_assert_int_eq(bad->outcomes[1].n_ids, 0);
    ck_assert(!job_is_aborted(bad));
    r = job_answer(bad);
    ck_assert_int_eq(r->kind, WIRE_ERROR);
    json_decref(read_result(r, &m));
    code = wire_str(&m.map, "code");
    ck_assert_uint_eq(code.len, 8);
    ck_assert_mem_eq(code.at, "no_token", 8);
    wire_msg_fini(&m);
    result_free(&r);
    r = job_answer(good);
    ck_assert_int_eq(r->kind, WIRE_DONE);
    result_free(&r);
    job_close(&bad), job_close(&good);
    rig_close();
}
END_TEST

START_TEST(an_aborted_job_ends_when_all_its_sequences_have)
{
    static const char BODY[] = "{\"prompt\":\"ab\",\"n\":3,\"max_tokens\":5}";
    struct job *j = job_open(1, 0, ENDPOINT_COMPLETION, BODY, sizeof BODY - 1);
    struct job_rules rules = {.model = &rig.model};
    struct outcome o;
    int n = 0;

    tiny_open(&rig.model, &(struct tiny){.dtype = DTYPE_F32});
    rig_start((struct engine_opts){.max_num_seqs = 2});
    ck_assert_ptr_null(job_start(j, &rules, rig.en));
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_OK);
    engine_abort(rig.en, j); /* two run, one waits */
    while (engine_take(rig.en, &o))
        ck_assert_int_eq(job_collect(j, &o), ++n == 3);
    ck_assert_int_eq(n, 3);
    ck_assert(job_is_aborted(j));
    ck_assert_int_eq(engine_step(rig.en, &rig.err), ERR_EMPTY);
    job_close(&j);
    rig_close();
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("job");
    TCase *t = tcase_create("job");

    tcase_add_checked_fixture(t, NULL, tear_down);
    tcase_add_test(t, a_body_without_wishes_gets_openais_defaults);
    tcase_add_test(t, every_field_arrives);
    tcase_add_test(t, a_value_out_of_range_is_refused_by_name_here_too);
    tcase_add_test(t, a_chats_logprobs_spell_its_text);
    tcase_add_test(t, a_completions_logprobs_are_four_lists);
    tcase_add_test(t, what_a_stop_cut_away_has_no_logprobs);
    tcase_add_test(t, a_stop_that_is_wanted_stays_in_the_text);
    tcase_add_test(t, special_tokens_are_text_when_they_are_wanted);
    tcase_add_test(t, bytes_that_are_no_text_are_spelled_and_kept);
    tcase_add_test(t, a_job_with_several_answers_is_one_result);
    tcase_add_test(t, a_row_that_no_token_can_follow_is_an_error_and_its_neighbour_an_answer);
    tcase_add_test(t, an_aborted_job_ends_when_all_its_sequences_have);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
