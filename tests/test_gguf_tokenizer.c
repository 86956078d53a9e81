/* test_gguf_tokenizer.c - real vocabularies as GGUF files: the ids that their own tokenizers give.
 */
#include <string.h>

#include "base/buf.h"
#include "model/gguf_tokenizer.h"
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
    ck_assert_msg(back.len == len && !memcmp(back.data, text, len),
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

static Suite *suite(void)
{
    Suite *s = suite_create("gguf_tokenizer");
    TCase *c = tcase_create("vectors");

    tcase_set_timeout(c, 60);
    if (test_has_data())
        tcase_add_loop_test(c, every_text_has_the_ids_of_the_models_own_tokenizer, 0, N_NAMES);
    suite_add_tcase(s, c);
    return s;
}

TEST_MAIN(suite)
