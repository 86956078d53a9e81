/* test_tokenizer.c - text to ids and back: small made-up files for each rule.  (Real
 * vocabularies are in test_vocabularies.c.) */
#include "model/tokenizer.h"

#include <jansson.h>
#include <string.h>

#include "tests/test.h"

/* A tokenizer.json of single letters and "ab", "abc"; `rest` holds the other fields, ' for ". */
static void put_tokenizer(const char *model, const char *rest)
{
    char text[4096];

    snprintf(text, sizeof text, "{'model':{%s},%s}", model, rest);
    for (char *p = text; *p; p++)
        if (*p == '\'') *p = '"';
    test_file("tokenizer.json", text, strlen(text));
}

#define LETTERS                                                                                    \
    "'type':'BPE','vocab':{'a':0,'b':1,'c':2,'ab':3,'abc':4,'_':5,'_a':6,'<0x0A>':7,'<unk>':8,"    \
    "'bc':9,' ':10}"
#define MERGES "'merges':['a b','b c',['ab','c'],'_ a']"
#define PLAIN  "'decoder':{'type':'Fuse'}"

static struct tokenizer *open_here(void)
{
    struct tokenizer *t;
    struct errmsg e = {""};

    ck_assert_msg(!tokenizer_open(&t, test_dir(), &e), "%s", e.text);
    return t;
}

static void refuse(const char *model, const char *rest, int want, const char *word)
{
    struct tokenizer *t = NULL;
    struct errmsg e = {""};

    put_tokenizer(model, rest);
    ck_assert_msg(tokenizer_open(&t, test_dir(), &e) == want, "%s: %s", word, e.text);
    ck_assert_ptr_null(t);
    ck_assert_msg(strstr(e.text, word), "'%s' lacks '%s'", e.text, word);
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

START_TEST(merges_run_by_rank_then_from_the_left)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS "," MERGES, PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "abc", 0), "4");
    ck_assert_str_eq(ids_of(t, "aabcbc", 0), "0 4 9");
    ck_assert_str_eq(ids_of(t, "", 0), "");
    ck_assert_int_eq(tokenizer_size(t), 11);
    ck_assert_int_eq(tokenizer_find(t, "abc"), 4);
    ck_assert_int_eq(tokenizer_find(t, "nope"), -1);
    tokenizer_close(&t);
    tokenizer_close(&t);
}
END_TEST

START_TEST(a_long_word_is_joined_in_short_time)
{
    struct tokenizer *t;
    struct ids ids = {0};
    struct errmsg e;
    size_t n = 300000;
    char *text = malloc(n);

    for (size_t i = 0; i < n; i++)
        text[i] = "abc"[i % 3];
    put_tokenizer(LETTERS "," MERGES, PLAIN);
    t = open_here();
    ck_assert_int_eq(tokenizer_encode(t, text, n, 0, &ids, &e), ERR_OK);
    ck_assert_uint_eq(ids.n, n / 3);
    ids_fini(&ids);
    free(text);
    tokenizer_close(&t);
}
END_TEST

START_TEST(what_has_no_token_falls_back_to_bytes_then_unknown_then_refusal)
{
    struct tokenizer *t;
    struct ids ids = {0};
    struct errmsg e;

    put_tokenizer(LETTERS ",'byte_fallback':true,'unk_token':'<unk>'," MERGES, PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a\nxyb", 0), "0 7 8 8 1");
    tokenizer_close(&t);
    put_tokenizer(LETTERS ",'unk_token':'<unk>','fuse_unk':true," MERGES, PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a\nxyb", 0), "0 8 1");
    tokenizer_close(&t);
    put_tokenizer(LETTERS "," MERGES, PLAIN);
    t = open_here();
    ck_assert_int_eq(tokenizer_encode(t, "axb", 3, 0, &ids, &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "'x'"));
    ck_assert_int_eq(tokenizer_encode(t, "a\xFFz", 3, 0, &ids, &e), ERR_FORMAT);
    ck_assert_uint_eq(ids.n, 0);
    tokenizer_close(&t);
}
END_TEST

#define ADDED                                                                                      \
    "'added_tokens':[{'id':20,'content':'<s>','special':true},"                                    \
    "{'id':21,'content':'<s>>','special':true},{'id':22,'content':'cab','special':false},"         \
    "{'id':23,'content':'<r>','special':true,'rstrip':true},"                                      \
    "{'id':24,'content':'<l>','special':true,'lstrip':true}]"

START_TEST(specials_in_a_users_text_are_plain_text)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS ",'unk_token':'<unk>','fuse_unk':true," MERGES, ADDED "," PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a<s>b", TOKENIZER_SPECIALS), "0 20 1");
    ck_assert_str_eq(ids_of(t, "a<s>>b", TOKENIZER_SPECIALS), "0 21 1"); /* the longest */
    ck_assert_str_eq(ids_of(t, "a<s>b", 0), "0 8 1");
    ck_assert_str_eq(ids_of(t, "acabc", 0), "0 22 2"); /* added, not special */
    ck_assert_str_eq(ids_of(t, "a <r>  b", TOKENIZER_SPECIALS), "0 10 23 1");
    ck_assert_str_eq(ids_of(t, "a <l> b", TOKENIZER_SPECIALS), "0 24 10 1");
    ck_assert(tokenizer_is_special(t, 20));
    ck_assert(!tokenizer_is_special(t, 22));
    ck_assert(!tokenizer_is_special(t, -1) && !tokenizer_is_special(t, 99));
    tokenizer_close(&t);
}
END_TEST

START_TEST(the_post_processor_puts_ids_in_front_and_behind)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS "," MERGES,
                  ADDED "," PLAIN
                        ",'post_processor':{'type':'Sequence','processors':[{'type':'ByteLevel'},"
                        "{'type':'TemplateProcessing','single':[{'SpecialToken':{'id':'<s>'}},"
                        "{'Sequence':{'id':'A'}},{'SpecialToken':{'id':'<r>'}}],"
                        "'special_tokens':{'<s>':{'ids':[20]},'<r>':{'ids':[23]}}}]}");
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a", TOKENIZER_BOS), "20 0 23");
    ck_assert_str_eq(ids_of(t, "a", 0), "0");
    tokenizer_close(&t);
}
END_TEST

START_TEST(normalizers_and_metaspace_write_spaces_as_the_file_says)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS "," MERGES,
                  PLAIN ",'normalizer':{'type':'Sequence','normalizers':[{'type':'Prepend',"
                        "'prepend':'_'},{'type':'Replace','pattern':{'String':' '},"
                        "'content':'_'}]}");
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a ab", 0), "6 5 3"); /* "a b" ranks before "_ a" */
    ck_assert_str_eq(ids_of(t, "", 0), "");
    tokenizer_close(&t);
    put_tokenizer(LETTERS "," MERGES,
                  PLAIN ",'pre_tokenizer':{'type':'Metaspace','replacement':'_',"
                        "'prepend_scheme':'always'}");
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a bc", 0), "6 5 9");
    ck_assert_str_eq(ids_of(t, " a", 0), "6");
    tokenizer_close(&t);
}
END_TEST

#define SPLIT(how) PLAIN ",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'b'}," how "}"

START_TEST(split_isolates_removes_and_merges_as_asked)
{
    static const struct {
        const char *how, *ids;
    } CASES[] = {
        {"'behavior':'Isolated'", "0 1 2 0 1 2"},
        {"'behavior':'Removed'", "0 2 0 2"},
        {"'behavior':'Removed','invert':true", "1 1"},
        {"'behavior':'MergedWithPrevious'", "3 2 3 2"},
        {"'behavior':'MergedWithNext'", "0 9 0 9"},
        {"'behavior':'Contiguous'", "0 1 2 0 1 2"},
    };

    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char rest[512];
        struct tokenizer *t;

        snprintf(rest, sizeof rest, SPLIT("%s"), CASES[i].how);
        put_tokenizer(LETTERS "," MERGES, rest);
        t = open_here();
        ck_assert_msg(!strcmp(ids_of(t, "abcabc", 0), CASES[i].ids), "%s: %s", CASES[i].how,
                      ids_of(t, "abcabc", 0));
        tokenizer_close(&t);
    }
}
END_TEST

START_TEST(ignore_merges_takes_whole_words_first)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS ",'ignore_merges':true,'merges':['b c']", PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "abc", 0), "4");
    ck_assert_str_eq(ids_of(t, "abca", 0), "0 9 0");
    tokenizer_close(&t);
}
END_TEST

START_TEST(decoding_strips_the_first_space_only_and_gives_single_bytes)
{
    struct tokenizer *t;
    struct buf b = {0};
    int32_t ids[] = {20, 6, 6, 7, 99, -1};

    put_tokenizer(LETTERS "," MERGES,
                  ADDED ",'decoder':{'type':'Sequence','decoders':[{'type':'Replace','pattern':"
                        "{'String':'_'},'content':' '},{'type':'ByteFallback'},{'type':'Fuse'},"
                        "{'type':'Strip','content':' ','start':1,'stop':0}]}");
    t = open_here();
    ck_assert_int_eq(tokenizer_decode(t, ids, 6, &b), ERR_OK);
    ck_assert_str_eq(b.data, "a a\n");
    tokenizer_close(&t);
    buf_fini(&b);
}
END_TEST

START_TEST(what_is_not_known_is_refused_by_name)
{
#define GOOD LETTERS "," MERGES
    refuse("'type':'WordPiece','vocab':{}", PLAIN, ERR_UNSUPPORTED,
           "model WordPiece; known is BPE");
    refuse(GOOD, PLAIN ",'normalizer':{'type':'Lowercase'}", ERR_UNSUPPORTED,
           "normalizer Lowercase; known are");
    refuse(GOOD, PLAIN ",'pre_tokenizer':{'type':'BertPreTokenizer'}", ERR_UNSUPPORTED,
           "pre_tokenizer BertPreTokenizer; known are");
    refuse(GOOD, PLAIN ",'post_processor':{'type':'RobertaProcessing'}", ERR_UNSUPPORTED,
           "post_processor RobertaProcessing; known are");
    refuse(GOOD, "'decoder':{'type':'WordPiece'}", ERR_UNSUPPORTED, "decoder WordPiece; known are");
    refuse(GOOD, "'decoder':null", ERR_UNSUPPORTED, "decoder: none");
    refuse(GOOD, SPLIT("'behavior':'Odd'"), ERR_UNSUPPORTED, "behavior 'Odd'");
    refuse(GOOD ",'dropout':0.1", PLAIN, ERR_UNSUPPORTED, "dropout 0.1");
    refuse(GOOD ",'end_of_word_suffix':'</w>'", PLAIN, ERR_UNSUPPORTED, "end_of_word_suffix");
    refuse(GOOD,
           PLAIN ",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'\\\\h'},"
                 "'behavior':'Isolated'}",
           ERR_UNSUPPORTED, "\\h");
    refuse(GOOD,
           PLAIN ",'pre_tokenizer':{'type':'Split','pattern':{'Regex':'(a'},"
                 "'behavior':'Isolated'}",
           ERR_UNSUPPORTED, "regex");
}
END_TEST

START_TEST(a_lying_vocabulary_is_refused)
{
    refuse("'vocab':{'a':0,'b':0},'merges':[]", PLAIN, ERR_FORMAT, "id 0 is in use"); /* T2 */
    refuse("'vocab':{'a':-1},'merges':[]", PLAIN, ERR_FORMAT, "id -1");
    refuse("'vocab':{'a':99999999999},'merges':[]", PLAIN, ERR_FORMAT, "99999999999");
    refuse("'vocab':{'a':'x'},'merges':[]", PLAIN, ERR_FORMAT, "not a number");
    refuse("'vocab':{'a':0,'b':1},'merges':['a b']", PLAIN, ERR_FORMAT,
           "merge 0: 'ab' is not in the vocabulary");
    refuse("'vocab':{'a':0},'merges':['a z']", PLAIN, ERR_FORMAT, "'z'");
    refuse("'vocab':{'a':0},'merges':['a']", PLAIN, ERR_FORMAT, "merge 0: not two");
    refuse("'vocab':{'a':0},'merges':[3]", PLAIN, ERR_FORMAT, "merge 0: not two");
    refuse("'vocab':{'a':0},'merges':[]", ADDED ",'added_tokens':[]", ERR_FORMAT, "duplicate");
    refuse("'vocab':{'a':0},'merges':[]", PLAIN ",'added_tokens':[{'id':3,'content':'a'}]",
           ERR_FORMAT, "has the ids 0 and 3");
    refuse("'vocab':{'a':0},'merges':[],'unk_token':'u'", PLAIN, ERR_FORMAT, "unk_token 'u'");
    refuse(GOOD, "'decoder':{'type':'ByteLevel'},'pre_tokenizer':{'type':'ByteLevel'}", ERR_FORMAT,
           "byte 32 has no token");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("tokenizer");
    TCase *t = tcase_create("rules");

    tcase_add_test(t, merges_run_by_rank_then_from_the_left);
    tcase_add_test(t, a_long_word_is_joined_in_short_time);
    tcase_add_test(t, what_has_no_token_falls_back_to_bytes_then_unknown_then_refusal);
    tcase_add_test(t, specials_in_a_users_text_are_plain_text);
    tcase_add_test(t, the_post_processor_puts_ids_in_front_and_behind);
    tcase_add_test(t, normalizers_and_metaspace_write_spaces_as_the_file_says);
    tcase_add_test(t, split_isolates_removes_and_merges_as_asked);
    tcase_add_test(t, ignore_merges_takes_whole_words_first);
    tcase_add_test(t, decoding_strips_the_first_space_only_and_gives_single_bytes);
    tcase_add_test(t, what_is_not_known_is_refused_by_name);
    tcase_add_test(t, a_lying_vocabulary_is_refused);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
