/* request_scan.c - the common shape of a line, read in one pass. */
#include "clients/request_scan.h"

#include <string.h>

#include "clients/request.h"
#include "clients/request_fields.h"
#include "clients/scan.h"

#define SHORT_DIGITS 9  /* of a count: below REQUEST_MAX_TOKENS */
#define LONG_DIGITS  18 /* of a seed: below 2^63 */

struct shape {
    struct scan s;
    struct request *q;
    unsigned seen; /* a bit for each key; a second time is not common */
    char *open;    /* behind the members copied so far of a body that is the line itself */
};

/* --- values ----------------------------------------------------------------------------------- */

static bool take_id(struct shape *p)
{
    struct scan_text t;

    if (!scan_string(&p->s, false, &t) || !t.len || t.len > REQUEST_MAX_ID) return false;
    p->q->has_custom_id = true;
    return !buf_add(&p->q->custom_id, t.at, t.len);
}

static bool take_model(struct shape *p)
{
    struct scan_text t;

    return scan_string(&p->s, false, &t) && t.len && t.len <= REQUEST_MAX_MODEL &&
           !buf_add(&p->q->model, t.at, t.len);
}

static bool take_url(struct shape *p)
{
    struct scan_text t;

    return scan_string(&p->s, false, &t) && endpoint_from_url(&p->q->endpoint, t.at, t.len);
}

static bool take_priority(struct shape *p)
{
    p->q->has_priority = true;
    return scan_integer(&p->s, SHORT_DIGITS, &p->q->priority) &&
           p->q->priority >= -REQUEST_MAX_PRIORITY && p->q->priority <= REQUEST_MAX_PRIORITY;
}

static bool take_count(struct shape *p)
{
    int64_t n;

    return scan_digits(&p->s, SHORT_DIGITS, &n) && n > 0;
}

static bool take_temperature(struct shape *p)
{
    int whole;
    bool rest;

    if (!scan_decimal(&p->s, &whole, &rest)) return false;
    p->q->is_fixed |= !whole && !rest;
    return whole < 2 || (whole == 2 && !rest);
}

static bool take_top_p(struct shape *p)
{
    int whole;
    bool rest;

    return scan_decimal(&p->s, &whole, &rest) && (whole ? whole == 1 && !rest : rest);
}

static bool take_min_p(struct shape *p)
{
    int whole;
    bool rest;

    return scan_decimal(&p->s, &whole, &rest) && (!whole || (whole == 1 && !rest));
}

/* A penalty that changes nothing. */
static bool take_zero(struct shape *p)
{
    int whole;
    bool rest;

    return scan_decimal(&p->s, &whole, &rest) && !whole && !rest;
}

static bool take_seed(struct shape *p)
{
    int64_t seed;

    p->q->is_fixed = true;
    return scan_integer(&p->s, LONG_DIGITS, &seed);
}

static bool take_stop(struct shape *p)
{
    struct scan_text t;
    int n = 0;

    if (!scan_is_next(&p->s, '[')) return scan_string(&p->s, true, &t) && t.len;
    (void)scan_take(&p->s, '[');
    if (scan_take(&p->s, ']')) return true;
    do {
        if (++n > REQUEST_MAX_STOPS || !scan_string(&p->s, true, &t) || !t.len) return false;
    } while (scan_take(&p->s, ','));
    return scan_take(&p->s, ']');
}

/* An object of strings. */
static bool take_metadata(struct shape *p)
{
    struct scan_text t;

    if (!scan_take(&p->s, '{')) return false;
    if (scan_take(&p->s, '}')) return true;
    do
        if (!scan_string(&p->s, false, &t) || !scan_take(&p->s, ':') ||
            !scan_string(&p->s, true, &t))
            return false;
    while (scan_take(&p->s, ','));
    return scan_take(&p->s, '}');
}

/* {"role": "...", "content": "..."}, in either order. */
static bool take_message(struct shape *p)
{
    struct scan_text key, value;
    bool role = false, content = false;

    if (!scan_take(&p->s, '{')) return false;
    do {
        if (!scan_string(&p->s, false, &key) || !scan_take(&p->s, ':')) return false;
        if (key.len == 4 && !memcmp(key.at, "role", 4) && !role) {
            role = true;
            if (!scan_string(&p->s, true, &value) || !value.len) return false;
        } else if (key.len == 7 && !memcmp(key.at, "content", 7) && !content) {
            content = true;
            if (!scan_string(&p->s, true, &value)) return false;
        } else {
            return false;
        }
    } while (scan_take(&p->s, ','));
    return role && content && scan_take(&p->s, '}');
}

static bool take_messages(struct shape *p)
{
    if (!scan_take(&p->s, '[')) return false;
    do
        if (!take_message(p)) return false;
    while (scan_take(&p->s, ','));
    return scan_take(&p->s, ']');
}

static bool take_text(struct shape *p)
{
    struct scan_text t;

    return scan_string(&p->s, true, &t);
}

/* --- members ---------------------------------------------------------------------------------- */

static bool take_method(struct shape *p)
{
    return scan_word(&p->s, "\"POST\"");
}

static bool take_stream(struct shape *p)
{
    return scan_word(&p->s, "false");
}

static bool take_one(struct shape *p)
{
    return scan_word(&p->s, "1");
}

static bool take_flag(struct shape *p)
{
    return scan_word(&p->s, "true") || scan_word(&p->s, "false");
}

static bool take_body(struct shape *p);

enum place { AROUND, BODY, WHOLE }; /* WHOLE: the body itself, which only a line has */

static const struct {
    const char *name;
    size_t len;
    enum place place;
    bool (*take)(struct shape *p);
} KEYS[] = {
#define KEY(name, place, take)                                                                     \
    {                                                                                              \
        name, sizeof name - 1, place, take                                                         \
    }
    KEY("custom_id", AROUND, take_id),
    KEY("method", AROUND, take_method),
    KEY("url", AROUND, take_url),
    KEY("priority", AROUND, take_priority),
    KEY("body", WHOLE, take_body),
    KEY("model", BODY, take_model),
    KEY("messages", BODY, take_messages),
    KEY("prompt", BODY, take_text),
    KEY("max_tokens", BODY, take_count),
    KEY("max_completion_tokens", BODY, take_count),
    KEY("temperature", BODY, take_temperature),
    KEY("top_p", BODY, take_top_p),
    KEY("top_k", BODY, take_count),
    KEY("seed", BODY, take_seed),
    KEY("stop", BODY, take_stop),
    KEY("n", BODY, take_one),
    KEY("stream", BODY, take_stream),
    KEY("ignore_eos", BODY, take_flag),
    KEY("min_p", BODY, take_min_p),
    KEY("presence_penalty", BODY, take_zero),
    KEY("frequency_penalty", BODY, take_zero),
    KEY("user", BODY, take_text),
    KEY("metadata", BODY, take_metadata),
#undef KEY
};
#define N_KEYS (sizeof KEYS / sizeof KEYS[0])

static size_t find_key(struct scan_text name)
{
    size_t i = 0;

    while (i < N_KEYS && (KEYS[i].len != name.len || memcmp(KEYS[i].name, name.at, name.len) != 0))
        i++;
    return i;
}

static bool has_seen(const struct shape *p, const char *name)
{
    return p->seen >> find_key((struct scan_text){name, strlen(name)}) & 1;
}

static bool take_key(struct shape *p, size_t *k, struct scan_text *name)
{
    if (!scan_string(&p->s, false, name)) return false;
    *k = find_key(*name);
    if (*k == N_KEYS || p->seen >> *k & 1) return false;
    p->seen |= 1u << *k;
    return true;
}

/* The object under "body". */
static bool take_body(struct shape *p)
{
    struct scan_text name;
    size_t k;

    p->s.out = p->q->body.data;
    p->s.from = p->s.at;
    if (!scan_take(&p->s, '{')) return false;
    do
        if (!take_key(p, &k, &name) || KEYS[k].place != BODY || !scan_take(&p->s, ':') ||
            !KEYS[k].take(p))
            return false;
    while (scan_take(&p->s, ','));
    if (!scan_is_next(&p->s, '}')) return false;
    p->s.at++;
    scan_copy(&p->s);
    p->q->body.len = (size_t)(p->s.out - p->q->body.data);
    p->s.out = NULL;
    scan_skip(&p->s);
    return true;
}

/* A member of the line's object.  One of the body's is copied, with a comma in front, behind those
 * that were before. */
static bool take_member(struct shape *p)
{
    struct scan_text name;
    size_t k;

    if (!take_key(p, &k, &name)) return false;
    if (KEYS[k].place != BODY) return scan_take(&p->s, ':') && KEYS[k].take(p);
    p->s.out = p->open;
    *p->s.out++ = ',';
    memcpy(p->s.out, name.at - 1, name.len + 2);
    p->s.out += name.len + 2;
    p->s.from = p->s.at;
    if (!scan_take(&p->s, ':') || !KEYS[k].take(p)) return false;
    scan_copy(&p->s);
    p->open = p->s.out;
    p->s.out = NULL;
    return true;
}

/* Makes the members that were copied an object. */
static void close_body(struct shape *p)
{
    p->q->body.data[0] = '{'; /* it was the first member's comma */
    *p->open++ = '}';
    p->q->body.len = (size_t)(p->open - p->q->body.data);
}

/* Is there one prompt, of the kind that the url wants? */
static bool is_whole(struct shape *p)
{
    bool chat = has_seen(p, "messages"), completion = has_seen(p, "prompt");

    if (chat == completion) return false;
    if (has_seen(p, "url")) return chat == (p->q->endpoint == ENDPOINT_CHAT);
    p->q->endpoint = chat ? ENDPOINT_CHAT : ENDPOINT_COMPLETION;
    return true;
}

bool request_scan(struct request *q, const char *line, size_t len)
{
    struct shape p = {.s = {.at = line, .end = line + len, .from = line}, .q = q};
    bool inside, beside;

    if (buf_reserve(&q->body, len + 2)) return false;
    p.open = q->body.data;
    scan_skip(&p.s);
    if (!scan_take(&p.s, '{')) return false;
    do
        if (!take_member(&p)) return false;
    while (scan_take(&p.s, ','));
    if (!scan_take(&p.s, '}') || p.s.at != p.s.end || !is_whole(&p)) return false;
    inside = has_seen(&p, "body");
    beside = p.open > q->body.data;
    if (inside == beside) return false;
    if (beside) close_body(&p);
    q->body.data[q->body.len] = '\0';
    return true;
}
