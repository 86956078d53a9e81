/* pretoken.c - the pre-tokenizer of tokenizer.json. */
#include "model/pretoken.h"

#include <stdlib.h>
#include <string.h>

#include "model/letters.h"
#include "model/pattern.h"

#define MAX_STEPS 16
#define KNOWN     "Sequence, Split, Digits, Punctuation, Metaspace, ByteLevel"

/* What becomes of a delimiter. */
enum behavior { REMOVED, ISOLATED, MERGED_WITH_PREVIOUS, MERGED_WITH_NEXT, CONTIGUOUS };
static const char *const BEHAVIORS[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
#define N_BEHAVIORS (sizeof BEHAVIORS / sizeof BEHAVIORS[0])

enum scheme { NEVER, FIRST, ALWAYS }; /* when something is put in front */

struct step {
    struct pattern *pattern; /* NULL: no cut in this step */
    enum behavior behavior;
    bool invert;          /* the pattern finds what is no delimiter */
    char *mark;           /* what stands for a space, or NULL */
    const char *in_front; /* borrowed: what is put in front of a word */
    enum scheme prepend;
    bool in_letters; /* behind ByteLevel: the pattern looks at letters */
};

struct pretoken {
    int n;
    bool byte_level;
    struct step steps[MAX_STEPS];
};

static bool flag(const json_t *spec, const char *name, bool dflt)
{
    const json_t *v = json_object_get(spec, name);

    return json_is_boolean(v) ? json_is_true(v) : dflt;
}

static int read_behavior(struct step *s, const json_t *spec, struct errmsg *e)
{
    const char *name = json_string_value(json_object_get(spec, "behavior"));
    size_t i = 0;

    while (name && i < N_BEHAVIORS && strcmp(name, BEHAVIORS[i]))
        i++;
    if (!name || i == N_BEHAVIORS)
        return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer: behavior '%.60s'", name ? name : "");
    s->behavior = (enum behavior)i;
    return ERR_OK;
}

static int read_split(struct step *s, const json_t *spec, struct errmsg *e)
{
    int rc = read_behavior(s, spec, e);

    s->invert = flag(spec, "invert", false);
    return rc ? rc : pattern_open(&s->pattern, json_object_get(spec, "pattern"), e);
}

static int read_punctuation(struct step *s, const json_t *spec, struct errmsg *e)
{
    int rc = ERR_OK;

    s->behavior = ISOLATED;
    if (json_object_get(spec, "behavior")) rc = read_behavior(s, spec, e);
    return rc ? rc : pattern_open_regex(&s->pattern, "[\\p{P}$+<=>^`|~]", e);
}

static int read_digits(struct step *s, const json_t *spec, struct errmsg *e)
{
    s->behavior = ISOLATED;
    return pattern_open_regex(&s->pattern,
                              flag(spec, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", e);
}

static int read_scheme(struct step *s, const json_t *spec, struct errmsg *e)
{
    const char *name = json_string_value(json_object_get(spec, "prepend_scheme"));

    s->prepend = flag(spec, "add_prefix_space", true) ? ALWAYS : NEVER;
    if (!name) return ERR_OK;
    if (!strcmp(name, "always"))
        s->prepend = ALWAYS;
    else if (!strcmp(name, "first"))
        s->prepend = FIRST;
    else if (!strcmp(name, "never"))
        s->prepend = NEVER;
    else
        return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer Metaspace: prepend_scheme '%.60s'", name);
    return ERR_OK;
}

static int read_metaspace(struct step *s, const json_t *spec, struct errmsg *e)
{
    const char *mark = json_string_value(json_object_get(spec, "replacement"));
    json_t *pattern;
    int rc;

    if (!mark || !*mark) return err_set(e, ERR_FORMAT, "pre_tokenizer Metaspace: no replacement");
    s->mark = strdup(mark);
    if (!s->mark) return err_set(e, ERR_NOMEM, "pre_tokenizer: no memory");
    s->in_front = s->mark;
    rc = read_scheme(s, spec, e);
    if (rc || !flag(spec, "split", true)) return rc;
    s->behavior = MERGED_WITH_NEXT;
    pattern = json_pack("{ss}", "String", mark);
    if (!pattern) return err_set(e, ERR_NOMEM, "pre_tokenizer: no memory");
    rc = pattern_open(&s->pattern, pattern, e);
    json_decref(pattern);
    return rc;
}

static int read_byte_level(struct pretoken *p, struct step *s, const json_t *spec, struct errmsg *e)
{
    p->byte_level = true;
    s->in_front = " ";
    s->prepend = flag(spec, "add_prefix_space", true) ? ALWAYS : NEVER;
    s->behavior = ISOLATED;
    return flag(spec, "use_regex", true) ? pattern_open_regex(&s->pattern, SCANNER_GPT2, e)
                                         : ERR_OK;
}

static int read_spec(struct pretoken *p, const json_t *spec, int depth, struct errmsg *e)
{
    const char *type = json_string_value(json_object_get(spec, "type"));
    const json_t *list = json_object_get(spec, "pretokenizers");
    struct step *s;
    int rc = ERR_OK;

    if (!spec || json_is_null(spec)) return ERR_OK;
    if (!type) return err_set(e, ERR_FORMAT, "pre_tokenizer: it has no type");
    if (!strcmp(type, "Sequence") && depth < MAX_STEPS) {
        for (size_t i = 0; i < json_array_size(list) && !rc; i++)
            rc = read_spec(p, json_array_get(list, i), depth + 1, e);
        return rc;
    }
    if (p->n == MAX_STEPS)
        return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer: more than %d steps", MAX_STEPS);
    if (p->byte_level && strcmp(type, "Split") && strcmp(type, "Digits"))
        return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer %.60s behind ByteLevel", type);
    s = &p->steps[p->n++];
    s->in_letters = p->byte_level;
    if (!strcmp(type, "Split")) return read_split(s, spec, e);
    if (!strcmp(type, "Digits")) return read_digits(s, spec, e);
    if (!strcmp(type, "Punctuation")) return read_punctuation(s, spec, e);
    if (!strcmp(type, "Metaspace")) return read_metaspace(s, spec, e);
    if (!strcmp(type, "ByteLevel")) return read_byte_level(p, s, spec, e);
    return err_set(e, ERR_UNSUPPORTED, "pre_tokenizer %.60s; known are " KNOWN, type);
}

int pretoken_open(struct pretoken **out, const json_t *spec, struct errmsg *e)
{
    struct pretoken *p = calloc(1, sizeof *p);
    int rc = p ? read_spec(p, spec, 0, e) : err_set(e, ERR_NOMEM, "pre_tokenizer: no memory");

    if (rc) pretoken_close(&p);
    *out = p;
    return rc;
}

void pretoken_close(struct pretoken **p)
{
    if (!*p) return;
    for (int i = 0; i < (*p)->n; i++) {
        pattern_close(&(*p)->steps[i].pattern);
        free((*p)->steps[i].mark);
    }
    free(*p);
    *p = NULL;
}

bool pretoken_is_byte_level(const struct pretoken *p)
{
    return p->byte_level;
}

/* Does this step leave the text and its words as they are? */
static bool is_idle(const struct step *s)
{
    return !s->pattern && !s->mark && s->prepend == NEVER;
}

scanner *pretoken_scanner(const struct pretoken *p)
{
    const struct step *only = NULL;

    for (int i = 0; i < p->n; i++) {
        const struct step *s = &p->steps[i];

        if (is_idle(s)) continue;
        if (only || s->mark || s->prepend != NEVER || s->in_letters) return NULL;
        only = s;
    }
    /* A scanner leaves nothing between its words, so these two come to the same. */
    if (!only || !((only->behavior == ISOLATED && !only->invert) ||
                   (only->behavior == REMOVED && only->invert)))
        return NULL;
    return pattern_scanner(only->pattern);
}

void words_fini(struct words *w)
{
    buf_fini(&w->text);
    free(w->at);
    free(w->spare);
    memset(w, 0, sizeof *w);
}

static int add_spare(struct words *w, struct span x)
{
    if (!x.len) return ERR_OK; /* an empty word is no word */
    if (w->spare_n == w->spare_cap) {
        size_t cap = w->spare_cap ? w->spare_cap * 2 : 64;
        struct span *more = realloc(w->spare, cap * sizeof *more);

        if (!more) return ERR_NOMEM;
        w->spare = more;
        w->spare_cap = cap;
    }
    w->spare[w->spare_n++] = x;
    return ERR_OK;
}

/* The spans that a step made become the words. */
static void take_spare(struct words *w)
{
    struct span *at = w->at;
    size_t cap = w->cap;

    w->at = w->spare;
    w->n = w->spare_n;
    w->cap = w->spare_cap;
    w->spare = at;
    w->spare_n = 0;
    w->spare_cap = cap;
}

/* Joins and leaves out by the behavior while the parts of one word arrive in order. */
struct cutter {
    struct words *w;
    enum behavior behavior;
    struct span held; /* not yet handed on */
    bool held_is_delimiter;
    bool holds;
};

static bool joins(const struct cutter *c, bool is_delimiter)
{
    switch (c->behavior) {
    case MERGED_WITH_PREVIOUS: return is_delimiter && !c->held_is_delimiter;
    case MERGED_WITH_NEXT: return !is_delimiter && c->held_is_delimiter;
    case CONTIGUOUS: return is_delimiter == c->held_is_delimiter;
    case REMOVED:
    case ISOLATED: break;
    }
    return false;
}

static int flush(struct cutter *c)
{
    bool drop = c->behavior == REMOVED && c->held_is_delimiter;

    if (!c->holds || drop) return ERR_OK;
    return add_spare(c->w, c->held);
}

static int take_part(struct cutter *c, struct span part, bool is_delimiter)
{
    int rc = ERR_OK;

    if (!part.len) return ERR_OK;
    if (c->holds && joins(c, is_delimiter)) {
        c->held.len += part.len;
    } else {
        rc = flush(c);
        c->held = part;
        c->holds = true;
    }
    c->held_is_delimiter = is_delimiter;
    return rc;
}

/* A word as the pattern looks at it. */
struct view {
    const char *text;
    size_t len;
    bool in_letters;
    size_t at;     /* in text: what was counted so far */
    size_t n_byte; /* and how many bytes of the word it stands for */
};

/* The byte of the word at place `to` of the view; a letter stands for one byte. */
static size_t byte_at(struct view *v, size_t to)
{
    if (!v->in_letters) return to;
    for (; v->at < to; v->at++)
        v->n_byte += ((unsigned char)v->text[v->at] & 0xC0) != 0x80;
    return v->n_byte;
}

static int cut_view(const struct step *s, struct cutter *c, struct view *v, struct span word,
                    struct errmsg *e)
{
    struct pattern_scan scan;
    size_t at = 0;
    bool found;
    int rc = pattern_scan_init(&scan, s->pattern, v->text, v->len);

    while (!rc && !(rc = pattern_next(&scan, &found, e)) && found) {
        const size_t begin = byte_at(v, scan.begin), end = byte_at(v, scan.end);

        rc = take_part(c, (struct span){word.at + at, begin - at}, s->invert);
        if (!rc) rc = take_part(c, (struct span){word.at + begin, end - begin}, !s->invert);
        at = end;
    }
    if (!rc) rc = take_part(c, (struct span){word.at + at, word.len - at}, s->invert);
    if (!rc) rc = flush(c);
    pattern_scan_fini(&scan);
    return rc;
}

static int cut_word(const struct step *s, struct words *w, struct span word, struct errmsg *e)
{
    struct cutter c = {.w = w, .behavior = s->behavior};
    struct view v = {.text = w->text.data + word.at, .len = word.len};
    struct buf letters = {0};
    int rc = ERR_OK;

    if (s->in_letters) {
        rc = letters_put(&letters, v.text, v.len);
        v = (struct view){.text = letters.data, .len = letters.len, .in_letters = true};
    }
    if (!rc) rc = cut_view(s, &c, &v, word, e);
    buf_fini(&letters);
    return rc;
}

static int mark_spaces(struct buf *out, const char *text, size_t len, const char *mark)
{
    if (!mark) return buf_add(out, text, len);
    for (size_t i = 0; i < len; i++)
        if (text[i] == ' ' ? buf_adds(out, mark) : buf_addc(out, text[i])) return ERR_NOMEM;
    return ERR_OK;
}

static bool wants_front(const struct step *s, const struct words *w, size_t i, bool first)
{
    const char *text = w->text.data + w->at[i].at;
    size_t n = strlen(s->in_front);
    bool has_it = w->at[i].len >= n && !memcmp(text, s->in_front, n);

    /* a space at the front will have become the mark */
    if (s->mark && *text == ' ') has_it = true;
    return !has_it && (s->prepend == ALWAYS || (s->prepend == FIRST && first && w->at[i].at == 0));
}

/* Writes the words anew, spaces marked, with something in front. */
static int rewrite(const struct step *s, struct words *w, bool first)
{
    struct buf out = {0};
    int rc = ERR_OK;

    for (size_t i = 0; i < w->n && !rc; i++) {
        const char *text = w->text.data + w->at[i].at;
        size_t begin = out.len;

        if (wants_front(s, w, i, first)) rc = buf_adds(&out, s->in_front);
        if (!rc) rc = mark_spaces(&out, text, w->at[i].len, s->mark);
        w->at[i] = (struct span){begin, out.len - begin};
    }
    buf_fini(&w->text);
    w->text = out;
    return rc;
}

static int run_step(const struct step *s, struct words *w, bool first, struct errmsg *e)
{
    int rc = ERR_OK;

    if (s->mark || s->prepend != NEVER) rc = rewrite(s, w, first);
    if (rc || !s->pattern) return rc;
    w->spare_n = 0;
    for (size_t i = 0; i < w->n && !rc; i++)
        rc = cut_word(s, w, w->at[i], e);
    if (!rc) take_spare(w);
    return rc;
}

int pretoken_cut(const struct pretoken *p, struct words *w, bool first, struct errmsg *e)
{
    int rc;

    w->spare_n = 0;
    rc = add_spare(w, (struct span){0, w->text.len});
    take_spare(w);
    for (int i = 0; i < p->n && !rc; i++)
        rc = run_step(&p->steps[i], w, first, e);
    if (rc == ERR_NOMEM) err_set(e, rc, "pre_tokenizer: no memory");
    return rc;
}
