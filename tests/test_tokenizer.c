/* test_tokenizer.c - text to ids and back: small made-up files for each rule.  (Real
 * vocabularies are in test_vocabularies.c.) */
#include "model/tokenizer.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>

#include "tests/test.h"

/* A tokenizer.json of single letters and "ab", "abc"; `rest` holds the other fields, ' for ". */
static void put_tokenizer(const char *model, const char *rest)
{
    char text[16384];

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

START_TEST(a_single_word_token_stands_alone)
{
    struct tokenizer *t;

    put_tokenizer(LETTERS ",'unk_token':'<unk>','fuse_unk':true," MERGES,
                  "'added_tokens':[{'id':20,'content':'cab','single_word':true}]," PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "cab", 0), "20");
    ck_assert_str_eq(ids_of(t, "a cab!", 0), "0 10 20 8");
    ck_assert_str_eq(ids_of(t, "acab", 0), "0 2 3");
    ck_assert_str_eq(ids_of(t, "cab_", 0), "2 3 5");
    ck_assert_str_eq(ids_of(t, "cab\u200D", 0), "2 3 8"); /* a joiner */
    ck_assert_str_eq(ids_of(t, "\u24D0cab", 0), "8 2 3"); /* a letter in a circle */
    tokenizer_close(&t);
}
END_TEST

/* Gemma's way: no space in front, words that end with their space, and merges within one. */
START_TEST(spaces_become_marks_without_one_in_front)
{
    struct tokenizer *t;
    struct buf b = {0};
    struct ids ids = {0};
    struct errmsg e;

    put_tokenizer("'type':'BPE','byte_fallback':true,'vocab':{'a':0,'b':1,'\u2581':2,'\u2581a':3,"
                  "'ab':4,'<0xC3>':5,'<0xA9>':6,'\u2581\u2581':7},"
                  "'merges':['\u2581 a','a b','\u2581 \u2581']",
                  "'normalizer':{'type':'Replace','pattern':{'String':' '},'content':'\u2581'},"
                  "'pre_tokenizer':{'type':'Split','pattern':{'String':' '},'behavior':"
                  "'MergedWithPrevious'},'decoder':{'type':'Sequence','decoders':[{'type':"
                  "'Replace','pattern':{'String':'\u2581'},'content':' '},{'type':'ByteFallback'},"
                  "{'type':'Fuse'}]}");
    t = open_here();
    ck_assert_str_eq(ids_of(t, "ab a  b", 0), "4 3 7 1"); /* E2: a word is cut before its marks */
    ck_assert_str_eq(ids_of(t, " a\u00E9", 0), "3 5 6");
    ck_assert_int_eq(tokenizer_encode(t, " a\u00E9  b", 7, 0, &ids, &e), ERR_OK);
    ck_assert_int_eq(tokenizer_decode(t, ids.at, ids.n, &b), ERR_OK);
    ck_assert_str_eq(b.data, " a\u00E9  b");
    buf_clear(&b);
    ck_assert_int_eq(tokenizer_piece(t, 5, false, &b), ERR_OK); /* half of a character */
    ck_assert_str_eq(b.data, "\xC3");
    ck_assert_int_eq(tokenizer_piece(t, 6, false, &b), ERR_OK);
    ck_assert_str_eq(b.data, "\u00E9");
    tokenizer_close(&t);
    ids_fini(&ids);
    buf_fini(&b);
}
END_TEST

/* E2 has its condition: a merge that makes a mark behind a letter forbids the cuts. */
START_TEST(a_merge_across_a_mark_is_kept)
{
    struct tokenizer *t;

    put_tokenizer("'type':'BPE','vocab':{'a':0,'\u2581':1,'a\u2581':2},'merges':['a \u2581']",
                  PLAIN);
    t = open_here();
    ck_assert_str_eq(ids_of(t, "a\u2581a\u2581", 0), "2 2");
    tokenizer_close(&t);
}
END_TEST

/* E1: more different words than the cache holds, and again, from several desks. */
START_TEST(what_was_encoded_before_changes_nothing)
{
    struct tokenizer *t, *fresh;
    struct ids x = {0}, y = {0};
    struct buf text = {0};
    struct errmsg e;
    uint64_t state = 1;

    put_tokenizer(LETTERS "," MERGES,
                  PLAIN ",'pre_tokenizer':{'type':'Split','pattern':{'String':' '},"
                        "'behavior':'Isolated'}");
    t = open_here();
    for (int i = 0; i < 30000; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        for (uint64_t n = state >> 60, k = 0; k <= n; k++)
            buf_addc(&text, "abc_"[state >> (2 * k + 20) & 3]);
        buf_addc(&text, ' ');
    }
    for (int i = 0; i < 2; i++) {
        fresh = open_here();
        x.n = y.n = 0;
        ck_assert_int_eq(tokenizer_encode(t, text.data, text.len, 0, &x, &e), ERR_OK);
        ck_assert_int_eq(
            tokenizer_encode(fresh, text.data + text.len / 2, text.len - text.len / 2, 0, &y, &e),
            ERR_OK);
        ck_assert_mem_eq(x.at + x.n - y.n + 16, y.at + 16, (y.n - 16) * sizeof *y.at);
        tokenizer_close(&fresh);
    }
    tokenizer_close(&t);
    ids_fini(&x);
    ids_fini(&y);
    buf_fini(&text);
}
END_TEST

struct reader {
    const struct tokenizer *t;
    const char *text;
    int32_t last; /* id of nine */
    int wrong;
};

static void *read_often(void *arg)
{
    struct reader *r = arg;
    struct ids ids = {0};
    struct errmsg e;

    for (int i = 0; i < 300; i++) {
        ids.n = 0;
        if (tokenizer_encode(r->t, r->text, strlen(r->text), 0, &ids, &e)) r->wrong++;
        if (ids.n != 9 || ids.at[0] != 4 || ids.at[8] != r->last) r->wrong++;
    }
    ids_fini(&ids);
    return NULL;
}

START_TEST(threads_encode_side_by_side)
{
    static const char *const TEXTS[] = {"abc_ab_abc_ab_b", "abc_ab_abc_ab_c", "abc_ab_abc_ab_ab"};
    struct reader readers[12];
    pthread_t threads[12];
    struct tokenizer *t;

    put_tokenizer(LETTERS "," MERGES, PLAIN);
    t = open_here();
    for (size_t i = 0; i < 12; i++) {
        readers[i] = (struct reader){t, TEXTS[i % 3], (int32_t)(i % 3) + 1, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_often, &readers[i]), 0);
    }
    for (size_t i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(readers[i].wrong, 0);
    }
    tokenizer_close(&t);
}
END_TEST

/* Falcon's way: digits are cut by threes behind ByteLevel, which has cut the rest. */
START_TEST(a_split_behind_byte_level_sees_letters)
{
    struct tokenizer *t;
    char file[8192] = "'type':'BPE','merges':['1 2','12 3','\u0120 1','1 "
                      "\u00C2'],'vocab':{'1\u00C2':503,'12':500,'123':501,'\u0120"
                      "1':502";

    for (int b = ' ' + 1; b <= '~'; b++)
        if (b != '\'' && b != '"' && b != '\\')
            snprintf(file + strlen(file), sizeof file - strlen(file), ",'%c':%d", b, b);
    snprintf(file + strlen(file), sizeof file - strlen(file),
             ",'\u0120':32,'\\u0022':34,'\\u0027':39,'\\\\':92,'\u00B2':178,'\u00C2':194}");
    put_tokenizer(file, "'decoder':{'type':'ByteLevel'},'pre_tokenizer':{'type':'Sequence',"
                        "'pretokenizers':[{'type':'ByteLevel','add_prefix_space':false},"
                        "{'type':'Digits','individual_digits':false},{'type':'Split','pattern':"
                        "{'Regex':'[0-9][0-9][0-9]'},'behavior':'Isolated'}]}");
    t = open_here();
    ck_assert_str_eq(ids_of(t, "12312", 0), "501 500");
    ck_assert_str_eq(ids_of(t, "a 12", 0), "97 32 500"); /* the space is no digit */
    ck_assert_str_eq(ids_of(t,
                            "1\u00B2"
                            "12",
                            0),
                     "49 194 178 500");
    ck_assert_str_eq(ids_of(t, "a\x01", 0), "97"); /* T1: no token, left out */
    tokenizer_close(&t);
}
END_TEST

/* N1: escapes, pairs, and keys of other places come to the same by the short way and the long. */
START_TEST(the_short_way_reads_what_the_long_way_reads)
{
    static const char TEXT[] =
        "{\"vocab\":[{\"merges\":1}],\"model\":{\"x\":[\"}\",-1.5e3,{}],\"type\":\"BPE\","
        "\"merges\":"
        "[[\"\\u0061\",\"\\ud83d\\ude00\"],\"b "
        "\\u00e9\"],\"vocab\":{\"a\":0,\"\\ud83d\\ude00\":1,\"a"
        "\xF0\x9F\x98\x80\":2,\"b\":3,\"\xC3\xA9\":4,\"b\\u00E9\":9,\"\\n\\\"\":6}},"
        "\"decoder\":{\"type\":\"Fuse\"}}";
    struct tokenizer *fast, *slow;
    struct errmsg e = {""};
    json_t *tree = json_loads(TEXT, 0, NULL);

    ck_assert_ptr_nonnull(tree);
    ck_assert_msg(!tokenizer_parse(&fast, TEXT, strlen(TEXT), "text", &e), "%s", e.text);
    ck_assert_msg(!tokenizer_from_json(&slow, tree, "text", &e), "%s", e.text);
    ck_assert_str_eq(ids_of(fast, "a\U0001F600b\u00E9", 0), "2 9");
    ck_assert_str_eq(ids_of(slow, "a\U0001F600b\u00E9", 0), "2 9");
    ck_assert_int_eq(tokenizer_find(fast, "\n\""), 6);
    ck_assert_int_eq(tokenizer_size(fast), tokenizer_size(slow));
    tokenizer_close(&fast);
    tokenizer_close(&slow);
    json_decref(tree);
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
    tcase_add_test(t, a_single_word_token_stands_alone);
    tcase_add_test(t, spaces_become_marks_without_one_in_front);
    tcase_add_test(t, a_merge_across_a_mark_is_kept);
    tcase_add_test(t, what_was_encoded_before_changes_nothing);
    tcase_add_test(t, threads_encode_side_by_side);
    tcase_add_test(t, a_split_behind_byte_level_sees_letters);
    tcase_add_test(t, the_short_way_reads_what_the_long_way_reads);
    tcase_add_test(t, what_is_not_known_is_refused_by_name);
    tcase_add_test(t, a_lying_vocabulary_is_refused);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
