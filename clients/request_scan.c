/* request_scan.c - the common shape of a line, read in one pass. */
#include "clients/request_scan.h"

#include <ctype.h>
#include <string.h>

#include "clients/member.h"
#include "clients/request.h"
#include "clients/request_fields.h"

#define SHORT_DIGITS 9  /* of a count: below REQUEST_MAX_TOKENS */
#define LONG_DIGITS  18 /* of a seed: below 2^63 */
#define FRACTION     15 /* digits behind a point: none of them is lost in a double */

struct scan {
    const char *at, *end;
    const char *from; /* what is not yet copied begins here */
    char *out;        /* NULL: outside the body, nothing is copied */
    struct request *q;
    unsigned seen; /* a bit for each key; a second time is not common */
    char *open;    /* behind the members copied so far of a body that is the line itself */
};

/* --- tokens ----------------------------------------------------------------------------------- */

/* Copies what was read, up to here. */
static void copy(struct scan *s)
{
    size_t n = (size_t)(s->at - s->from);

    if (s->out) {
        memcpy(s->out, s->from, n);
        s->out += n;
    }
    s->from = s->at;
}

/* Over space, which is not copied. */
static void skip(struct scan *s)
{
    const char *c = s->at;

    while (c < s->end && (*c == ' ' || *c == '\t' || *c == '\r' || *c == '\n'))
        c++;
    if (c == s->at) return;
    copy(s);
    s->at = s->from = c;
}

/* This character and the space behind it. */
static bool take(struct scan *s, char c)
{
    if (s->at == s->end || *s->at != c) return false;
    s->at++;
    skip(s);
    return true;
}

static bool is_next(const struct scan *s, char c)
{
    return s->at < s->end && *s->at == c;
}

/* \uXXXX that is a character by itself. */
static bool is_code(const char *s, size_t len)
{
    if (len < 6) return false;
    for (int i = 2; i < 6; i++)
        if (!isxdigit((unsigned char)s[i])) return false;
    return (s[2] != 'd' && s[2] != 'D') || s[3] < '8'; /* not a surrogate, D800 to DFFF */
}

struct text {
    const char *at; /* between the quotes */
    size_t len;
};

/* A string, and the space behind it; escapes only where they may be. */
static bool take_string(struct scan *s, bool escapes, struct text *t)
{
    const char *c = s->at + 1;

    if (!is_next(s, '"')) return false;
    t->at = c;
    for (;;) {
        c += member_plain(c, (size_t)(s->end - c));
        if (c == s->end) return false;
        if (*c == '"') break;
        if (*c != '\\' || !escapes || s->end - c < 2) return false;
        if (c[1] != 'u' && (!c[1] || !strchr("\"\\/bfnrt", c[1]))) return false;
        if (c[1] == 'u' && !is_code(c, (size_t)(s->end - c))) return false;
        c += c[1] == 'u' ? 6 : 2;
    }
    t->len = (size_t)(c - t->at);
    s->at = c + 1;
    skip(s);
    return true;
}

static bool take_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(s->end - s->at) < len || memcmp(s->at, word, len) != 0) return false;
    s->at += len;
    skip(s);
    return true;
}

/* Digits, without a zero in front of others. */
static bool take_digits(struct scan *s, int most, int64_t *out)
{
    const char *c = s->at;

    for (*out = 0; c < s->end && isdigit((unsigned char)*c) && c - s->at < most; c++)
        *out = *out * 10 + (*c - '0');
    if (c == s->at || (*s->at == '0' && c - s->at > 1)) return false;
    s->at = c;
    skip(s);
    return true;
}

static bool take_integer(struct scan *s, int most, int64_t *out)
{
    bool minus = is_next(s, '-');

    if (minus) s->at++;
    if (!take_digits(s, most, out)) return false;
    if (minus) *out = -*out;
    return true;
}

/* A number from 0 up to 9.99: one digit, and a fraction of which *rest says whether it is over 0.
 */
static bool take_decimal(struct scan *s, int *whole, bool *rest)
{
    const char *c = s->at, *point;

    *rest = false;
    if (c == s->end || !isdigit((unsigned char)*c)) return false;
    *whole = *c++ - '0';
    if (c < s->end && *c == '.') {
        for (point = c++; c < s->end && isdigit((unsigned char)*c); c++)
            *rest |= *c != '0';
        if (c - point < 2 || c - point > FRACTION + 1) return false;
    }
    s->at = c;
    skip(s);
    return true;
}

/* --- values ----------------------------------------------------------------------------------- */

static bool take_id(struct scan *s)
{
    struct text t;

    if (!take_string(s, false, &t) || !t.len || t.len > REQUEST_MAX_ID) return false;
    s->q->has_custom_id = true;
    return !buf_add(&s->q->custom_id, t.at, t.len);
}

static bool take_model(struct scan *s)
{
    struct text t;

    return take_string(s, false, &t) && t.len && t.len <= REQUEST_MAX_MODEL &&
           !buf_add(&s->q->model, t.at, t.len);
}

static bool take_url(struct scan *s)
{
    struct text t;

    return take_string(s, false, &t) && endpoint_from_url(&s->q->endpoint, t.at, t.len);
}

static bool take_priority(struct scan *s)
{
    s->q->has_priority = true;
    return take_integer(s, SHORT_DIGITS, &s->q->priority) &&
           s->q->priority >= -REQUEST_MAX_PRIORITY && s->q->priority <= REQUEST_MAX_PRIORITY;
}

static bool take_count(struct scan *s)
{
    int64_t n;

    return take_digits(s, SHORT_DIGITS, &n) && n > 0;
}

static bool take_temperature(struct scan *s)
{
    int whole;
    bool rest;

    if (!take_decimal(s, &whole, &rest)) return false;
    s->q->is_fixed |= !whole && !rest;
    return whole < 2 || (whole == 2 && !rest);
}

static bool take_top_p(struct scan *s)
{
    int whole;
    bool rest;

    return take_decimal(s, &whole, &rest) && (whole ? whole == 1 && !rest : rest);
}

static bool take_min_p(struct scan *s)
{
    int whole;
    bool rest;

    return take_decimal(s, &whole, &rest) && (!whole || (whole == 1 && !rest));
}

/* A penalty that changes nothing. */
static bool take_zero(struct scan *s)
{
    int whole;
    bool rest;

    return take_decimal(s, &whole, &rest) && !whole && !rest;
}

static bool take_seed(struct scan *s)
{
    int64_t seed;

    s->q->is_fixed = true;
    return take_integer(s, LONG_DIGITS, &seed);
}

static bool take_stop(struct scan *s)
{
    struct text t;
    int n = 0;

    if (!is_next(s, '[')) return take_string(s, true, &t) && t.len;
    (void)take(s, '[');
    if (take(s, ']')) return true;
    do {
        if (++n > REQUEST_MAX_STOPS || !take_string(s, true, &t) || !t.len) return false;
    } while (take(s, ','));
    return take(s, ']');
}

/* An object of strings. */
static bool take_metadata(struct scan *s)
{
    struct text t;

    if (!take(s, '{')) return false;
    if (take(s, '}')) return true;
    do
        if (!take_string(s, false, &t) || !take(s, ':') || !take_string(s, true, &t)) return false;
    while (take(s, ','));
    return take(s, '}');
}

/* {"role": "...", "content": "..."}, in either order. */
static bool take_message(struct scan *s)
{
    struct text key, value;
    bool role = false, content = false;

    if (!take(s, '{')) return false;
    do {
        if (!take_string(s, false, &key) || !take(s, ':')) return false;
        if (key.len == 4 && !memcmp(key.at, "role", 4) && !role) {
            role = true;
            if (!take_string(s, true, &value) || !value.len) return false;
        } else if (key.len == 7 && !memcmp(key.at, "content", 7) && !content) {
            content = true;
            if (!take_string(s, true, &value)) return false;
        } else {
            return false;
        }
    } while (take(s, ','));
    return role && content && take(s, '}');
}

static bool take_messages(struct scan *s)
{
    if (!take(s, '[')) return false;
    do
        if (!take_message(s)) return false;
    while (take(s, ','));
    return take(s, ']');
}

static bool take_text(struct scan *s)
{
    struct text t;

    return take_string(s, true, &t);
}

/* --- members ---------------------------------------------------------------------------------- */

static bool take_method(struct scan *s)
{
    return take_word(s, "\"POST\"");
}

static bool take_stream(struct scan *s)
{
    return take_word(s, "false");
}

static bool take_one(struct scan *s)
{
    return take_word(s, "1");
}

static bool take_flag(struct scan *s)
{
    return take_word(s, "true") || take_word(s, "false");
}

static bool take_body(struct scan *s);

enum place { AROUND, BODY, WHOLE }; /* WHOLE: the body itself, which only a line has */

static const struct {
    const char *name;
    size_t len;
    enum place place;
    bool (*take)(struct scan *s);
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

static size_t find_key(struct text name)
{
    size_t i = 0;

    while (i < N_KEYS && (KEYS[i].len != name.len || memcmp(KEYS[i].name, name.at, name.len) != 0))
        i++;
    return i;
}

static bool has_seen(const struct scan *s, const char *name)
{
    return s->seen >> find_key((struct text){name, strlen(name)}) & 1;
}

static bool take_key(struct scan *s, size_t *k, struct text *name)
{
    if (!take_string(s, false, name)) return false;
    *k = find_key(*name);
    if (*k == N_KEYS || s->seen >> *k & 1) return false;
    s->seen |= 1u << *k;
    return true;
}

/* The object under "body". */
static bool take_body(struct scan *s)
{
    struct text name;
    size_t k;

    s->out = s->q->body.data;
    s->from = s->at;
    if (!take(s, '{')) return false;
    do
        if (!take_key(s, &k, &name) || KEYS[k].place != BODY || !take(s, ':') || !KEYS[k].take(s))
            return false;
    while (take(s, ','));
    if (!is_next(s, '}')) return false;
    s->at++;
    copy(s);
    s->q->body.len = (size_t)(s->out - s->q->body.data);
    s->out = NULL;
    skip(s);
    return true;
}

/* A member of the line's object.  One of the body's is copied, with a comma in front, behind those
 * that were before. */
static bool take_member(struct scan *s)
{
    struct text name;
    size_t k;

    if (!take_key(s, &k, &name)) return false;
    if (KEYS[k].place != BODY) return take(s, ':') && KEYS[k].take(s);
    s->out = s->open;
    *s->out++ = ',';
    memcpy(s->out, name.at - 1, name.len + 2);
    s->out += name.len + 2;
    s->from = s->at;
    if (!take(s, ':') || !KEYS[k].take(s)) return false;
    copy(s);
    s->open = s->out;
    s->out = NULL;
    return true;
}

/* Makes the members that were copied an object. */
static void close_body(struct scan *s)
{
    s->q->body.data[0] = '{'; /* it was the first member's comma */
    *s->open++ = '}';
    s->q->body.len = (size_t)(s->open - s->q->body.data);
}

/* Is there one prompt, of the kind that the url wants? */
static bool is_whole(struct scan *s)
{
    bool chat = has_seen(s, "messages"), completion = has_seen(s, "prompt");

    if (chat == completion) return false;
    if (has_seen(s, "url")) return chat == (s->q->endpoint == ENDPOINT_CHAT);
    s->q->endpoint = chat ? ENDPOINT_CHAT : ENDPOINT_COMPLETION;
    return true;
}

bool request_scan(struct request *q, const char *line, size_t len)
{
    struct scan s = {.at = line, .end = line + len, .from = line, .q = q};
    bool inside, beside;

    if (buf_reserve(&q->body, len + 2)) return false;
    s.open = q->body.data;
    skip(&s);
    if (!take(&s, '{')) return false;
    do
        if (!take_member(&s)) return false;
    while (take(&s, ','));
    if (!take(&s, '}') || s.at != s.end || !is_whole(&s)) return false;
    inside = has_seen(&s, "body");
    beside = s.open > q->body.data;
    if (inside == beside) return false;
    if (beside) close_body(&s);
    q->body.data[q->body.len] = '\0';
    return true;
}
