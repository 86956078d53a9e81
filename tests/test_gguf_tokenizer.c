/* test_gguf_tokenizer.c - real vocabularies as GGUF files: the ids that their own tokenizers give.
 */
#include <string.h>

#include "base/buf.h"
#include "model/gguf_tokenizer.h"
#include "tests/gguffile.h"
#include "tests/test.h"

#define PART "\n__ggml_vocab_test__\n"

static const char *const NAMES[] = {"gpt-2", "llama-spm", "phi-3",       "llama-bpe",
                                    "qwen2", "falcon",    "deepseek-llm"};
#define N_NAMES ((int)(sizeof NAMES / sizeof NAMES[0]))

static char *read_whole(const char *path, size_t *len)
{
    FILE *f = fopen(path, "rb");
    char *text;

    ck_assert_msg(f != NULL, "%s", path);
    fseek(f, 0, SEEK_END);
    *len = (size_t)ftell(f);
    rewind(f);
    text = malloc(*len + 1);
    ck_assert_uint_eq(fread(text, 1, *len, f), *len);
    text[*len] = 0;
    fclose(f);
    return text;
}

static struct gguf *open_vocab(const char *name)
{
    const char *path = test_path("vocab.gguf");
    char command[512], rest[64];
    struct gguf *g = NULL;
    struct errmsg e = {""};

    snprintf(rest, sizeof rest, "tokenizers/ggml-vocab-%s.gguf.xz", name);
    snprintf(command, sizeof command, "xz -dc %s >%s", test_data(rest), path);
    ck_assert_int_eq(system(command), 0);
    ck_assert_msg(!gguf_open(&g, path, &e), "%s", e.text);
    return g;
}

static const char *data_of(const char *name, const char *end)
{
    char rest[64];

    snprintf(rest, sizeof rest, "tokenizers/ggml-vocab-%s.gguf.%s", name, end);
    return test_data(rest);
}

/* The next text of the .inp, and the next line of ids of the .out. */
static size_t next_text(char **at)
{
    char *end = strstr(*at, PART);
    size_t len = end ? (size_t)(end - *at) : strlen(*at);

    *at = end ? end + strlen(PART) : NULL;
    return len;
}

static void check_text(const struct tokenizer *t, const char *name, int k, const char *text,
                       size_t len, char **ids)
{
    struct ids got = {0};
    struct buf back = {0};
    struct errmsg e = {""};
    size_t i = 0;

    ck_assert_msg(!tokenizer_encode(t, text, len, 0, &got, &e), "%s", e.text);
    for (; **ids && **ids != '\n'; i++) {
        const long want = strtol(*ids, ids, 10);

        while (**ids == ' ')
            (*ids)++;
        ck_assert_msg(i < got.n && got.at[i] == want, "%s: text %d '%.*s': id %zu is %d, not %ld",
                      name, k, (int)len, text, i, i < got.n ? got.at[i] : -1, want);
    }
    if (**ids) (*ids)++;
    ck_assert_msg(i == got.n, "%s: text %d: %zu ids, not %zu", name, k, got.n, i);
    ck_assert_int_eq(tokenizer_decode(t, got.at, got.n, &back), 0); /* T1 */
    ck_assert_msg(back.len == len && (!len || !memcmp(back.data, text, len)),
                  "%s: text %d comes back as '%s'", name, k, back.data);
    buf_fini(&back);
    ids_fini(&got);
}

START_TEST(every_text_has_the_ids_of_the_models_own_tokenizer)
{
    const char *name = NAMES[_i];
    struct gguf *g = open_vocab(name);
    struct tokenizer *t = NULL;
    struct errmsg e = {""};
    size_t len;
    char *texts = read_whole(data_of(name, "inp"), &len), *all = texts;
    char *ids = read_whole(data_of(name, "out"), &len), *all_ids = ids;
    int n = 0;

    ck_assert_msg(!gguf_tokenizer(&t, g, &e), "%s", e.text);
    while (texts && *texts) {
        char *text = texts;

        len = next_text(&texts);
        check_text(t, name, n++, text, len, &ids);
    }
    ck_assert_int_eq(n, 46);
    tokenizer_close(&t);
    gguf_close(&g);
    free(all);
    free(all_ids);
}
END_TEST

static struct gguffile file;

static struct gguf *open_made(void)
{
    struct gguf *g = NULL;
    struct errmsg e = {""};

    ck_assert_msg(!gguf_open(&g, gguffile_write(&file, "made.gguf"), &e), "%s", e.text);
    gguffile_fini(&file);
    return g;
}

/* A small vocabulary of SentencePiece's kind; 13 and 15 are control, 14 is user-defined. */
static void make_sentencepiece(void)
{
    static const char *const TOKENS[] = {"<unk>",
                                         "<s>",
                                         "</s>",
                                         "<0xC3>",
                                         "<0xBC>",
                                         "\xE2\x96\x81",
                                         "a",
                                         "b",
                                         "ab",
                                         "\xE2\x96\x81"
                                         "a",
                                         "ba",
                                         "\n",
                                         "aba",
                                         "<end>",
                                         "  ",
                                         "aa"};
    static const float SCORES[] = {0, 0, 0, 0, 0, -9, -9, -9, -2, -3, -1, -9, -4, 0, 0, 0};

    gguffile_text(&file, "general.architecture", "llama");
    gguffile_text(&file, "tokenizer.ggml.model", "llama");
    gguffile_texts(&file, "tokenizer.ggml.tokens", TOKENS, 16);
    gguffile_f32s(&file, "tokenizer.ggml.scores", SCORES, 16);
    gguffile_u32s(&file, "tokenizer.ggml.token_type",
                  (uint32_t[]){2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 3, 4, 3}, 16);
    gguffile_u32(&file, "tokenizer.ggml.bos_token_id", 1);
    gguffile_u32(&file, "tokenizer.ggml.eos_token_id", 2);
    gguffile_u32(&file, "tokenizer.ggml.unknown_token_id", 0);
}

static void make_byte_level(const char *pre)
{
    static char letters[95][2];
    const char *tokens[100];

    for (int i = 0; i < 94; i++) {
        letters[i][0] = (char)(33 + i);
        tokens[i] = letters[i];
    }
    tokens[94] = "\xC4\xA0"; /* a space's letter */
    tokens[95] = "12";
    tokens[96] = "<|im_end|>";
    gguffile_text(&file, "general.architecture", "llama");
    gguffile_text(&file, "tokenizer.ggml.model", "gpt2");
    if (pre) gguffile_text(&file, "tokenizer.ggml.pre", pre);
    gguffile_texts(&file, "tokenizer.ggml.tokens", tokens, 97);
    gguffile_texts(&file, "tokenizer.ggml.merges", (const char *const[]){"1 2"}, 1);
}

/* "1 2 3" and the text that the ids give. */
static void check_ids(const char *text, unsigned flags, const char *want)
{
    struct gguf *g = open_made();
    struct tokenizer *t = NULL;
    struct ids ids = {0};
    struct buf line = {0};
    struct errmsg e = {""};

    ck_assert_msg(!gguf_tokenizer(&t, g, &e), "%s", e.text);
    gguf_close(&g); /* nothing of it is needed any more */
    ck_assert_msg(!tokenizer_encode(t, text, strlen(text), flags, &ids, &e), "%s", e.text);
    for (size_t i = 0; i < ids.n; i++)
        buf_printf(&line, "%s%d", i ? " " : "", ids.at[i]);
    ck_assert_str_eq(line.data, want);
    buf_clear(&line);
    ck_assert(!tokenizer_decode(t, ids.at, ids.n, &line));
    if (!flags) ck_assert_str_eq(line.data, text);
    buf_fini(&line);
    ids_fini(&ids);
    tokenizer_close(&t);
}

static void refuse(int want, const char *word, const char *number)
{
    struct gguf *g = open_made();
    struct tokenizer *t = NULL;
    struct errmsg e = {""};
    int rc = gguf_tokenizer(&t, g, &e);

    ck_assert_msg(rc == want, "%s: %d %s", word, rc, e.text);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(e.text, word) && strstr(e.text, number), "'%s' lacks '%s' or '%s'", e.text,
                  word, number);
    gguf_close(&g);
}

START_TEST(the_highest_score_is_joined_first)
{
    make_sentencepiece();
    check_ids("aba", 0, "9 10"); /* ba by -1, then the mark and a by -3; ab was gone */
    make_sentencepiece();
    check_ids("aa", 0, "9 6"); /* a control token is never joined into */
    make_sentencepiece();
    check_ids("a\xC3\xBC", 0, "9 3 4"); /* bytes of what has no token */
    make_sentencepiece();
    gguffile_bool(&file, "tokenizer.ggml.add_space_prefix", false);
    check_ids("b  b", 0, "7 14 7"); /* user-defined: found before anything else */
}
END_TEST

START_TEST(keys_say_what_stands_around_and_before)
{
    make_sentencepiece();
    check_ids("b", TOKENIZER_BOS, "1 5 7");
    make_sentencepiece();
    gguffile_bool(&file, "tokenizer.ggml.add_bos_token", false);
    gguffile_bool(&file, "tokenizer.ggml.add_eos_token", true);
    gguffile_bool(&file, "tokenizer.ggml.add_space_prefix", false);
    check_ids("b", TOKENIZER_BOS, "7 2");
    make_sentencepiece();
    gguffile_bool(&file, "tokenizer.ggml.add_space_prefix", false);
    check_ids(" b", 0, "5 7");
}
END_TEST

START_TEST(a_control_token_is_text_unless_specials_are_asked_for) /* A1 */
{
    make_sentencepiece();
    check_ids("<end>", TOKENIZER_SPECIALS, "13");
    make_sentencepiece();
    check_ids("b", TOKENIZER_SPECIALS, "5 7");
    make_byte_level("gpt-2");
    gguffile_u32s(&file, "tokenizer.ggml.token_type", (uint32_t[97]){[96] = 3}, 97);
    check_ids("<|im_end|>", TOKENIZER_SPECIALS, "96");
    make_byte_level("gpt-2");
    gguffile_u32s(&file, "tokenizer.ggml.token_type", (uint32_t[97]){[96] = 3}, 97);
    check_ids("<|im_end|>", 0, "27 91 72 76 62 68 77 67 91 29");
}
END_TEST

START_TEST(words_are_cut_by_the_name_that_the_file_has)
{
    make_byte_level("gpt-2");
    check_ids("12 12", 0, "95 94 95");
    make_byte_level("smollm"); /* each digit alone: nothing is joined */
    check_ids("12 12", 0, "16 17 94 16 17");
    make_byte_level("qwen2");
    check_ids("12 12", 0, "16 17 94 16 17");
    make_byte_level("llama-bpe");
    gguffile_bool(&file, "tokenizer.ggml.add_bos_token", false);
    check_ids("12 12", 0, "95 94 95");
}
END_TEST

START_TEST(what_is_not_known_or_lies_is_named)
{
    make_byte_level("what");
    refuse(ERR_UNSUPPORTED, "tokenizer.ggml.pre is what", "llama-bpe, llama3");
    make_byte_level("gpt-2 phi-2");
    refuse(ERR_UNSUPPORTED, "tokenizer.ggml.pre is gpt-2 phi-2", "deepseek-coder");
    make_byte_level(NULL);
    refuse(ERR_FORMAT, "tokenizer.ggml.pre", "missing");
    make_byte_level("llama-bpe");
    refuse(ERR_FORMAT, "tokenizer.ggml.bos_token_id", "missing");
    make_byte_level("gpt-2");
    gguffile_u32s(&file, "tokenizer.ggml.token_type", (uint32_t[]){1, 2}, 2);
    refuse(ERR_FORMAT, "tokenizer.ggml.token_type", "each token");
    gguffile_text(&file, "tokenizer.ggml.model", "bert");
    refuse(ERR_UNSUPPORTED, "tokenizer.ggml.model is bert", "gpt2, llama");
    gguffile_text(&file, "x", "y");
    refuse(ERR_FORMAT, "tokenizer.ggml.model", "missing");
    gguffile_text(&file, "tokenizer.ggml.model", "llama");
    refuse(ERR_FORMAT, "tokenizer.ggml.tokens", "missing");
    gguffile_text(&file, "tokenizer.ggml.model", "llama");
    gguffile_texts(&file, "tokenizer.ggml.tokens", (const char *const[]){"a", "b"}, 2);
    gguffile_f32s(&file, "tokenizer.ggml.scores", (float[]){0}, 1);
    refuse(ERR_FORMAT, "tokenizer.ggml.scores", "each token");
    make_sentencepiece();
    gguffile_bool(&file, "tokenizer.ggml.remove_extra_whitespaces", true);
    refuse(ERR_UNSUPPORTED, "remove_extra_whitespaces", "known is false");
}
END_TEST

START_TEST(a_chat_template_sees_the_files_tokens)
{
    struct gguf *g;
    struct chat *c = NULL;
    struct buf text = {0};
    struct errmsg e = {""};
    json_t *messages = json_pack("[{ss ss}]", "role", "user", "content", "Hi");

    make_sentencepiece();
    g = open_made();
    ck_assert_int_eq(gguf_chat(&c, g, &e), ERR_EMPTY);
    gguf_close(&g);
    make_sentencepiece();
    gguffile_text(
        &file, "tokenizer.chat_template",
        "{{ bos_token }}{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}");
    g = open_made();
    ck_assert_msg(!gguf_chat(&c, g, &e), "%s", e.text);
    gguf_close(&g);
    ck_assert_msg(!chat_render(c, messages, true, NULL, &text, &e), "%s", e.text);
    ck_assert_str_eq(text.data, "<s>Hi</s>");
    buf_fini(&text);
    json_decref(messages);
    chat_close(&c);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gguf_tokenizer");
    TCase *c = tcase_create("vectors");

    tcase_add_test(c, the_highest_score_is_joined_first);
    tcase_add_test(c, keys_say_what_stands_around_and_before);
    tcase_add_test(c, a_control_token_is_text_unless_specials_are_asked_for);
    tcase_add_test(c, words_are_cut_by_the_name_that_the_file_has);
    tcase_add_test(c, what_is_not_known_or_lies_is_named);
    tcase_add_test(c, a_chat_template_sees_the_files_tokens);

    tcase_set_timeout(c, 60);
    if (test_has_data())
        tcase_add_loop_test(c, every_text_has_the_ids_of_the_models_own_tokenizer, 0, N_NAMES);
    suite_add_tcase(s, c);
    return s;
}

TEST_MAIN(suite)
