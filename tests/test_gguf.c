/* test_gguf.c - GGUF files: good ones, and every kind of lying one. */
#include "model/gguf.h"

#include <string.h>

#include "tests/gguffile.h"
#include "tests/test.h"

#define DIMS(...)                                                                                  \
    (uint64_t[])                                                                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static struct gguffile file;

static struct gguf *open_good(void)
{
    struct gguf *g = NULL;
    struct errmsg e = {""};

    ck_assert_msg(!gguf_open(&g, gguffile_write(&file, "good.gguf"), &e), "%s", e.text);
    return g;
}

/* Opens and expects a refusal whose text holds both words; clears the file. */
static void refuse(int want, const char *word, const char *number)
{
    struct gguf *g = NULL;
    struct errmsg e = {""};
    int rc = gguf_open(&g, gguffile_write(&file, "bad.gguf"), &e);

    ck_assert_msg(rc == want, "%s: %d %s", word, rc, e.text);
    ck_assert_ptr_null(g);
    ck_assert_msg(strstr(e.text, word) && strstr(e.text, number), "'%s' lacks '%s' or '%s'", e.text,
                  word, number);
    gguffile_fini(&file);
}

static void make_good(void)
{
    gguffile_text(&file, "general.architecture", "llama");
    gguffile_u32(&file, "llama.block_count", 7);
    gguffile_f32(&file, "llama.rope.freq_base", 500000);
    gguffile_bool(&file, "tokenizer.ggml.add_bos_token", true);
    gguffile_u32s(&file, "ids", (uint32_t[]){5, 6, 4000000000u}, 3);
    gguffile_texts(&file, "tokens", (const char *const[]){"a", "", "ccc"}, 3);
    gguffile_raw(&file, "far", 11, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    gguffile_raw(&file, "too far", 10, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 8);
    gguffile_raw(&file, "half", 12, "\0\0\0\0\0\0\xE0\x3F", 8);
    gguffile_tensor(&file, "output_norm.weight", 0, DIMS(3), 1, 12, NULL);
    gguffile_tensor(&file, "blk.2.attn_q.weight", 8, DIMS(64, 3), 2, 34 * 6, NULL);
    gguffile_tensor(&file, "output.weight", 14, DIMS(256, 2), 2, 420, NULL);
}

START_TEST(a_good_file_gives_its_values)
{
    struct gguf *g;
    int64_t n = 0;
    double x = 0;
    bool yes = false;
    const char *text;
    size_t at = 0, len;

    make_good();
    g = open_good();
    ck_assert(gguf_int(gguf_find(g, "llama.block_count"), 0, &n) && n == 7);
    ck_assert(gguf_number(gguf_find(g, "llama.rope.freq_base"), 0, &x) && x > 499999);
    ck_assert(gguf_bool(gguf_find(g, "tokenizer.ggml.add_bos_token"), &yes) && yes);
    ck_assert(gguf_int(gguf_find(g, "ids"), 2, &n) && n == 4000000000);
    ck_assert(!gguf_int(gguf_find(g, "ids"), 3, &n));
    ck_assert(gguf_int(gguf_find(g, "far"), 0, &n) && n == -1);
    ck_assert(!gguf_int(gguf_find(g, "too far"), 0, &n));
    ck_assert(gguf_number(gguf_find(g, "half"), 0, &x) && x > 0.49 && x < 0.51);
    ck_assert(!gguf_int(gguf_find(g, "half"), 0, &n));
    ck_assert(gguf_text(gguf_find(g, "tokens"), &at, &text, &len) && len == 1 && *text == 'a');
    ck_assert(gguf_text(gguf_find(g, "tokens"), &at, &text, &len) && len == 0);
    ck_assert(gguf_text(gguf_find(g, "tokens"), &at, &text, &len) && len == 3);
    ck_assert(!gguf_text(gguf_find(g, "tokens"), &at, &text, &len));
    ck_assert_ptr_null(gguf_find(g, "llama.block_coun"));
    ck_assert(!gguf_text(gguf_find(g, "ids"), &(size_t){0}, &text, &len));
    ck_assert(!gguf_int(NULL, 0, &n));
    gguf_close(&g);
    gguf_close(&g);
    gguffile_fini(&file);
}
END_TEST

START_TEST(a_good_file_gives_its_tensors_in_place_slowest_axis_first)
{
    struct gguf *g;
    const struct tensor *t;

    make_good();
    g = open_good();
    ck_assert_int_eq(gguf_count(g), 3);
    t = gguf_tensor(g, "blk.2.attn_q.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->dtype, DTYPE_Q8_0);
    ck_assert_int_eq(t->n_dims, 2);
    ck_assert_int_eq(t->shape[0], 3);
    ck_assert_int_eq(t->shape[1], 64);
    ck_assert_uint_eq(t->bytes, 34 * 6); /* G2 */
    ck_assert_int_eq(((const char *)t->data)[33], 33);
    ck_assert_uint_eq((uintptr_t)t->data % 32, 0);
    ck_assert_int_eq(gguf_tensor(g, "output.weight")->dtype, DTYPE_Q6_K);
    ck_assert_uint_eq(gguf_tensor(g, "output.weight")->bytes, 420);
    ck_assert_ptr_null(gguf_tensor(g, "output"));
    ck_assert_ptr_null(gguf_at(g, 3));
    gguf_close(&g);
    gguffile_fini(&file);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    struct buf whole = {0};
    struct gguf *g;
    struct errmsg e;

    make_good();
    gguffile_bytes(&file, &whole);
    for (size_t n = 0; n < whole.len; n++) {
        char *exact = malloc(n + 1); /* so that a sanitizer sees a step too far */

        memcpy(exact, whole.data, n);
        ck_assert_int_eq(gguf_from_bytes(&g, exact, n, "cut", &e), ERR_FORMAT); /* G1 */
        free(exact);
    }
    ck_assert_int_eq(gguf_from_bytes(&g, whole.data, whole.len, "whole", &e), ERR_OK);
    gguf_close(&g);
    buf_fini(&whole);
    gguffile_fini(&file);
}
END_TEST

START_TEST(another_version_or_byte_order_is_refused_by_name)
{
    struct gguf *g;
    struct errmsg e = {""};

    file.version = 2;
    g = open_good();
    gguf_close(&g);
    gguffile_fini(&file);
    file.version = 1;
    refuse(ERR_UNSUPPORTED, "version 1", "2, 3");
    file.version = 4;
    refuse(ERR_UNSUPPORTED, "version 4", "2, 3");
    file.version = 3u << 24;
    refuse(ERR_UNSUPPORTED, "big-endian", "little-endian");
    ck_assert_int_eq(gguf_open(&g, test_file("x", "GGML....................", 24), &e), ERR_FORMAT);
    ck_assert_int_eq(gguf_open(&g, test_path("nothing"), &e), ERR_IO);
}
END_TEST

START_TEST(lying_counts_are_refused)
{
    file.n_tensors = 1;
    refuse(ERR_FORMAT, "1 tensors in 8 bytes", "tensors");
    file.n_tensors = UINT64_MAX;
    refuse(ERR_FORMAT, "18446744073709551615 tensors", "1048576");
    file.n_keys = 1;
    refuse(ERR_FORMAT, "a key", "file");
    file.n_keys = UINT64_MAX;
    refuse(ERR_FORMAT, "18446744073709551615 keys", "65536");
}
END_TEST

START_TEST(lying_keys_are_refused)
{
    gguffile_u32(&file, "twice", 1);
    gguffile_u32(&file, "once", 1);
    gguffile_u32(&file, "twice", 2);
    refuse(ERR_FORMAT, "key twice", "again");
    gguffile_raw(&file, "odd", 13, "", 0);
    refuse(ERR_FORMAT, "key odd", "type 13");
    gguffile_raw(&file, "nest", 9, "\x09\0\0\0\1\0\0\0\0\0\0\0", 12);
    refuse(ERR_FORMAT, "key nest", "array of type 9");
    gguffile_raw(&file, "long", 9, "\x04\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 12);
    refuse(ERR_FORMAT, "key long", "18446744073709551615");
    gguffile_raw(&file, "text", 8, "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F", 8);
    refuse(ERR_FORMAT, "text of 9223372036854775807", "bytes");
    gguffile_u32(&file, "", 1);
    refuse(ERR_FORMAT, "no name", "0");
    gguffile_u32(&file, "general.alignment", 24);
    refuse(ERR_FORMAT, "general.alignment is 24", "power of two");
    gguffile_u32(&file, "general.alignment", 0);
    refuse(ERR_FORMAT, "general.alignment is 0", "8");
}
END_TEST

START_TEST(an_unknown_type_is_refused_with_what_is_known)
{
    gguffile_tensor(&file, "a", 13, DIMS(256), 1, 176, NULL);
    refuse(ERR_UNSUPPORTED, "tensor a: type Q5_K", "F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K");
    gguffile_tensor(&file, "a", 77, DIMS(256), 1, 176, NULL);
    refuse(ERR_UNSUPPORTED, "tensor a: type 77", "Q8_0");
}
END_TEST

START_TEST(a_lying_shape_is_refused)
{
    gguffile_tensor(&file, "a", 8, DIMS(48, 2), 2, 102, NULL);
    refuse(ERR_FORMAT, "tensor a: rows of 48", "blocks of 32"); /* G2 */
    gguffile_tensor(&file, "a", 0, DIMS(4, 0), 2, 0, NULL);
    refuse(ERR_FORMAT, "tensor a: extent 0 is 0", "0");
    gguffile_tensor(&file, "a", 0, DIMS(UINT64_MAX), 1, 0, NULL);
    refuse(ERR_FORMAT, "tensor a: extent 0", "18446744073709551615");
    gguffile_tensor(&file, "a", 0, DIMS(1u << 31, 1u << 31, 4), 3, 0, NULL);
    refuse(ERR_FORMAT, "tensor a: the shape overflows", "2147483648");
    gguffile_tensor(&file, "a", 0, DIMS(1, 1, 1, 1, 1), 5, 4, NULL);
    refuse(ERR_UNSUPPORTED, "tensor a: 5 dimensions", "4");
    gguffile_tensor(&file, "a", 0, NULL, 0, 4, NULL);
    refuse(ERR_UNSUPPORTED, "tensor a: 0 dimensions", "4");
}
END_TEST

START_TEST(lying_places_are_refused)
{
    gguffile_tensor(&file, "a", 0, DIMS(16), 1, 60, NULL);
    refuse(ERR_FORMAT, "tensor a: 64 bytes at 0", "60");
    gguffile_tensor(&file, "a", 0, DIMS(16), 1, 64, NULL);
    gguffile_entry(&file, "b", 0, DIMS(4), 1, 32);
    refuse(ERR_FORMAT, "tensor b: begins at 32 and overlaps a", "32");
    gguffile_tensor(&file, "a", 0, DIMS(16), 1, 64, NULL);
    gguffile_entry(&file, "b", 0, DIMS(4), 1, 0);
    refuse(ERR_FORMAT, "begins at 0 and overlaps", "0");
    gguffile_tensor(&file, "a", 0, DIMS(16), 1, 64, NULL);
    gguffile_entry(&file, "b", 0, DIMS(4), 1, 48);
    refuse(ERR_FORMAT, "tensor b: offset 48", "aligned to 32");
    gguffile_tensor(&file, "a", 0, DIMS(16), 1, 64, NULL);
    gguffile_entry(&file, "b", 0, DIMS(4), 1, UINT64_MAX - 31);
    refuse(ERR_FORMAT, "tensor b: 16 bytes at 18446744073709551584", "64");
    gguffile_tensor(&file, "a", 0, DIMS(8), 1, 32, NULL);
    gguffile_tensor(&file, "a", 0, DIMS(8), 1, 32, NULL);
    refuse(ERR_FORMAT, "tensor a", "again");
    gguffile_tensor(&file, "", 0, DIMS(8), 1, 32, NULL);
    refuse(ERR_FORMAT, "tensor 0: a name of 0 bytes", "255");
}
END_TEST

START_TEST(weights_have_hugging_faces_names)
{
    struct weights *w;
    struct errmsg e = {""};
    const char *path;

    make_good();
    gguffile_tensor(&file, "blk.2.strange.weight", 0, DIMS(2), 1, 8, NULL);
    gguffile_tensor(&file, "rope_freqs.weight", 0, DIMS(2), 1, 8, NULL);
    path = gguffile_write(&file, "m.gguf");
    ck_assert_msg(!weights_open(&w, path, &e), "%s", e.text);
    ck_assert_int_eq(weights_count(w), 4); /* the table of positions is configuration */
    ck_assert_ptr_nonnull(weights_find(w, "model.layers.2.self_attn.q_proj.weight"));
    ck_assert_ptr_nonnull(weights_find(w, "model.norm.weight"));
    ck_assert_ptr_nonnull(weights_find(w, "lm_head.weight"));
    ck_assert_ptr_nonnull(weights_find(w, "blk.2.strange.weight"));
    ck_assert_ptr_nonnull(weights_gguf(w));
    weights_close(&w);
    /* A directory with this one file means the file. */
    ck_assert_msg(!weights_open(&w, test_dir(), &e), "%s", e.text);
    weights_close(&w);
    gguffile_write(&file, "mmproj-pictures.gguf");
    ck_assert_msg(!weights_open(&w, test_dir(), &e), "%s", e.text);
    weights_close(&w);
    gguffile_write(&file, "n.gguf");
    ck_assert_int_eq(weights_open(&w, test_dir(), &e), ERR_ARG);
    ck_assert_ptr_nonnull(strstr(e.text, "2 .gguf files"));
    gguffile_fini(&file);
}
END_TEST

START_TEST(two_spellings_of_one_tensor_are_refused)
{
    struct weights *w;
    struct errmsg e = {""};

    gguffile_text(&file, "general.architecture", "llama");
    gguffile_tensor(&file, "blk.1.attn_q.weight", 0, DIMS(2), 1, 8, NULL);
    gguffile_tensor(&file, "blk.01.attn_q.weight", 0, DIMS(2), 1, 8, NULL);
    ck_assert_int_eq(weights_open(&w, gguffile_write(&file, "m.gguf"), &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "model.layers.1.self_attn.q_proj.weight: it is there"));
    gguffile_fini(&file);
}
END_TEST

/* One tensor in each of three parts. */
static const char *write_part(int no, int count, const char *tensor)
{
    char name[64];
    const char *path;

    gguffile_text(&file, "general.architecture", "llama");
    gguffile_raw(&file, "split.no", 2, &(uint16_t){(uint16_t)no}, 2);
    gguffile_raw(&file, "split.count", 2, &(uint16_t){(uint16_t)count}, 2);
    gguffile_u32(&file, "split.tensors.count", 3);
    gguffile_tensor(&file, tensor, 0, DIMS(8), 1, 32, NULL);
    snprintf(name, sizeof name, "m-%05d-of-00003.gguf", no + 1);
    path = gguffile_write(&file, name);
    gguffile_fini(&file);
    return path;
}

static void refuse_parts(const char *path, int want, const char *word)
{
    struct weights *w;
    struct errmsg e = {""};
    int rc = weights_open(&w, path, &e);

    ck_assert_msg(rc == want && strstr(e.text, word), "%s: %d %s", word, rc, e.text);
}

START_TEST(a_split_model_is_opened_by_its_first_part)
{
    struct weights *w;
    struct errmsg e = {""};
    const char *first = write_part(0, 3, "a"), *second = write_part(1, 3, "b"), *third;

    refuse_parts(first, ERR_IO, "m-00003-of-00003.gguf");
    third = write_part(2, 3, "c");
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(!weights_open(&w, i ? test_dir() : first, &e), "%s", e.text);
        ck_assert_int_eq(weights_count(w), 3);
        ck_assert_ptr_nonnull(weights_find(w, "a"));
        ck_assert_ptr_nonnull(weights_find(w, "c"));
        ck_assert_ptr_nonnull(strstr(weights_file(w, 2), "m-00003-of"));
        ck_assert_ptr_null(weights_file(w, 3));
        weights_close(&w);
    }
    refuse_parts(second, ERR_ARG, "part 2 of 3: name the first");
    write_part(2, 3, "a");
    refuse_parts(first, ERR_FORMAT, "tensor a: it is there again");
    write_part(2, 4, "c");
    refuse_parts(first, ERR_FORMAT, "part 3 of 4");
    ck_assert_int_eq(rename(second, third), 0);
    write_part(1, 3, "b");
    refuse_parts(first, ERR_FORMAT, "m-00003-of-00003.gguf: it says to be part 2 of 3");
    ck_assert_int_eq(rename(first, test_path("other.gguf")), 0);
    refuse_parts(test_path("other.gguf"), ERR_FORMAT, "split.count is 3");
}
END_TEST

START_TEST(a_path_that_is_no_gguf_says_so)
{
    char out[512];
    struct errmsg e = {""};
    const char *path = test_file("x.gguf", "PK..", 4);

    ck_assert_int_eq(gguf_locate(out, sizeof out, path, &e), ERR_FORMAT);
    ck_assert_ptr_nonnull(strstr(e.text, "x.gguf: not a GGUF file"));
    ck_assert_int_eq(gguf_locate(out, sizeof out, test_path("y.gguf"), &e), ERR_IO);
    ck_assert_ptr_nonnull(strstr(e.text, "y.gguf: No such file"));
    ck_assert_int_eq(gguf_locate(out, sizeof out, test_path("y"), &e), ERR_EMPTY);
    ck_assert_int_eq(gguf_locate(out, sizeof out, test_file("z", "GGUF", 4), &e), ERR_OK);
    ck_assert_int_eq(gguf_locate(out, 4, test_path("z"), &e), ERR_ARG);
}
END_TEST

START_TEST(lying_splits_are_refused)
{
    struct weights *w;
    struct errmsg e = {""};

    write_part(5, 3, "a");
    refuse_parts(test_path("m-00006-of-00003.gguf"), ERR_FORMAT, "split.no is 5, not in [0, 2]");
    write_part(0, 65535, "a");
    refuse_parts(test_path("m-00001-of-00003.gguf"), ERR_FORMAT, "split.count is 65535");
    write_part(0, 1, "a");
    gguffile_u32(&file, "split.count", 0);
    gguffile_text(&file, "general.architecture", "llama");
    ck_assert_msg(!weights_open(&w, gguffile_write(&file, "whole.gguf"), &e), "%s", e.text);
    weights_close(&w);
    gguffile_fini(&file);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("gguf");
    TCase *t = tcase_create("gguf");

    tcase_add_test(t, a_good_file_gives_its_values);
    tcase_add_test(t, a_good_file_gives_its_tensors_in_place_slowest_axis_first);
    tcase_add_test(t, a_file_cut_anywhere_is_refused);
    tcase_add_test(t, another_version_or_byte_order_is_refused_by_name);
    tcase_add_test(t, lying_counts_are_refused);
    tcase_add_test(t, lying_keys_are_refused);
    tcase_add_test(t, an_unknown_type_is_refused_with_what_is_known);
    tcase_add_test(t, a_lying_shape_is_refused);
    tcase_add_test(t, lying_places_are_refused);
    tcase_add_test(t, weights_have_hugging_faces_names);
    tcase_add_test(t, two_spellings_of_one_tensor_are_refused);
    tcase_add_test(t, a_split_model_is_opened_by_its_first_part);
    tcase_add_test(t, a_path_that_is_no_gguf_says_so);
    tcase_add_test(t, lying_splits_are_refused);
    suite_add_tcase(s, t);
    return s;
}

TEST_MAIN(suite)
