/* encoder.c - the way of a text to ids. */
#include "model/encoder.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "model/bpe.h"
#include "model/letters.h"
#include "model/wordcache.h"

#define MAX_IDLE   8
#define KEEP_BYTES ((size_t)1 << 20) /* an idle desk gives back what a long text made it take */
#define MARK       "\xE2\x96\x81"    /* U+2581: a space, in SentencePiece's spelling */
#define MARK_BYTES (sizeof MARK - 1)

/* One call's memory. */
struct desk {
    struct words words;
    struct buf normal;
    struct buf letters;
    struct ids first; /* a word's ids before merges */
    struct bpe_work bpe;
    struct wordcache cache;
};

struct encoder {
    struct encoder_parts parts;
    scanner *scan; /* cuts the text into words in one pass, or NULL */
    bool byte_level;
    bool seams;            /* E2 */
    int32_t byte_ids[256]; /* the id of each byte: its letter's, or its <0xNN>; -1: none */
    int32_t unk;           /* -1: none */
    bool fuse_unk;
    bool byte_fallback;
    bool ignore_merges; /* a word that is a token is that token */
    pthread_mutex_t lock;
    struct desk *idle[MAX_IDLE]; /* under the lock, as is n_idle */
    int n_idle;
};

static void desk_close(struct desk **d)
{
    if (!*d) return;
    words_fini(&(*d)->words);
    buf_fini(&(*d)->normal);
    buf_fini(&(*d)->letters);
    ids_fini(&(*d)->first);
    bpe_work_fini(&(*d)->bpe);
    wordcache_fini(&(*d)->cache);
    free(*d);
    *d = NULL;
}

static struct desk *desk_borrow(struct encoder *en)
{
    struct desk *d = NULL;

    pthread_mutex_lock(&en->lock);
    if (en->n_idle) d = en->idle[--en->n_idle];
    pthread_mutex_unlock(&en->lock);
    return d ? d : calloc(1, sizeof *d);
}

static void desk_return(struct encoder *en, struct desk *d)
{
    if (d->words.text.cap + d->normal.cap + d->letters.cap + d->first.cap * sizeof(int32_t) >
        KEEP_BYTES) {
        words_fini(&d->words);
        buf_fini(&d->normal);
        buf_fini(&d->letters);
        ids_fini(&d->first);
        bpe_work_fini(&d->bpe);
    }
    pthread_mutex_lock(&en->lock);
    if (en->n_idle < MAX_IDLE) {
        en->idle[en->n_idle++] = d;
        d = NULL;
    }
    pthread_mutex_unlock(&en->lock);
    desk_close(&d);
}

static int read_unk(struct encoder *en, const json_t *m, struct errmsg *e)
{
    const json_t *unk = json_object_get(m, "unk_token");

    en->unk = -1;
    if (json_is_string(unk)) {
        en->unk = vocab_find(en->parts.vocab, json_string_value(unk), json_string_length(unk));
        if (en->unk < 0)
            return err_set(e, ERR_FORMAT, "model: unk_token '%.60s' is not in the vocabulary",
                           json_string_value(unk));
    }
    en->fuse_unk = json_is_true(json_object_get(m, "fuse_unk"));
    en->byte_fallback = json_is_true(json_object_get(m, "byte_fallback"));
    en->ignore_merges = json_is_true(json_object_get(m, "ignore_merges"));
    return ERR_OK;
}

/* The ids of single bytes, in the spelling of the style. */
static int find_bytes(struct encoder *en, struct errmsg *e)
{
    for (int b = 0; b < 256; b++) {
        struct buf letter = {0};
        char c = (char)b;

        if (en->byte_level ? letters_put(&letter, &c, 1)
                           : buf_printf(&letter, "<0x%02X>", (unsigned)b))
            return err_set(e, ERR_NOMEM, "tokenizer: no memory");
        en->byte_ids[b] = vocab_find(en->parts.vocab, letter.data, letter.len);
        buf_fini(&letter);
        if (en->byte_level && en->byte_ids[b] < 0 && en->unk < 0 && b >= ' ' && b <= '~')
            return err_set(e, ERR_FORMAT, "model: byte %d has no token", b); /* T1 */
    }
    return ERR_OK;
}

/* The first mark behind some other character; len when there is none. */
static size_t next_seam(const char *s, size_t len)
{
    for (size_t at = 1; at < len; at++) {
        const char *hit = memchr(s + at, MARK[0], len - at);

        if (!hit) return len;
        at = (size_t)(hit - s);
        if (len - at < MARK_BYTES || memcmp(hit, MARK, MARK_BYTES)) continue;
        if (at < MARK_BYTES || memcmp(hit - MARK_BYTES, MARK, MARK_BYTES)) return at;
    }
    return len;
}

static bool has_seams(const struct encoder *en)
{
    size_t n_slots, len;
    const struct merge *slots = merges_slots(en->parts.merges, &n_slots);

    if (en->byte_level || en->ignore_merges || vocab_find(en->parts.vocab, MARK, MARK_BYTES) < 0)
        return false;
    for (size_t i = 0; i < n_slots; i++) {
        const char *text =
            slots[i].left < 0 ? NULL : vocab_text(en->parts.vocab, slots[i].joined, &len);

        if (text && next_seam(text, len) < len) return false;
    }
    return true;
}

int encoder_open(struct encoder **out, const struct encoder_parts *parts, const json_t *model,
                 struct errmsg *e)
{
    struct encoder *en = calloc(1, sizeof *en);
    int rc;

    *out = NULL;
    if (!en || pthread_mutex_init(&en->lock, NULL)) {
        free(en);
        return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    }
    en->parts = *parts;
    en->byte_level = pretoken_is_byte_level(parts->pretoken);
    en->scan = pretoken_scanner(parts->pretoken);
    rc = read_unk(en, model, e);
    if (!rc) rc = find_bytes(en, e);
    if (rc) {
        encoder_close(&en);
        return rc;
    }
    en->seams = has_seams(en);
    *out = en;
    return ERR_OK;
}

void encoder_close(struct encoder **en)
{
    if (!*en) return;
    while ((*en)->n_idle)
        desk_close(&(*en)->idle[--(*en)->n_idle]);
    pthread_mutex_destroy(&(*en)->lock);
    free(*en);
    *en = NULL;
}

/* Byte-level: one id for each byte; one that has none is left out, as the tokenizers library does.
 */
static int spell_bytes(const struct encoder *en, struct ids *word, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int32_t id = en->byte_ids[(unsigned char)s[i]];

        if (id < 0) id = en->unk;
        if (id >= 0 && ids_add(word, id)) return ERR_NOMEM;
    }
    return ERR_OK;
}

static bool has_byte_ids(const struct encoder *en, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (en->byte_ids[(unsigned char)s[i]] < 0) return false;
    return en->byte_fallback;
}

/* SentencePiece style: one id for each character, else its bytes, else the unknown token. */
static int spell_chars(const struct encoder *en, struct ids *word, const char *s, size_t len,
                       struct errmsg *e)
{
    bool after_unk = false;

    for (size_t at = 0; at < len;) {
        int n = utf8_next(s + at, len - at, NULL);
        size_t k = n > 0 ? (size_t)n : 1;
        int32_t id = vocab_find(en->parts.vocab, s + at, k);
        int rc = ERR_OK;

        if (id < 0 && has_byte_ids(en, s + at, k)) {
            rc = spell_bytes(en, word, s + at, k);
            after_unk = false;
        } else if (id < 0 && en->unk < 0) {
            return err_set(e, ERR_FORMAT, "the character '%.*s' has no token", (int)k, s + at);
        } else {
            if (id >= 0 || !after_unk || !en->fuse_unk) rc = ids_add(word, id >= 0 ? id : en->unk);
            after_unk = id < 0;
        }
        if (rc) return rc;
        at += k;
    }
    return ERR_OK;
}

/* The id of the whole word, -1 when it is no token. */
static int find_word(const struct encoder *en, struct desk *d, const char *s, size_t len,
                     int32_t *id)
{
    if (en->byte_level) {
        buf_clear(&d->letters);
        if (letters_put(&d->letters, s, len)) return ERR_NOMEM;
        s = d->letters.data;
        len = d->letters.len;
    }
    *id = vocab_find(en->parts.vocab, s, len);
    return ERR_OK;
}

static int join_word(const struct encoder *en, struct desk *d, const char *s, size_t len,
                     struct ids *out, struct errmsg *e)
{
    int32_t whole = -1;
    int rc = en->ignore_merges ? find_word(en, d, s, len, &whole) : ERR_OK;

    if (rc) return rc;
    if (whole >= 0) return ids_add(out, whole);
    d->first.n = 0;
    rc =
        en->byte_level ? spell_bytes(en, &d->first, s, len) : spell_chars(en, &d->first, s, len, e);
    return rc ? rc : bpe_join(en->parts.merges, &d->bpe, d->first.at, d->first.n, out);
}

static int encode_word(const struct encoder *en, struct desk *d, const char *s, size_t len,
                       struct ids *out, struct errmsg *e)
{
    const struct wordcache_entry *hit;
    const size_t before = out->n;
    int rc = wordcache_find(&d->cache, s, len, &hit);

    for (size_t i = 0; !rc && hit && i < hit->n; i++)
        rc = ids_add(out, hit->ids[i]);
    if (rc || hit) return rc;
    rc = join_word(en, d, s, len, out, e);
    if (!rc) wordcache_keep(&d->cache, s, len, out->at + before, out->n - before);
    return rc;
}

/* A word of the pre-tokenizer: in one piece, or cut at its seams. */
static int encode_seams(const struct encoder *en, struct desk *d, const char *s, size_t len,
                        struct ids *out, struct errmsg *e)
{
    int rc = ERR_OK;

    if (!en->seams) return encode_word(en, d, s, len, out, e);
    for (size_t end; len && !rc; s += end, len -= end) {
        end = next_seam(s, len);
        rc = encode_word(en, d, s, end, out, e);
    }
    return rc;
}

/* A run of normalized text without added tokens. */
static int encode_run(const struct encoder *en, struct desk *d, const char *s, size_t len,
                      bool first, struct ids *out, struct errmsg *e)
{
    int rc = ERR_OK;

    if (!len) return ERR_OK;
    if (en->scan) {
        for (size_t at = 0, end; at < len && !rc; at = end) {
            end = en->scan(s, len, at);
            rc = encode_word(en, d, s + at, end - at, out, e);
        }
        return rc;
    }
    buf_clear(&d->words.text);
    rc = buf_add(&d->words.text, s, len);
    if (!rc) rc = pretoken_cut(en->parts.pretoken, &d->words, first, e);
    for (size_t i = 0; i < d->words.n && !rc; i++)
        rc =
            encode_seams(en, d, d->words.text.data + d->words.at[i].at, d->words.at[i].len, out, e);
    return rc;
}

struct text {
    const char *at;
    size_t len;
};

/* The text as the normalizer leaves it: as it lies where nothing changes. */
static int normalize(const struct encoder *en, struct desk *d, struct text *t, struct errmsg *e)
{
    int rc;

    if (normal_leaves(en->parts.normal, t->at, t->len)) return ERR_OK;
    buf_clear(&d->normal);
    rc = buf_add(&d->normal, t->at, t->len);
    if (!rc) rc = normal_apply(en->parts.normal, &d->normal, e);
    *t = (struct text){d->normal.data, d->normal.len};
    return rc;
}

/* A run of the caller's text without unnormalized added tokens: normalize it, then look for the
 * normalized ones. */
static int encode_plain(const struct encoder *en, struct desk *d, struct text t, bool first,
                        bool specials, struct ids *out, struct errmsg *e)
{
    struct added_hit hit;
    size_t at = 0;
    int rc;

    if (!t.len) return ERR_OK;
    rc = normalize(en, d, &t, e);
    while (!rc && added_next(en->parts.added, t.at, t.len, at, true, specials, &hit)) {
        rc = encode_run(en, d, t.at + at, hit.begin - at, first && !at, out, e);
        if (!rc) rc = ids_add(out, hit.id);
        at = hit.end;
    }
    if (!rc && t.len) rc = encode_run(en, d, t.at + at, t.len - at, first && !at, out, e);
    return rc;
}

static int encode_all(const struct encoder *en, struct desk *d, struct text t, bool specials,
                      struct ids *out, struct errmsg *e)
{
    struct added_hit hit;
    size_t at = 0;
    int rc = ERR_OK;

    while (!rc && added_next(en->parts.added, t.at, t.len, at, false, specials, &hit)) {
        rc = encode_plain(en, d, (struct text){t.at + at, hit.begin - at}, !at, specials, out, e);
        if (!rc) rc = ids_add(out, hit.id);
        at = hit.end;
    }
    if (!rc && t.len)
        rc = encode_plain(en, d, (struct text){t.at + at, t.len - at}, !at, specials, out, e);
    return rc;
}

int encoder_run(struct encoder *en, const char *text, size_t len, bool specials, struct ids *out,
                struct errmsg *e)
{
    struct desk *d = desk_borrow(en);
    int rc;

    if (!d) return err_set(e, ERR_NOMEM, "tokenizer: no memory");
    rc = encode_all(en, d, (struct text){text, len}, specials, out, e);
    if (rc == ERR_NOMEM) err_set(e, rc, "tokenizer: no memory");
    desk_return(en, d);
    return rc;
}
