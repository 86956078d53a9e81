/* gguf_value.c - the values of a GGUF's keys, read by type. */
#include <string.h>

#include "model/gguf.h"

static uint64_t bits(const char *at, size_t bytes)
{
    uint64_t v = 0;

    memcpy(&v, at, bytes);
    return v;
}

bool gguf_int(const struct gguf_value *v, size_t i, int64_t *out)
{
    uint64_t u;

    if (!v || i >= v->n) return false;
    switch (v->type) {
    case GGUF_U8: *out = (uint8_t)v->at[i]; return true;
    case GGUF_I8: *out = (int8_t)v->at[i]; return true;
    case GGUF_U16: *out = (uint16_t)bits(v->at + i * 2, 2); return true;
    case GGUF_I16: *out = (int16_t)bits(v->at + i * 2, 2); return true;
    case GGUF_U32: *out = (uint32_t)bits(v->at + i * 4, 4); return true;
    case GGUF_I32: *out = (int32_t)bits(v->at + i * 4, 4); return true;
    case GGUF_U64:
        u = bits(v->at + i * 8, 8);
        if (u > INT64_MAX) return false;
        *out = (int64_t)u;
        return true;
    case GGUF_I64: *out = (int64_t)bits(v->at + i * 8, 8); return true;
    default: return false;
    }
}

bool gguf_number(const struct gguf_value *v, size_t i, double *out)
{
    int64_t n;
    float f;

    if (gguf_int(v, i, &n)) {
        *out = (double)n;
        return true;
    }
    if (!v || i >= v->n) return false;
    if (v->type == GGUF_F64) {
        memcpy(out, v->at + i * 8, 8);
        return true;
    }
    if (v->type != GGUF_F32) return false;
    memcpy(&f, v->at + i * 4, 4);
    *out = (double)f;
    return true;
}

bool gguf_bool(const struct gguf_value *v, bool *out)
{
    if (!v || v->type != GGUF_BOOL || v->is_array) return false;
    *out = *v->at != 0;
    return true;
}

bool gguf_text(const struct gguf_value *v, size_t *at, const char **text, size_t *len)
{
    if (!v || v->type != GGUF_TEXT || *at >= v->bytes) return false;
    *len = (size_t)bits(v->at + *at, 8);
    *text = v->at + *at + 8;
    *at += 8 + *len;
    return true;
}

int gguf_architecture(char *out, size_t size, const struct gguf *g, struct errmsg *e)
{
    const struct gguf_value *v = gguf_find(g, "general.architecture");
    const char *text = "";
    size_t at = 0, len = 0;

    if (!v || v->is_array || !gguf_text(v, &at, &text, &len) || !len || len >= size)
        return err_set(e, ERR_FORMAT, "%s: general.architecture is %s", gguf_path(g),
                       v ? "no name" : "missing");
    memcpy(out, text, len);
    out[len] = 0;
    return ERR_OK;
}
