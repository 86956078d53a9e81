/* jsontext.c - bytes as a JSON string. */
#include "clients/jsontext.h"

#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/utf8.h"

#define EACH(byte) ((uint64_t)0x0101010101010101 * (byte))

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* Are all eight plain?  The subtractions borrow from a neighbour only when one byte is not, and
 * then the answer is no already. */
static bool are_plain(const char *s)
{
    uint64_t w;

    memcpy(&w, s, sizeof w);
    return !((w | (w - EACH(0x20)) | ((w ^ EACH('"')) - EACH(1)) | ((w ^ EACH('\\')) - EACH(1))) &
             EACH(0x80));
}

/* Bytes at s that can be copied: plain ones and whole characters beyond ASCII. */
static size_t copyable(const char *s, size_t len)
{
    size_t n = 0;

    while (n < len) {
        if (n + 8 <= len && are_plain(s + n)) {
            n += 8;
        } else if (is_plain((unsigned char)s[n])) {
            n++;
        } else {
            const int more = (unsigned char)s[n] < 0x80 ? 0 : utf8_next(s + n, len - n, NULL);

            if (more <= 0) break;
            n += (size_t)more;
        }
    }
    return n;
}

static void escape(struct buf *out, unsigned char c)
{
    static const char NAMES[] = "\"\"\\\\\bb\ff\nn\rr\tt", HEX[] = "0123456789ABCDEF";
    char text[6] = {'\\', 'u', '0', '0', HEX[c >> 4], HEX[c & 15]};

    for (size_t i = 0; i + 1 < sizeof NAMES; i += 2) {
        if ((unsigned char)NAMES[i] != c) continue;
        text[1] = NAMES[i + 1];
        buf_add(out, text, 2);
        return;
    }
    buf_add(out, text, sizeof text);
}

/* The inside of the string. */
static void add_inside(struct buf *out, const char *s, size_t len)
{
    struct buf good = {0};

    while (len) {
        const size_t n = copyable(s, len);

        buf_add(out, s, n);
        s += n;
        len -= n;
        if (!len) break;
        if ((unsigned char)*s >= 0x80) break;
        escape(out, (unsigned char)*s);
        s++;
        len--;
    }
    if (!len) return;
    if (utf8_repair(&good, s, len))
        out->failed = true;
    else
        add_inside(out, good.data, good.len); /* once: now it is well formed */
    buf_fini(&good);
}

int jsontext_add(struct buf *out, const char *s, size_t len)
{
    if (!s) return buf_add(out, "null", 4);
    buf_addc(out, '"');
    add_inside(out, s, len);
    buf_addc(out, '"');
    return out->failed ? ERR_NOMEM : ERR_OK;
}

int jsontext_adds(struct buf *out, const char *text)
{
    return jsontext_add(out, text, text ? strlen(text) : 0);
}
