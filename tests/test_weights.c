/* test_weights.c - safetensors files: good ones, and every kind of lying one. */
#include "model/weights.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/test.h"

/* A file with exactly this header and n bytes of data, each byte its own position. */
static const char *put_raw(const char *name, const char *header, size_t n)
{
    struct buf b = {0};
    size_t len = strlen(header);
    const char *path;

    for (int i = 0; i < 8; i++)
        buf_addc(&b, (char)(len >> (8 * i) & 255));
    buf_adds(&b, header);
    for (size_t i = 0; i < n; i++)
        buf_addc(&b, (char)i);
    path = test_file(name, b.data, b.len);
    buf_fini(&b);
    return path;
}

/* The same, the data aligned by spaces behind the header, as writers do. */
static const char *put_file(const char *name, const char *header, size_t n)
{
    char padded[1024];
    size_t len = strlen(header);

    snprintf(padded, sizeof padded, "%s%.*s", header, (int)(-len & 7), "        ");
    return put_raw(name, padded, n);
}

/* Opens and expects a refusal whose text holds both words. */
static void refuse_path(const char *path, int want, const char *word, const char *number)
{
    struct weights *w = NULL;
    struct errmsg e = {""};

    ck_assert_msg(weights_open(&w, path, &e) == want, "%s: %s", word, e.text);
    ck_assert_ptr_null(w);
    ck_assert_msg(strstr(e.text, word) && strstr(e.text, number), "'%s' lacks '%s' or '%s'", e.text,
                  word, number);
}

static void refuse(const char *header, size_t n, int want, const char *word, const char *number)
{
    refuse_path(put_file("bad.safetensors", header, n), want, word, number);
}

#define A16 "{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

START_TEST(a_good_file_gives_its_tensors_in_place)
{
    struct weights *w;
    struct errmsg e;
    const struct tensor *t;
    const char *path =
        put_file("m.safetensors",
                 "{\"__metadata__\":{\"format\":\"pt\"},"
                 "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[16,22]},"
                 "\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}   ",
                 22);

    ck_assert_msg(!weights_open(&w, path, &e), "%s", e.text);
    ck_assert_int_eq(weights_count(w), 2);
    t = weights_find(w, "b");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->dtype, DTYPE_BF16);
    ck_assert_int_eq(t->n_dims, 1);
    ck_assert_int_eq(t->shape[0], 3);
    ck_assert_uint_eq(t->bytes, 6); /* W2 */
    ck_assert_int_eq(*(const char *)t->data, 16);
    ck_assert_str_eq(weights_at(w, 0)->name, "a");
    ck_assert_ptr_null(weights_find(w, "c"));
    ck_assert_ptr_null(weights_at(w, 2));
    weights_close(&w);
    weights_close(&w);
}
END_TEST

START_TEST(a_file_cut_anywhere_is_refused)
{
    char whole[128];
    size_t len;
    struct weights *w;
    struct errmsg e;
    FILE *f = fopen(put_file("whole", A16, 16), "rb");

    len = fread(whole, 1, sizeof whole, f);
    fclose(f);
    ck_assert_uint_eq(len, 8 + 64 + 16);
    for (size_t n = 0; n < len; n++)
        ck_assert_int_eq(weights_open(&w, test_file("cut", whole, n), &e), ERR_FORMAT); /* W1 */
    ck_assert_msg(!weights_open(&w, test_file("cut", whole, len), &e), "%s", e.text);
    weights_close(&w);
}
END_TEST

START_TEST(a_header_length_past_the_file_is_refused)
{
    refuse_path(test_file("h", "\x40\0\0\0\0\0\0\0{}", 10), ERR_FORMAT, "header of 64", "10");
    refuse_path(test_file("h", "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10), ERR_FORMAT, "header of",
                "18446744073709551615");
    refuse_path(test_file("h", "\x02\0\0", 3), ERR_FORMAT, "too short", "3");
}
END_TEST

START_TEST(a_header_that_is_no_object_is_refused)
{
    refuse("{\"a\":", 0, ERR_FORMAT, "header", "line");
    refuse("[]", 0, ERR_FORMAT, "header", "object");
    refuse("[[[[[[[[[[[]]]]]]]]]]]", 0, ERR_FORMAT, "deeper", "8");
    refuse("{\"a\":1}", 0, ERR_FORMAT, "tensor a", "object");
    refuse("{\"a\":{},\"a\":{}}", 0, ERR_FORMAT, "header", "duplicate");
}
END_TEST

START_TEST(an_unknown_dtype_is_refused_with_what_is_known)
{
    refuse("{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4,
           ERR_UNSUPPORTED, "tensor a: dtype F8_E4M3", "F32, F16, BF16");
    refuse("{\"a\":{\"shape\":[4],\"data_offsets\":[0,4]}}", 4, ERR_FORMAT, "tensor a", "dtype");
}
END_TEST

START_TEST(a_lying_shape_is_refused)
{
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,16]}}", 16, ERR_FORMAT,
           "tensor a: 16 bytes", "24");
    refuse("{\"a\":{\"dtype\":\"F16\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16, ERR_FORMAT,
           "tensor a: 16 bytes", "8");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
           "\"data_offsets\":[0,0]}}",
           0, ERR_FORMAT, "tensor a: the shape overflows", "4294967296");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[-4],\"data_offsets\":[0,16]}}", 16, ERR_FORMAT,
           "tensor a: extent 0", "0");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,16]}}", 16, ERR_FORMAT,
           "tensor a: extent 0", "0");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,4],\"data_offsets\":[0,16]}}", 16,
           ERR_UNSUPPORTED, "tensor a: 5 dimensions", "4");
    refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,16]}}", 16, ERR_FORMAT, "tensor a",
           "shape");
}
END_TEST

START_TEST(lying_offsets_are_refused)
{
    refuse(A16, 15, ERR_FORMAT, "tensor a: ends at 16", "15");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}}", 16, ERR_FORMAT,
           "tensor a: data_offsets", "16");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}}", 16, ERR_FORMAT,
           "tensor a: data_offsets", "-16");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[9223372036854775791,"
           "9223372036854775807]}}",
           16, ERR_FORMAT, "tensor a: ends at", "9223372036854775807");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}}", 16, ERR_FORMAT,
           "tensor a: data_offsets", "two numbers");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,1e30]}}", 16, ERR_FORMAT,
           "tensor a: data_offsets", "two numbers");
}
END_TEST

#define PAIR(a, b)                                                                                 \
    "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" a                                  \
    "},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":" b "}} "

START_TEST(overlaps_holes_and_rests_are_refused)
{
    struct weights *w;
    struct errmsg e;

    ck_assert_msg(!weights_open(&w, put_file("ok", PAIR("[8,16]", "[0,8]"), 16), &e), "%s", e.text);
    weights_close(&w);
    refuse(PAIR("[0,8]", "[4,12]"), 12, ERR_FORMAT, "tensor b: begins at 4 and overlaps a", "4");
    refuse(PAIR("[0,8]", "[0,8]"), 8, ERR_FORMAT, "overlaps", "0");
    refuse(PAIR("[0,8]", "[12,20]"), 20, ERR_FORMAT, "tensor b: begins at 12", "4 bytes");
    refuse(PAIR("[0,8]", "[8,16]"), 19, ERR_FORMAT, "3 bytes behind", "3");
}
END_TEST

START_TEST(a_tensor_off_its_alignment_is_refused)
{
    refuse_path(put_raw("odd", A16, 16), ERR_FORMAT, "tensor a: offset 65", "aligned to 4");
}
END_TEST

static void put_index(const char *json)
{
    test_file("model.safetensors.index.json", json, strlen(json));
}

START_TEST(shards_are_one_set_of_tensors)
{
    struct weights *w;
    struct errmsg e;

    put_file("one", A16, 16);
    put_file("two", "{\"b\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}  ", 2);
    put_index("{\"weight_map\":{\"a\":\"one\",\"b\":\"two\"}}");
    ck_assert_msg(!weights_open(&w, test_dir(), &e), "%s", e.text);
    ck_assert_int_eq(weights_count(w), 2);
    ck_assert_uint_eq(weights_find(w, "b")->bytes, 2);
    weights_close(&w);

    put_index("{\"weight_map\":{\"a\":\"two\",\"b\":\"two\",\"c\":\"one\"}}");
    refuse_path(test_dir(), ERR_FORMAT, "tensor c", "not in one");
    put_index("{\"weight_map\":{\"a\":\"../one\"}}");
    refuse_path(test_dir(), ERR_FORMAT, "tensor a", "file name");
    put_index("{\"weight_map\":{\"a\":\"three\"}}");
    refuse_path(test_dir(), ERR_IO, "three", "No such file");
    put_file("two", A16, 16);
    put_index("{\"weight_map\":{\"a\":\"one\",\"b\":\"two\"}}");
    refuse_path(test_dir(), ERR_FORMAT, "tensor a", "in two files");
    put_index("{}");
    refuse_path(test_dir(), ERR_FORMAT, "weight_map", "index");
}
END_TEST

START_TEST(a_missing_file_is_an_io_error)
{
    refuse_path(test_path("nothing"), ERR_IO, "nothing", "No such file");
    refuse_path(test_dir(), ERR_IO, "model.safetensors", "No such file");
}
END_TEST

START_TEST(a_real_model_opens)
{
    struct weights *w;
    struct errmsg e;
    const struct tensor *t;

    ck_assert_msg(!weights_open(&w, test_data("models/stories260K/hf"), &e), "%s", e.text);
    t = weights_find(w, "model.embed_tokens.weight");
    ck_assert_ptr_nonnull(t);
    ck_assert_int_eq(t->dtype, DTYPE_F32);
    ck_assert_int_eq(t->shape[0], 512);
    ck_assert_int_eq(t->shape[1], 64);
    weights_close(&w);
    ck_assert_msg(!weights_open(&w, test_data("models/stories260K/model-bf16.safetensors"), &e),
                  "%s", e.text);
    ck_assert_int_eq(weights_find(w, "model.norm.weight")->dtype, DTYPE_BF16);
    weights_close(&w);
}
END_TEST

/* Pages of a file that are in memory, of those that a tensor takes. */
static size_t resident_pages(const struct tensor *t, size_t *all)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = ((uintptr_t)t->data + page - 1) / page * page;
    const size_t n = ((uintptr_t)t->data + t->bytes - from) / page;
    unsigned char *in = calloc(n, 1);
    size_t k = 0;

    ck_assert_int_eq(mincore((void *)from, n * page, in), 0);
    for (size_t i = 0; i < n; i++)
        k += in[i] & 1;
    free(in);
    *all = n;
    return k;
}

START_TEST(weights_are_mapped_and_not_read) /* W3 */
{
    const size_t header = 8 + 72, data = (size_t)64 << 20;
    struct weights *w;
    struct errmsg e;
    size_t all;
    const char *path = put_raw("large",
                               "{\"a\":{\"dtype\":\"F32\",\"shape\":[16777216],"
                               "\"data_offsets\":[0,67108864]}}    ",
                               0);

    ck_assert_int_eq(truncate(path, (off_t)(header + data)), 0);
    ck_assert_msg(!weights_open(&w, path, &e), "%s", e.text);
    ck_assert_uint_lt(resident_pages(weights_find(w, "a"), &all), 256);
    ck_assert_uint_gt(all, 16000);
    weights_close(&w);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("weights");
    TCase *t = tcase_create("safetensors");

    tcase_add_test(t, a_good_file_gives_its_tensors_in_place);
    tcase_add_test(t, a_file_cut_anywhere_is_refused);
    tcase_add_test(t, a_header_length_past_the_file_is_refused);
    tcase_add_test(t, a_header_that_is_no_object_is_refused);
    tcase_add_test(t, an_unknown_dtype_is_refused_with_what_is_known);
    tcase_add_test(t, a_lying_shape_is_refused);
    tcase_add_test(t, lying_offsets_are_refused);
    tcase_add_test(t, overlaps_holes_and_rests_are_refused);
    tcase_add_test(t, a_tensor_off_its_alignment_is_refused);
    tcase_add_test(t, shards_are_one_set_of_tensors);
    tcase_add_test(t, weights_are_mapped_and_not_read);
    tcase_add_test(t, a_missing_file_is_an_io_error);
    if (test_has_data()) tcase_add_test(t, a_real_model_opens);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
