/* image.c - arrays in one run of bytes. */
#include "model/image.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"

struct header {
    char magic[8];
    uint32_t version;
    uint32_t n_parts;
    uint64_t len; /* of the whole image */
    char hash[40];
    struct {
        uint64_t at, len;
    } parts[IMAGE_PARTS];
};
_Static_assert(sizeof(struct header) == 320 && sizeof(struct header) % IMAGE_ALIGN == 0,
               "image v1");

static const char MAGIC[8] = {'N', 'M', 'I', 'M', 'A', 'G', 'E', '\n'};

#define HASHED offsetof(struct header, parts) /* the hash is over all from here on */

static void hash_of(char *out, const char *bytes, size_t len)
{
    hash_hex(bytes + HASHED, len - HASHED, out);
}

int image_write(struct buf *out, const struct image_part *parts, size_t n)
{
    static const char ZEROS[IMAGE_ALIGN];
    struct header h = {.version = IMAGE_VERSION, .n_parts = (uint32_t)n};
    char hash[HASH_HEX];

    assert(n <= IMAGE_PARTS);
    memcpy(h.magic, MAGIC, sizeof MAGIC);
    buf_clear(out);
    buf_add(out, &h, sizeof h);
    for (size_t i = 0; i < n; i++) {
        h.parts[i].at = out->len;
        h.parts[i].len = parts[i].len;
        if (parts[i].len) buf_add(out, parts[i].at, parts[i].len);
        buf_add(out, ZEROS, -out->len % IMAGE_ALIGN);
    }
    if (out->failed) return ERR_NOMEM;
    h.len = out->len;
    memcpy(out->data, &h, sizeof h);
    hash_of(hash, out->data, out->len);
    memcpy(out->data + offsetof(struct header, hash), hash, sizeof hash);
    return ERR_OK;
}

int image_read(struct image_part *parts, size_t n, const void *bytes, size_t len, struct errmsg *e)
{
    const char *at = bytes;
    char hash[sizeof((struct header *)0)->hash] = "";
    struct header h;

    if ((uintptr_t)bytes % 16) return err_set(e, ERR_ARG, "image: not aligned in memory");
    if (len < sizeof h) return err_set(e, ERR_FORMAT, "image: %zu bytes, no header", len);
    memcpy(&h, bytes, sizeof h);
    if (memcmp(h.magic, MAGIC, sizeof MAGIC)) return err_set(e, ERR_FORMAT, "image: no magic");
    if (h.version != IMAGE_VERSION)
        return err_set(e, ERR_STALE, "image: version %u, not %u", h.version, IMAGE_VERSION);
    if (h.len != len || h.n_parts != n)
        return err_set(e, ERR_FORMAT, "image: %zu bytes and %u parts, not %llu and %zu", len,
                       h.n_parts, (unsigned long long)h.len, n);
    hash_of(hash, at, len);
    if (memcmp(h.hash, hash, sizeof hash))
        return err_set(e, ERR_FORMAT, "image: the bytes are not those that were written");
    for (size_t i = 0; i < n; i++) {
        const uint64_t from = h.parts[i].at, size = h.parts[i].len;

        if (from % IMAGE_ALIGN || from < sizeof h || from > len || size > len - from)
            return err_set(e, ERR_FORMAT, "image: part %zu lies outside", i);
        parts[i] = (struct image_part){at + from, (size_t)size};
    }
    return ERR_OK;
}
