/* test_image.c - a tokenizer as an image: it comes to the same, and a lying one is refused. */
#include "model/image.h"

#include <string.h>

#include "model/tokenizer.h"
#include "tests/test.h"

static const char FILE_TEXT[] =
    "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<u>\",\"vocab\":{\"a\":0,"
    "\"b\":1,\"ab\":2,\"<u>\":5,\"<0x0A>\":3},\"merges\":[\"a b\"]},\"decoder\":{\"type\":"
    "\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},"
    "\"added_tokens\":[{\"id\":9,\"content\":\"<s>\",\"special\":true}]}";

enum { RULES, TEXT, ENTRIES, SLOTS, MERGES, BYTES, BYTES_AT, N_PARTS }; /* as in tokenizer.c */

static struct tokenizer *open_here(void)
{
    struct tokenizer *t;
    struct errmsg e = {""};

    test_file("tokenizer.json", FILE_TEXT, strlen(FILE_TEXT));
    ck_assert_msg(!tokenizer_open(&t, test_dir(), &e), "%s", e.text);
    return t;
}

static void make(struct buf *image)
{
    struct tokenizer *t = open_here();

    ck_assert_int_eq(tokenizer_save(t, image), ERR_OK);
    tokenizer_close(&t);
}

static int load(const struct buf *image, size_t len, struct errmsg *e)
{
    struct tokenizer *t = NULL;
    int rc = tokenizer_load(&t, image->data, len, "here", e);

    ck_assert(!rc == !!t);
    ck_assert(!rc || strstr(e->text, "here: "));
    tokenizer_close(&t);
    return rc;
}

START_TEST(an_image_reads_and_writes_as_its_file_does)
{
    struct buf image = {0}, again = {0}, text = {0};
    struct ids ids = {0};
    struct tokenizer *t;
    struct errmsg e = {""};

    make(&image);
    ck_assert_int_eq(tokenizer_load(&t, image.data, image.len, "here", &e), ERR_OK);
    ck_assert_int_eq(tokenizer_encode(t, "ba\nab<s>x", 9, TOKENIZER_SPECIALS, &ids, &e), ERR_OK);
    ck_assert_uint_eq(ids.n, 6);
    ck_assert_int_eq(ids.at[3], 2);
    ck_assert_int_eq(ids.at[4], 9);
    ck_assert_int_eq(ids.at[5], 5);
    ck_assert_int_eq(tokenizer_decode(t, ids.at, 5, &text), ERR_OK);
    ck_assert_str_eq(text.data, "ba\nab");
    ck_assert_int_eq(tokenizer_size(t), 10);
    ck_assert_int_eq(tokenizer_find(t, "<s>"), 9);
    ck_assert_int_eq(tokenizer_save(t, &again), ERR_OK);
    ck_assert_uint_eq(again.len, image.len);
    ck_assert_mem_eq(again.data, image.data, image.len);
    tokenizer_close(&t);
    ids_fini(&ids);
    buf_fini(&text), buf_fini(&again), buf_fini(&image);
}
END_TEST

START_TEST(a_changed_or_cut_image_is_refused)
{
    struct buf image = {0};
    struct errmsg e;

    make(&image);
    for (size_t len = 0; len < image.len; len += 7)
        ck_assert_int_eq(load(&image, len, &e), ERR_FORMAT);
    for (size_t at = 0; at < image.len; at += 3) {
        image.data[at] ^= 1;
        ck_assert_int_ne(load(&image, image.len, &e), ERR_OK);
        image.data[at] ^= 1;
    }
    image.data[8] ^= 4; /* the version */
    ck_assert_int_eq(load(&image, image.len, &e), ERR_STALE);
    image.data[8] ^= 4;
    ck_assert_int_eq(load(&image, image.len, &e), ERR_OK);
    buf_fini(&image);
}
END_TEST

/* An image with a good hash whose part says something else. */
static void refuse(const struct buf *image, int part, size_t at, int32_t value, const char *word)
{
    struct image_part parts[N_PARTS];
    struct buf lying = {0};
    struct errmsg e = {""};
    char *copy;

    ck_assert_int_eq(image_read(parts, N_PARTS, image->data, image->len, &e), ERR_OK);
    copy = malloc(parts[part].len);
    memcpy(copy, parts[part].at, parts[part].len);
    ck_assert_uint_le(at + sizeof value, parts[part].len);
    memcpy(copy + at, &value, sizeof value);
    parts[part].at = copy;
    ck_assert_int_eq(image_write(&lying, parts, N_PARTS), ERR_OK);
    ck_assert_int_eq(load(&lying, lying.len, &e), ERR_FORMAT);
    ck_assert_msg(strstr(e.text, word) != NULL, "'%s' lacks '%s'", e.text, word);
    free(copy);
    buf_fini(&lying);
}

START_TEST(arrays_that_lie_are_refused)
{
    struct image_part parts[N_PARTS];
    struct buf image = {0};
    struct errmsg e;
    const int32_t *merges;
    size_t used = 0;

    make(&image);
    ck_assert_int_eq(image_read(parts, N_PARTS, image.data, image.len, &e), ERR_OK);
    merges = parts[MERGES].at;
    while (merges[used] < 0)
        used += 4;
    refuse(&image, ENTRIES, 0, 1 << 20, "token 0 lies outside");
    refuse(&image, ENTRIES, 4, -1, "token 0 lies outside");
    refuse(&image, SLOTS, 0, 10, "holds id 10");
    refuse(&image, SLOTS, 0, -2, "holds id -2");
    for (size_t k = 0; k < 4; k++)
        refuse(&image, MERGES, (used + k) * 4, k == 2 ? -1 : 10, "lies");
    refuse(&image, BYTES_AT, 4, 1 << 20, "lies outside");
    refuse(&image, BYTES_AT, 4, -1, "lies outside");
    refuse(&image, RULES, 0, 0, "no JSON");
    refuse(&image, TEXT, 12, 0x7A7A7A7A, "id 9"); /* <s> is spelled otherwise */
    buf_fini(&image);
}
END_TEST

START_TEST(an_image_must_be_aligned_in_memory)
{
    struct buf image = {0};
    struct tokenizer *t;
    struct errmsg e = {""};

    make(&image);
    ck_assert_int_eq(buf_reserve(&image, 1), ERR_OK);
    memmove(image.data + 1, image.data, image.len);
    ck_assert_int_eq(tokenizer_load(&t, image.data + 1, image.len, "here", &e), ERR_ARG);
    buf_fini(&image);
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("image");
    TCase *t = tcase_create("rules");

    tcase_add_test(t, an_image_reads_and_writes_as_its_file_does);
    tcase_add_test(t, a_changed_or_cut_image_is_refused);
    tcase_add_test(t, arrays_that_lie_are_refused);
    tcase_add_test(t, an_image_must_be_aligned_in_memory);
    suite_add_tcase(s, t);
    return s;
}
TEST_MAIN(suite)
