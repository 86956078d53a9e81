/* choices.c - the answers of a row as JSON. */
#include "worker/choices.h"

#include <jansson.h>
#include <string.h>

#include "base/utf8.h"
#include "model/tokenizer.h"

#define DIGITS 9 /* of a logprob: a float reads back as it was */
#define LEAST  (-9999.0f)

/* The tokens of an answer that its text shows, and how they are spelled. */
struct shown {
    const struct outcome *o;
    const struct tokenizer *t;
    const struct sampling *p;
    int n;
    struct buf piece; /* of the token at hand */
};

static const struct logprob *logprobs_at(const struct shown *s, int i)
{
    return s->o->logprobs + (size_t)i * (1 + (size_t)s->p->top_logprobs);
}

/* What the token adds to the text. */
static int take_piece(struct shown *s, int32_t id)
{
    buf_clear(&s->piece);
    return s->p->keep_specials ? tokenizer_spell(s->t, id, &s->piece)
                               : tokenizer_piece(s->t, id, false, &s->piece);
}

/* How many tokens begin within the text; the last one is left out when nothing of it is there. */
static int count_shown(struct shown *s)
{
    size_t len = 0;
    int n = 0;

    for (; n < s->o->n_ids; n++) {
        if (len >= s->o->text.len && s->o->finish == FINISH_STOP) break;
        if (take_piece(s, s->o->ids[n])) break;
        len += s->piece.len;
    }
    return n;
}

static json_t *name_of(struct shown *s, int32_t id)
{
    struct buf escaped = {0};
    json_t *name;

    buf_clear(&s->piece);
    if (tokenizer_spell(s->t, id, &s->piece)) return NULL;
    if (!s->piece.len || utf8_is_valid(s->piece.data, s->piece.len))
        return json_stringn(s->piece.data ? s->piece.data : "", s->piece.len);
    for (size_t i = 0; i < s->piece.len; i++)
        buf_printf(&escaped, "\\x%02x", (unsigned char)s->piece.data[i]);
    name = json_stringn(escaped.data ? escaped.data : "", escaped.len);
    buf_fini(&escaped);
    return name;
}

/* JSON has no infinity; OpenAI says -9999 for what cannot be. */
static double value_of(const struct logprob *l)
{
    return l->logprob > LEAST ? (double)l->logprob : LEAST;
}

/* {"token", "logprob", "bytes"} */
static json_t *one_token(struct shown *s, const struct logprob *l)
{
    json_t *name = name_of(s, l->id), *bytes = json_array();

    for (size_t i = 0; i < s->piece.len; i++)
        json_array_append_new(bytes, json_integer((unsigned char)s->piece.data[i]));
    return json_pack("{s:o, s:f, s:o}", "token", name, "logprob", value_of(l), "bytes", bytes);
}

static json_t *chat_logprobs(struct shown *s)
{
    json_t *content = json_array();

    for (int i = 0; i < s->n; i++) {
        const struct logprob *l = logprobs_at(s, i);
        json_t *token = one_token(s, l), *top = json_array();

        for (int k = 1; k <= s->p->top_logprobs && l[k].id >= 0; k++)
            json_array_append_new(top, one_token(s, &l[k]));
        json_object_set_new(token, "top_logprobs", top);
        json_array_append_new(content, token);
    }
    return json_pack("{s:o, s:n}", "content", content, "refusal");
}

/* The likeliest ones by their spelling, the chosen one among them. */
static json_t *top_of(struct shown *s, const struct logprob *l)
{
    json_t *top = json_object(), *name;

    for (int k = 1; k <= s->p->top_logprobs + 1; k++) {
        const struct logprob *one = &l[k <= s->p->top_logprobs ? k : 0];

        if (one->id < 0 || !(name = name_of(s, one->id))) continue;
        if (!json_object_getn(top, json_string_value(name), json_string_length(name)))
            json_object_setn_new(top, json_string_value(name), json_string_length(name),
                                 json_real(value_of(one)));
        json_decref(name);
    }
    return top;
}

/* Units: text_offset counts characters. */
static json_t *completion_logprobs(struct shown *s)
{
    json_t *tokens = json_array(), *values = json_array(), *tops = json_array(),
           *offsets = json_array();
    json_int_t at = 0;

    for (int i = 0; i < s->n; i++) {
        const struct logprob *l = logprobs_at(s, i);

        json_array_append_new(tokens, name_of(s, l->id));
        json_array_append_new(values, json_real(value_of(l)));
        json_array_append_new(tops, top_of(s, l));
        json_array_append_new(offsets, json_integer(at));
        (void)take_piece(s, l->id);
        for (size_t k = 0; k < s->piece.len; k++)
            at += ((unsigned char)s->piece.data[k] & 0xC0) != 0x80; /* where a character begins */
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", values,
                     "top_logprobs", tops, "text_offset", offsets);
}

static json_t *logprobs_of(const struct outcome *o, enum endpoint endpoint,
                           const struct tokenizer *t, const struct sampling *p)
{
    struct shown s = {.o = o, .t = t, .p = p};
    json_t *all;

    if (!o->logprobs || !t) return json_null();
    s.n = count_shown(&s);
    all = endpoint == ENDPOINT_CHAT ? chat_logprobs(&s) : completion_logprobs(&s);
    buf_fini(&s.piece);
    return all;
}

static json_t *ids_of(const struct outcome *o)
{
    json_t *ids = json_array();

    for (int i = 0; i < o->n_ids; i++)
        json_array_append_new(ids, json_integer(o->ids[i]));
    return ids;
}

static json_t *choice_of(const struct outcome *o, enum endpoint endpoint, const struct tokenizer *t,
                         const struct sampling *p)
{
    const char *bytes = o->text.data ? o->text.data : "";
    const bool repaired = !utf8_is_valid(bytes, o->text.len);
    struct buf text = {0};
    json_t *words, *choice;

    if (utf8_repair(&text, bytes, o->text.len)) return NULL;
    words = json_stringn(text.data ? text.data : "", text.len);
    buf_fini(&text);
    if (endpoint == ENDPOINT_CHAT)
        choice = json_pack("{s:i, s:{s:s, s:o, s:n}, s:o, s:s}", "index", o->index, "message",
                           "role", "assistant", "content", words, "refusal", "logprobs",
                           logprobs_of(o, endpoint, t, p), "finish_reason", finish_name(o->finish));
    else
        choice = json_pack("{s:o, s:i, s:o, s:s}", "text", words, "index", o->index, "logprobs",
                           logprobs_of(o, endpoint, t, p), "finish_reason", finish_name(o->finish));
    if (choice && repaired && o->ids) json_object_set_new(choice, "token_ids", ids_of(o));
    return choice;
}

char *choices_json(const struct outcome *outcomes, int n, enum endpoint endpoint,
                   const struct tokenizer *t, const struct sampling *p)
{
    json_t *list = json_array();
    char *out = NULL;
    bool whole = list != NULL;

    for (int i = 0; i < n && whole; i++)
        whole = !json_array_append_new(list, choice_of(&outcomes[i], endpoint, t, p));
    if (whole) out = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(DIGITS));
    json_decref(list);
    return out;
}
