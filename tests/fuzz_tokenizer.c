/* fuzz_tokenizer.c - any bytes as a tokenizer.json and a text, or as changes to a good image.
 *
 * Held besides memory safety: the short way of reading the long lists comes to what a JSON tree
 * comes to (N1); ids are below the size; an image reads and writes as what it was made of.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "model/image.h"
#include "model/tokenizer.h"
#include "model/tokenlists.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_TEXT  4096
#define MAX_PARTS 7

static const char GOOD[] =
    "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<u>\",\"vocab\":{\"a\":0,"
    "\"b\":1,\"ab\":2,\"<0x0A>\":3,\"abb\":4,\"<u>\":5,\"\\u2581\":6,\"\\u2581a\":7},\"merges\":["
    "\"a b\",[\"ab\",\"b\"],\"\\u2581 a\"]},\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":["
    "{\"type\":\"NFC\"},{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":"
    "\"\\u2581\"}]},\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},"
    "{\"type\":\"Fuse\"}]},\"added_tokens\":[{\"id\":9,\"content\":\"<s>\",\"special\":true}]}";

static void encode(const struct tokenizer *t, const char *text, size_t len, struct ids *ids)
{
    struct buf back = {0};
    struct errmsg e;

    if (tokenizer_encode(t, text, len, TOKENIZER_SPECIALS | TOKENIZER_BOS, ids, &e)) {
        assert(!ids->n);
        return;
    }
    for (size_t i = 0; i < ids->n; i++)
        assert(ids->at[i] >= 0 && ids->at[i] < tokenizer_size(t));
    assert(!tokenizer_decode(t, ids->at, ids->n, &back));
    buf_fini(&back);
}

/* Two tokenizers that are to be the same. */
static void compare(const struct tokenizer *a, const struct tokenizer *b, const char *text,
                    size_t len)
{
    struct ids x = {0}, y = {0};

    assert(tokenizer_size(a) == tokenizer_size(b));
    for (int32_t id = 0; id < tokenizer_size(a); id++) {
        size_t n = 0, m = 0;
        const char *s = tokenizer_spelling(a, id, &n), *u = tokenizer_spelling(b, id, &m);

        assert(!s == !u && n == m && (!s || !memcmp(s, u, n)));
    }
    encode(a, text, len, &x);
    encode(b, text, len, &y);
    assert(x.n == y.n && (!x.n || !memcmp(x.at, y.at, x.n * sizeof x.at[0])));
    ids_fini(&x);
    ids_fini(&y);
}

static void check_image(const struct tokenizer *t, const char *text, size_t len)
{
    struct buf image = {0};
    struct tokenizer *again;
    struct errmsg e;

    assert(!tokenizer_save(t, &image));
    assert(!tokenizer_load(&again, image.data, image.len, "image", &e));
    compare(t, again, text, len);
    tokenizer_close(&again);
    buf_fini(&image);
}

static void try_file(const char *file, size_t file_len, const char *text, size_t len)
{
    json_t *tree = json_loadb(file, file_len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    struct tokenizer *t, *slow = NULL;
    struct errmsg e;
    int rc = tokenizer_parse(&t, file, file_len, "file", &e);

    if (tree) assert(!tokenizer_from_json(&slow, tree, "file", &e) == !rc);
    assert(tree || rc); /* N1 */
    if (!rc) {
        compare(t, slow, text, len);
        check_image(t, text, len);
    }
    tokenizer_close(&t);
    tokenizer_close(&slow);
    json_decref(tree);
}

/* data: patches of four bytes: part, place, and what is put there. */
static void try_image(const uint8_t *data, size_t size, const char *text, size_t len)
{
    struct tokenizer *t;
    struct image_part parts[MAX_PARTS];
    struct buf image = {0}, lying = {0};
    struct ids ids = {0};
    struct errmsg e;

    assert(!tokenizer_parse(&t, GOOD, sizeof GOOD - 1, "good", &e));
    assert(!tokenizer_save(t, &image));
    tokenizer_close(&t);
    assert(!image_read(parts, MAX_PARTS, image.data, image.len, &e));
    for (; size >= 4; data += 4, size -= 4) {
        struct image_part *p = &parts[data[0] % MAX_PARTS];

        if (data[0] >= 128) p->len = p->len < data[1] ? 0 : p->len - data[1];
        if (p->len) ((char *)(uintptr_t)p->at)[(data[1] + 256u * data[2]) % p->len] = (char)data[3];
    }
    assert(!image_write(&lying, parts, MAX_PARTS));
    if (!tokenizer_load(&t, lying.data, lying.len, "lying", &e)) encode(t, text, len, &ids);
    tokenizer_close(&t);
    ids_fini(&ids);
    buf_fini(&image);
    buf_fini(&lying);
}

/* The text is what stands behind the last 0xFF, which is in no UTF-8. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *mark = memrchr(data, 0xFF, size);
    const size_t file_len = mark ? (size_t)(mark - data) : size;
    const char *text = mark ? (const char *)mark + 1 : "ab <s>\n\xC3\xA9 x1234";
    const size_t len = mark ? size - file_len - 1 : strlen(text);

    if (len > MAX_TEXT) return 0;
    if (file_len && data[0] == 'I')
        try_image(data + 1, file_len - 1, text, len);
    else
        try_file((const char *)data, file_len, text, len);
    return 0;
}
