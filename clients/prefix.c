/* prefix.c - which rows of a submit begin alike. */
#include "clients/prefix.h"

#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clients/member.h"

#define TEXT_BYTES (PREFIX_BYTES << (PREFIX_KEYS - 1))
#define MOST       (PREFIX_SLOTS / 4 * 3) /* slots in use, at most */
#define KEPT       (MOST / 2)             /* of those noted twice */
#define TWICE      ((uint64_t)1)          /* a key's lowest bit: it was noted more than once */

struct prefix {
    uint64_t *slots; /* [PREFIX_SLOTS] 0: free */
    uint64_t *kept;  /* [KEPT] */
    size_t used;
    char text[TEXT_BYTES];
    size_t len;
};

int prefix_open(struct prefix **out)
{
    struct prefix *p = calloc(1, sizeof *p);

    if (p) {
        p->slots = calloc(PREFIX_SLOTS, sizeof *p->slots);
        p->kept = calloc(KEPT, sizeof *p->kept);
        if (!p->slots || !p->kept) prefix_close(&p);
    }
    *out = p;
    return p ? ERR_OK : ERR_NOMEM;
}

void prefix_close(struct prefix **p)
{
    if (!*p) return;
    free((*p)->slots);
    free((*p)->kept);
    free(*p);
    *p = NULL;
}

/* --- a body's text ---------------------------------------------------------------------------- */

static void add_text(struct prefix *p, const struct member *m)
{
    size_t n = m->value_len < TEXT_BYTES - p->len ? m->value_len : TEXT_BYTES - p->len;

    memcpy(p->text + p->len, m->value, n);
    p->len += n;
}

/* The last member of this name, as JSON means it; the object is compact. */
static bool find(const char *object, size_t len, const char *name, struct member *out)
{
    struct member m;
    size_t at = 0;
    bool found = false;

    while (member_next(object, len, &at, &m))
        if (member_is(&m, name)) {
            *out = m;
            found = true;
        }
    return found;
}

/* The messages are objects in a compact array. */
static void add_messages(struct prefix *p, const struct member *messages)
{
    struct member role, content;
    const char *at = messages->value + 1, *end = messages->value + messages->value_len;

    while (at < end && *at == '{' && p->len < TEXT_BYTES) {
        size_t len = member_value_len(at, (size_t)(end - at));

        if (find(at, len, "role", &role)) add_text(p, &role);
        if (find(at, len, "content", &content)) add_text(p, &content);
        at += len + 1; /* over the comma, or the bracket */
    }
}

/* --- keys ------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t h)
{
    h ^= h >> 32;
    h *= 0x9E3779B97F4A7C15u; /* 2^64 over the golden ratio: odd, and without a pattern */
    return h ^ h >> 29;
}

void prefix_read(struct prefix *p, enum endpoint endpoint, const char *body, size_t len,
                 struct prefix_keys *keys)
{
    struct member m;
    uint64_t h = mix((uint64_t)endpoint + 1), word;
    size_t at = 0;

    p->len = 0;
    keys->n = 0;
    if (len < PREFIX_BYTES) return;
    if (endpoint == ENDPOINT_COMPLETION && find(body, len, "prompt", &m))
        add_text(p, &m);
    else if (endpoint == ENDPOINT_CHAT && find(body, len, "messages", &m))
        add_messages(p, &m);
    for (size_t end = PREFIX_BYTES; end <= p->len; end *= 2) {
        for (; at < end; at += sizeof word) {
            memcpy(&word, p->text + at, sizeof word);
            h = mix(h ^ le64toh(word));
        }
        keys->at[keys->n++] = (mix(h + end) & ~TWICE) | 2; /* never 0 */
    }
}

/* --- the table -------------------------------------------------------------------------------- */

static uint64_t *place(const struct prefix *p, uint64_t key)
{
    size_t i = (size_t)(key >> 20) & (PREFIX_SLOTS - 1);

    while (p->slots[i] && (p->slots[i] & ~TWICE) != key)
        i = (i + 1) & (PREFIX_SLOTS - 1);
    return &p->slots[i];
}

/* Forgets what was noted once.  The rest is put in anew, since a gap would hide what is behind it.
 */
static void forget(struct prefix *p)
{
    size_t n = 0;

    for (size_t i = 0; i < PREFIX_SLOTS; i++) {
        if (p->slots[i] & TWICE && n < KEPT) p->kept[n] = p->slots[i];
        n += p->slots[i] & TWICE;
    }
    memset(p->slots, 0, PREFIX_SLOTS * sizeof *p->slots);
    p->used = n <= KEPT ? n : 0;
    for (size_t i = 0; i < p->used; i++)
        *place(p, p->kept[i] ^ TWICE) = p->kept[i];
}

void prefix_note(struct prefix *p, const struct prefix_keys *keys)
{
    if (p->used + PREFIX_KEYS > MOST) forget(p);
    for (int i = 0; i < keys->n; i++) {
        uint64_t *slot = place(p, keys->at[i]);

        p->used += !*slot;
        *slot = *slot ? *slot | TWICE : keys->at[i];
    }
}

int64_t prefix_group(const struct prefix *p, const struct prefix_keys *keys)
{
    for (int i = keys->n; i-- > 0;)
        if (*place(p, keys->at[i]) & TWICE) return (int64_t)(keys->at[i] >> 1);
    return 0;
}

size_t prefix_known(const struct prefix *p, const struct prefix_keys *keys)
{
    for (int i = keys->n; i-- > 0;)
        if (*place(p, keys->at[i])) return (size_t)PREFIX_BYTES << i;
    return 0;
}
