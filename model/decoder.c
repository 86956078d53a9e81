/* decoder.c - the decoder of tokenizer.json. */
#include "model/decoder.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "model/letters.h"
#include "model/pattern.h"

#define MAX_STEPS 16
#define MAX_TOKEN ((size_t)1 << 20) /* bytes of one, where something is replaced in it */
#define MAX_BYTES ((size_t)1 << 30)
#define KNOWN     "Sequence, ByteLevel, Metaspace, ByteFallback, Replace, Fuse, Strip"

enum kind { BYTE_LEVEL, BYTE_FALLBACK, REPLACE, FUSE, STRIP };

struct step {
    enum kind kind;
    struct pattern *pattern; /* REPLACE */
    char content[32];
};

struct decoder {
    int n;
    struct step steps[MAX_STEPS];
    bool fused;
    char strip[32]; /* taken off the front of a text, at most strip_max times */
    json_int_t strip_max;
    struct decoder_arrays a;
    struct buf bytes; /* what a points at, or nothing */
    uint32_t *at;
};

static struct step *add_step(struct decoder *d, enum kind kind, const char *content)
{
    struct step *s;

    if (d->n == MAX_STEPS || strlen(content) >= sizeof s->content) return NULL;
    s = &d->steps[d->n++];
    s->kind = kind;
    strcpy(s->content, content);
    return s;
}

static int too_much(struct errmsg *e)
{
    return err_set(e, ERR_UNSUPPORTED, "decoder: more than %d steps, or a text over %zu bytes",
                   MAX_STEPS, sizeof((struct step *)0)->content - 1);
}

static int read_replace(struct decoder *d, const json_t *spec, struct errmsg *e)
{
    const char *content = json_string_value(json_object_get(spec, "content"));
    struct step *s = content ? add_step(d, REPLACE, content) : NULL;

    if (!s) return too_much(e);
    return pattern_open(&s->pattern, json_object_get(spec, "pattern"), e);
}

static int read_strip(struct decoder *d, const json_t *spec, struct errmsg *e)
{
    const char *content = json_string_value(json_object_get(spec, "content"));
    json_int_t stop = json_integer_value(json_object_get(spec, "stop"));

    if (!content || !*content || strlen(content) >= sizeof d->strip) return too_much(e);
    if (!d->fused || stop || d->strip_max)
        return err_set(e, ERR_UNSUPPORTED,
                       "decoder Strip: known is one strip of leading text, behind Fuse");
    d->strip_max = json_integer_value(json_object_get(spec, "start"));
    strcpy(d->strip, content);
    return ERR_OK;
}

static int read_metaspace(struct decoder *d, const json_t *spec, struct errmsg *e)
{
    const char *mark = json_string_value(json_object_get(spec, "replacement"));
    const char *scheme = json_string_value(json_object_get(spec, "prepend_scheme"));
    bool strips = scheme ? strcmp(scheme, "never") != 0
                         : !json_is_false(json_object_get(spec, "add_prefix_space"));
    json_t *pattern = json_pack("{ss}", "String", mark ? mark : "");
    struct step *s = add_step(d, REPLACE, " ");
    int rc = s && pattern ? pattern_open(&s->pattern, pattern, e) : too_much(e);

    json_decref(pattern);
    if (strips) {
        d->strip_max = 1;
        strcpy(d->strip, " ");
    }
    return rc;
}

static int read_spec(struct decoder *d, const json_t *spec, int depth, struct errmsg *e)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const json_t *list = json_object_get(spec, "decoders");
    int rc = ERR_OK;

    if (!type) return err_set(e, ERR_UNSUPPORTED, "decoder: none; known are " KNOWN);
    if (!strcmp(type, "Sequence") && depth < MAX_STEPS) {
        for (size_t i = 0; i < json_array_size(list) && !rc; i++)
            rc = read_spec(d, json_array_get(list, i), depth + 1, e);
        return rc;
    }
    if (!strcmp(type, "Strip")) return read_strip(d, spec, e);
    if (d->fused && strcmp(type, "Fuse"))
        return err_set(e, ERR_UNSUPPORTED, "decoder %.60s behind Fuse", type);
    if (!strcmp(type, "Replace")) return read_replace(d, spec, e);
    if (!strcmp(type, "Metaspace")) return read_metaspace(d, spec, e);
    if (!strcmp(type, "ByteLevel")) return add_step(d, BYTE_LEVEL, "") ? ERR_OK : too_much(e);
    if (!strcmp(type, "ByteFallback")) return add_step(d, BYTE_FALLBACK, "") ? ERR_OK : too_much(e);
    if (!strcmp(type, "Fuse")) {
        d->fused = true;
        return ERR_OK;
    }
    return err_set(e, ERR_UNSUPPORTED, "decoder %.60s; known are " KNOWN, type);
}

static int hex(char c)
{
    const char *digits = "0123456789ABCDEF", *p = c ? strchr(digits, c) : NULL;

    return p ? (int)(p - digits) : -1;
}

/* "<0x0A>" is one byte; anything else is itself. */
static int run_fallback(struct buf *text)
{
    const char *t = text->data;
    int high, low;

    if (text->len != 6 || memcmp(t, "<0x", 3) || t[5] != '>') return ERR_OK;
    high = hex(t[3]);
    low = hex(t[4]);
    if (high < 0 || low < 0) return ERR_OK;
    buf_clear(text);
    return buf_addc(text, (char)(high * 16 + low));
}

static int run_letters(struct buf *text)
{
    struct buf out = {0};

    if (letters_read(&out, text->data, text->len)) {
        buf_fini(text);
        *text = out;
        return ERR_OK;
    }
    buf_fini(&out);
    return out.failed ? ERR_NOMEM : ERR_OK; /* a token that is not in letters is itself */
}

static int run_steps(const struct decoder *d, struct buf *text, bool plain, struct errmsg *e)
{
    int rc = ERR_OK;

    for (int i = 0; i < d->n && !rc; i++) {
        const struct step *s = &d->steps[i];

        if (!text->len) break;
        if (s->kind == REPLACE)
            rc = pattern_replace(s->pattern, text, s->content, strlen(s->content), MAX_TOKEN, e);
        if (s->kind == BYTE_FALLBACK) rc = run_fallback(text);
        if (s->kind == BYTE_LEVEL && !plain) rc = run_letters(text);
    }
    return rc;
}

static int fill(struct decoder *d, const struct vocab *v, const unsigned char *plain,
                struct errmsg *e)
{
    struct buf text = {0};
    int rc = ERR_OK;

    d->a.size = (size_t)vocab_size(v);
    d->at = calloc(d->a.size + 1, sizeof *d->at);
    if (!d->at) return ERR_NOMEM;
    for (size_t id = 0; id < d->a.size && !rc; id++) {
        size_t len;
        const char *spelling = vocab_text(v, (int32_t)id, &len);

        d->at[id] = (uint32_t)d->bytes.len;
        buf_clear(&text);
        if (spelling) rc = buf_add(&text, spelling, len);
        if (!rc) rc = run_steps(d, &text, plain[id], e);
        if (!rc && text.len) rc = buf_add(&d->bytes, text.data, text.len);
        if (!rc && d->bytes.len > MAX_BYTES)
            rc = err_set(e, ERR_FORMAT, "decoder: more than %zu bytes of text", MAX_BYTES);
    }
    d->at[d->a.size] = (uint32_t)d->bytes.len;
    d->a.bytes = d->bytes.data ? d->bytes.data : "";
    d->a.n_bytes = d->bytes.len;
    d->a.at = d->at;
    buf_fini(&text);
    return rc;
}

static int take_arrays(struct decoder *d, const struct vocab *v, const struct decoder_arrays *a,
                       struct errmsg *e)
{
    if (a->size != (size_t)vocab_size(v))
        return err_set(e, ERR_FORMAT, "decoder: %zu ids, and the vocabulary has %d", a->size,
                       vocab_size(v));
    for (size_t i = 0; i <= a->size; i++)
        if (a->at[i] > a->n_bytes || (i && a->at[i] < a->at[i - 1]))
            return err_set(e, ERR_FORMAT, "decoder: id %zu lies outside", i);
    d->a = *a;
    return ERR_OK;
}

int decoder_open(struct decoder **out, const json_t *spec, const struct vocab *v,
                 const unsigned char *plain, const struct decoder_arrays *arrays, struct errmsg *e)
{
    struct decoder *d = calloc(1, sizeof *d);
    int rc = d ? read_spec(d, spec, 0, e) : ERR_NOMEM;

    if (!rc) rc = arrays ? take_arrays(d, v, arrays, e) : fill(d, v, plain, e);
    if (rc == ERR_NOMEM) err_set(e, rc, "decoder: no memory");
    if (rc) decoder_close(&d);
    *out = d;
    return rc;
}

void decoder_close(struct decoder **d)
{
    if (!*d) return;
    for (int i = 0; i < (*d)->n; i++)
        pattern_close(&(*d)->steps[i].pattern);
    buf_fini(&(*d)->bytes);
    free((*d)->at);
    free(*d);
    *d = NULL;
}

struct decoder_arrays decoder_arrays(const struct decoder *d)
{
    return d->a;
}

const char *decoder_bytes(const struct decoder *d, int32_t id, bool first, size_t *len)
{
    size_t strip = strlen(d->strip);
    const char *bytes;

    *len = 0;
    if (id < 0 || (size_t)id >= d->a.size) return "";
    bytes = d->a.bytes + d->a.at[id];
    *len = d->a.at[id + 1] - d->a.at[id];
    for (json_int_t i = 0; first && i < d->strip_max && *len >= strip; i++) {
        if (memcmp(bytes, d->strip, strip)) break;
        bytes += strip;
        *len -= strip;
    }
    return bytes;
}
