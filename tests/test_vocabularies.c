/* test_vocabularies.c - real vocabularies against ids that other programs computed: the published
 * texts, real prompts, and a novel. */
#include <jansson.h>
#include <sodium.h>
#include <string.h>

#include "model/gguf.h"
#include "model/tokenizer.h"
#include "tests/ggufvocab.h"
#include "tests/test.h"

static struct tokenizer *open_here(void)
{
    struct tokenizer *t;
    struct errmsg e = {""};

    ck_assert_msg(!tokenizer_open(&t, test_dir(), &e), "%s", e.text);
    return t;
}

/* The ids as "1 2 3". */
static const char *ids_of(const struct tokenizer *t, const char *text, unsigned flags)
{
    static char line[256];
    struct ids ids = {0};
    struct errmsg e = {""};

    ck_assert_msg(!tokenizer_encode(t, text, strlen(text), flags, &ids, &e), "%s", e.text);
    line[0] = '\0';
    for (size_t i = 0; i < ids.n; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), "%s%d", i ? " " : "", ids.at[i]);
    ids_fini(&ids);
    return line;
}

static void check_ids(const struct tokenizer *t, const char *text, size_t len, unsigned flags,
                      const json_t *want, const char *what)
{
    struct ids ids = {0};
    struct errmsg e = {""};

    ck_assert_msg(!tokenizer_encode(t, text, len, flags, &ids, &e), "%s: %s", what, e.text);
    for (size_t i = 0; i < ids.n && i < json_array_size(want); i++)
        ck_assert_msg(ids.at[i] == json_integer_value(json_array_get(want, i)), "%s: id %zu is %d",
                      what, i, ids.at[i]);
    ck_assert_msg(ids.n == json_array_size(want), "%s: %zu ids, not %zu", what, ids.n,
                  json_array_size(want));
    ids_fini(&ids);
}

/* T1, for texts that no normalizer changes but by the space in front. */
static void check_round_trip(const struct tokenizer *t, const char *text, size_t len)
{
    struct ids ids = {0};
    struct buf b = {0};
    struct errmsg e;

    ck_assert_int_eq(tokenizer_encode(t, text, len, 0, &ids, &e), ERR_OK);
    ck_assert_int_eq(tokenizer_decode(t, ids.at, ids.n, &b), ERR_OK);
    ck_assert_msg(b.len == len && (!len || !memcmp(b.data, text, len)), "'%.*s' came back as '%s'",
                  (int)len, text, b.data);
    ids_fini(&ids);
    buf_fini(&b);
}

START_TEST(stories_prompts_and_texts_match_the_goldens)
{
    struct tokenizer *t;
    struct errmsg e;
    json_t *file = json_load_file(test_data("models/stories260K/goldens.json"), 0, NULL), *g;
    json_t *list = json_object_get(file, "greedy");
    size_t i;

    ck_assert_msg(!tokenizer_open(&t, test_data("models/stories260K/hf"), &e), "%s", e.text);
    ck_assert_uint_eq(json_array_size(list), 14);
    json_array_foreach(list, i, g)
    {
        const char *prompt = json_string_value(json_object_get(g, "prompt"));
        const char *text = json_string_value(json_object_get(g, "greedy_text"));
        json_t *ids = json_object_get(g, "greedy_ids");
        struct buf b = {0};

        check_ids(t, prompt, strlen(prompt), TOKENIZER_BOS, json_object_get(g, "prompt_ids"),
                  prompt);
        /* the text goes on behind the prompt: only an empty prompt makes its first id the first */
        for (size_t k = 0; k < json_array_size(ids); k++)
            ck_assert_int_eq(tokenizer_piece(t, (int32_t)json_integer_value(json_array_get(ids, k)),
                                             !*prompt && !k, &b),
                             ERR_OK);
        ck_assert_str_eq(b.data, text);
        buf_fini(&b);
    }
    tokenizer_close(&t);
    json_decref(file);
}
END_TEST

/* The published texts and ids: texts parted by a marker line, one line of ids for each. */
static void check_published(const struct tokenizer *t, const char *name)
{
    static const char MARK[] = "\n__ggml_vocab_test__\n";
    struct buf in = {0}, out = {0};
    char path[128], *text, *line;
    int n = 0;

    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.inp", name);
    ggufvocab_command(&in, "cat", path);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab-%s.gguf.out", name);
    ggufvocab_command(&out, "cat", path);
    text = in.data;
    line = out.data;
    for (char *end; (end = strstr(text, MARK)); text = end + strlen(MARK), n++) {
        char *stop = strchr(line, '\n');
        json_t *want = json_array();

        ck_assert_ptr_nonnull(stop);
        for (char *next = line; *stop = '\0', strtol(line, &next, 10), next != line; line = next)
            json_array_append_new(want, json_integer(strtol(line, NULL, 10)));
        check_ids(t, text, (size_t)(end - text), 0, want, name);
        check_round_trip(t, text, (size_t)(end - text));
        json_decref(want);
        line = stop + 1;
    }
    ck_assert_int_eq(n, 46);
    buf_fini(&in);
    buf_fini(&out);
}

/* The real prompts with ids of several vocabularies. */
static void check_prompts(const struct tokenizer *t, const char *name)
{
    struct buf all = {0};
    int n = 0;

    ggufvocab_command(&all, "gzip -dc", "tokenizers/real_prompts_ids.jsonl.gz");
    for (char *line = all.data, *end; (end = strchr(line, '\n')); line = end + 1, n++) {
        json_t *row = json_loadb(line, (size_t)(end - line), JSON_ALLOW_NUL, NULL);
        const json_t *text = json_object_get(row, "text");

        ck_assert_ptr_nonnull(text);
        check_ids(t, json_string_value(text), json_string_length(text), 0,
                  json_object_get(json_object_get(row, "ids"), name),
                  json_string_value(json_object_get(row, "id")));
        json_decref(row);
    }
    ck_assert_int_eq(n, 196);
    buf_fini(&all);
}

/* The novel's ids, as their number, first and last sixteen, and the SHA-256 of all. */
static void check_novel(const struct tokenizer *t, const char *name)
{
    json_t *all = json_load_file(test_data("tokenizers/war-and-peace.ids.json"), 0, NULL);
    const json_t *want = json_object_get(all, name);
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    struct buf text = {0};
    struct ids ids = {0};
    struct errmsg e = {""};

    ck_assert_ptr_nonnull(want);
    ggufvocab_command(&text, "xz -dc", "tokenizers/war-and-peace.txt.xz");
    ck_assert_msg(!tokenizer_encode(t, text.data, text.len, 0, &ids, &e), "%s", e.text);
    ck_assert_uint_eq(ids.n, (size_t)json_integer_value(json_object_get(want, "tokens")));
    for (size_t i = 0; i < 16; i++) {
        const json_t *first = json_array_get(json_object_get(want, "first16"), i);
        const json_t *last = json_array_get(json_object_get(want, "last16"), i);

        ck_assert_int_eq(ids.at[i], json_integer_value(first));
        ck_assert_int_eq(ids.at[ids.n - 16 + i], json_integer_value(last));
    }
    crypto_hash_sha256(hash, (const unsigned char *)ids.at, ids.n * sizeof ids.at[0]);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    ck_assert_str_eq(hex, json_string_value(json_object_get(want, "sha256_le_u32")));
    check_round_trip(t, text.data, text.len);
    ids_fini(&ids);
    buf_fini(&text);
    json_decref(all);
}

START_TEST(phi3_matches_the_published_ids)
{
    struct buf file = {0};
    struct tokenizer *t;

    ggufvocab_command(&file, "xz -dc", "tokenizers/phi-3-tokenizer.json.xz");
    test_file("tokenizer.json", file.data, file.len);
    buf_fini(&file);
    t = open_here();
    check_published(t, "phi-3");
    check_prompts(t, "phi-3");
    ck_assert_str_eq(ids_of(t, "a<|user|>\nb", TOKENIZER_SPECIALS), "263 32010 289");
    tokenizer_close(&t);
}
END_TEST

#define QWEN2                                                                                      \
    "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","            \
    "\"pattern\":"                                                                                 \
    "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| " \
    "?"                                                                                            \
    "[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"        \
    "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\",\"add_prefix_space\":"    \
    "false,\"trim_offsets\":false,\"use_regex\":false}]},\"normalizer\":{\"type\":\"NFC\"},"       \
    "\"post_processor\":{\"type\":\"ByteLevel\"},\"decoder\":{\"type\":\"ByteLevel\"},"            \
    "\"added_tokens\":[{\"id\":151643,\"content\":\"<|endoftext|>\",\"special\":true},"            \
    "{\"id\":151644,\"content\":\"<|im_start|>\",\"special\":true},"                               \
    "{\"id\":151645,\"content\":\"<|im_end|>\",\"special\":true}],\"model\":{\"type\":\"BPE\","    \
    "\"vocab\":"

/* Writes tokenizer.json from the two files that came before it. */
static void put_qwen2(void)
{
    struct buf file = {0}, merges = {0};
    bool first = true;

    buf_adds(&file, QWEN2);
    ggufvocab_command(&file, "xz -dc", "tokenizers/qwen2-vocab.json.xz");
    buf_adds(&file, ",\"merges\":[");
    ggufvocab_command(&merges, "xz -dc", "tokenizers/qwen2-merges.txt.xz");
    for (char *line = strtok(merges.data, "\n"); line; line = strtok(NULL, "\n")) {
        json_t *text = strncmp(line, "#version", 8) ? json_string(line) : NULL;
        char *quoted = text ? json_dumps(text, JSON_ENCODE_ANY) : NULL;

        if (quoted) buf_printf(&file, "%s%s", first ? "" : ",", quoted);
        first = first && !quoted;
        free(quoted);
        json_decref(text);
    }
    buf_adds(&file, "]}}");
    ck_assert(!file.failed);
    test_file("tokenizer.json", file.data, file.len);
    buf_fini(&file);
    buf_fini(&merges);
}

START_TEST(qwen2_matches_the_published_ids)
{
    struct tokenizer *t;

    put_qwen2();
    t = open_here();
    check_published(t, "qwen2");
    check_prompts(t, "qwen2");
    check_novel(t, "qwen2");
    ck_assert_str_eq(ids_of(t, "<|im_start|>user", TOKENIZER_SPECIALS), "151644 872");
    tokenizer_close(&t);
}
END_TEST

/* ---- trees as tokenizer.json has them ---- */

#define SPLIT(regex)                                                                               \
    "{'type':'Split','pattern':{'Regex':'" regex "'},'behavior':'Isolated','invert':false}"
#define BYTE_LEVEL(regex)                                                                          \
    "{'type':'ByteLevel','add_prefix_space':false,'trim_offsets':true,'use_regex':" regex "}"
#define SEQUENCE(steps) "{'type':'Sequence','pretokenizers':[" steps "]}"
#define DECODER         "'decoder':{'type':'ByteLevel'}"

static const char GPT2[] =
    "{'model':{'type':'BPE'}," DECODER ",'pre_tokenizer':" BYTE_LEVEL("true") "}";
static const char LLAMA3[] =
    "{'model':{'type':'BPE','ignore_merges':true}," DECODER ",'pre_tokenizer':" SEQUENCE(
        SPLIT("(?i:#s|#t|#re|#ve|#m|#ll|#d)|[^@r@n@p{L}@p{N}]?@p{L}+|@p{N}{1,3}|"
              " ?[^@s@p{L}@p{N}]+[@r@n]*|@s*[@r@n]+|@s+(?!@S)|@s+") "," BYTE_LEVEL("false")) "}";
/* Letters that have two cases, by number where another form of theirs could slip in.  (Not for the
 * formatter, which counts the columns of these lines otherwise each time.) */
/* clang-format off */
#define CASED                                                                                 \
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚ" \
    "Ḁ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-@x{1F7D}ᾀ-ᾴᾶ-ᾼ@x{1FBE}ῂ-ῄῆ-ῌ@x{1FD0}-@x{1FD3}@x{1FD6}-@x{1FDB}" \
    "@x{1FE0}-@x{1FEC}ῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ@x{2126}ℨ@x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭ" \
    "Ꚁ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
#define PUNCTUATION "!-/:-~！-／：-～‘-‟　-。"
#define IDEOGRAPHS  "一-龥ࠀ-一가-퟿" /* with all that lies between Arabic and Hangul */
/* clang-format on */
static const char DEEPSEEK[] = "{'model':{'type':'BPE'}," DECODER ",'pre_tokenizer':" SEQUENCE(
    SPLIT("[@r@n]") "," SPLIT("@s?[" CASED "]+") "," SPLIT("@s?[" PUNCTUATION "]+") "," SPLIT(
        "@s+$") "," SPLIT("[" IDEOGRAPHS
                          "]+") ","
                                "{'type':'Digits','individual_digits':true}," BYTE_LEVEL(
                                    "false")) "}";
static const char FALCON[] =
    "{'model':{'type':'BPE'}," DECODER
    ",'pre_tokenizer':" SEQUENCE("{'type':'Punctuation','behavior':'Contiguous'}," BYTE_LEVEL(
        "true") ",{'type':'Digits','individual_digits':false}," SPLIT("[0-9][0-9][0-9]")) "}";
static const char LLAMA2[] =
    "{'model':{'type':'BPE','byte_fallback':true,'fuse_unk':true,'unk_token':'<unk>'},"
    "'normalizer':{'type':'Sequence','normalizers':[{'type':'Prepend','prepend':'▁'},"
    "{'type':'Replace','pattern':{'String':' '},'content':'▁'}]},"
    "'decoder':{'type':'Sequence','decoders':[{'type':'Replace','pattern':{'String':'▁'},"
    "'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},{'type':'Strip','content':' ',"
    "'start':1,'stop':0}]}}";

/* Writes " for ', ' for # and \\ for @. */
static json_t *read_tree(const char *tree)
{
    struct buf text = {0};
    json_t *read;

    for (const char *p = tree; *p; p++)
        buf_adds(&text, *p == '\''  ? "\""
                        : *p == '#' ? "'"
                        : *p == '@' ? "\\\\"
                                    : (char[2]){*p, '\0'});
    read = json_loads(text.data, 0, NULL);
    ck_assert_ptr_nonnull(read);
    buf_fini(&text);
    return read;
}

static void add_user_tokens(json_t *tree, const struct ggufvocab *g)
{
    json_t *list = json_array();

    for (size_t i = 0; i < g->n_tokens; i++)
        if (g->types[i] == GGUF_TOKEN_USER)
            json_array_append_new(list, json_pack("{si ss%}", "id", (int)i, "content",
                                                  g->tokens[i].at, g->tokens[i].len));
    json_object_set_new(tree, "added_tokens", list);
}

/* A GGUF file's lists under such a tree. */
static struct tokenizer *open_gguf(const char *name, const char *tree)
{
    struct ggufvocab g;
    struct tokenizer_source s = {.tree = read_tree(tree)};
    struct tokenizer *t;
    struct errmsg e = {""};

    ggufvocab_read(&g, name);
    add_user_tokens(s.tree, &g);
    s.tokens = g.tokens;
    s.n_tokens = g.n_tokens;
    s.merges = g.merges;
    s.n_merges = g.n_merges;
    s.scores = g.merges ? NULL : g.scores;
    ck_assert_msg(!tokenizer_build(&t, &s, name, &e), "%s", e.text);
    json_decref(s.tree);
    ggufvocab_fini(&g);
    return t;
}

/* Through an image, too: it must come to the same. */
static struct tokenizer *reload(struct tokenizer **t, struct buf *image)
{
    struct tokenizer *again;
    struct errmsg e = {""};

    ck_assert_int_eq(tokenizer_save(*t, image), ERR_OK);
    tokenizer_close(t);
    ck_assert_msg(!tokenizer_load(&again, image->data, image->len, "image", &e), "%s", e.text);
    return again;
}

static void check_all(const char *name, const char *tree, bool prompts, bool novel)
{
    struct tokenizer *t = open_gguf(name, tree);
    struct buf image = {0};

    check_published(t, name);
    t = reload(&t, &image);
    check_published(t, name);
    if (prompts) check_prompts(t, name);
    if (novel) check_novel(t, name);
    tokenizer_close(&t);
    buf_fini(&image);
}

START_TEST(gpt2_matches_the_published_ids)
{
    check_all("gpt-2", GPT2, true, true);
}
END_TEST

START_TEST(llama3_matches_the_published_ids)
{
    check_all("llama-bpe", LLAMA3, true, true);
}
END_TEST

START_TEST(deepseek_matches_the_published_ids)
{
    check_all("deepseek-llm", DEEPSEEK, false, false);
}
END_TEST

START_TEST(falcon_matches_the_published_ids)
{
    check_all("falcon", FALCON, false, false);
}
END_TEST

START_TEST(llama2_matches_the_published_ids_by_its_scores)
{
    check_all("llama-spm", LLAMA2, true, true);
    check_all("phi-3", LLAMA2, true, false);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("vocabularies");
    TCase *t = tcase_create("real");

    if (test_has_data()) {
        tcase_add_test(t, stories_prompts_and_texts_match_the_goldens);
        tcase_add_test(t, phi3_matches_the_published_ids);
        tcase_add_test(t, qwen2_matches_the_published_ids);
        tcase_add_test(t, gpt2_matches_the_published_ids);
        tcase_add_test(t, llama3_matches_the_published_ids);
        tcase_add_test(t, deepseek_matches_the_published_ids);
        tcase_add_test(t, falcon_matches_the_published_ids);
        tcase_add_test(t, llama2_matches_the_published_ids_by_its_scores);
        tcase_set_timeout(t, 60);
    }
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
