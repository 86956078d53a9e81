/* html.c - text that may stand in HTML and SVG. */
#include "clients/html.h"

#include <string.h>

#include "base/utf8.h"

static int add_char(struct buf *out, char c)
{
    switch (c) {
    case '&': return buf_adds(out, "&amp;");
    case '<': return buf_adds(out, "&lt;");
    case '>': return buf_adds(out, "&gt;");
    case '"': return buf_adds(out, "&quot;");
    case '\'': return buf_adds(out, "&#39;");
    default: break;
    }
    if (((unsigned char)c < 0x20 && c != '\n' && c != '\t') || c == 0x7F) return ERR_OK;
    return buf_addc(out, c);
}

int html_text(struct buf *out, const char *s)
{
    struct buf whole = {0};
    int rc = s ? utf8_repair(&whole, s, strlen(s)) : ERR_OK;

    for (size_t i = 0; !rc && i < whole.len; i++)
        rc = add_char(out, whole.data[i]);
    buf_fini(&whole);
    return rc;
}
