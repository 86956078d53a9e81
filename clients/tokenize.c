/* tokenize.c - nightmill tokenize: what a model sees of a text, and what its ids say. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/opt.h"
#include "clients/command.h"
#include "clients/jsontext.h"
#include "clients/lines.h"
#include "model/model.h"
#include "model/tokenizer.h"

#define MAX_LINE_BYTES ((size_t)256 << 20)

struct config {
    const char *model;
    bool decode, no_bos, parse_special, no_skip;
};

#define AT(field) offsetof(struct config, field)
static const struct opt OPTS[] = {
    {"model", 'm', "MODEL", "a model directory or .gguf file; only its tokenizer is read", OPT_STR,
     AT(model), 0, 0},
    {"decode", 0, NULL, "arrays of ids in, strings out", OPT_FLAG, AT(decode), 0, 0},
    {"no-bos", 0, NULL, "without the ids that stand around every prompt", OPT_FLAG, AT(no_bos), 0,
     0},
    {"parse-special", 0, NULL, "read special tokens that are spelled out, as in a rendered chat",
     OPT_FLAG, AT(parse_special), 0, 0},
    {"no-skip-special-tokens", 0, NULL, "with --decode: spell special tokens out", OPT_FLAG,
     AT(no_skip), 0, 0},
    {0}};
static const struct opt_command COMMAND = {
    "tokenize",
    "[FILE|-]",
    "Reads a JSON string a line and writes the model's ids for it, a JSON array a line. Ends with "
    "1 when a line was bad.",
    OPTS,
    0,
    1};

/* One run over the lines. */
struct run {
    const struct config *config;
    struct tokenizer *tokenizer;
    struct ids ids;
    struct buf text; /* of the ids */
    struct buf out;
    int64_t n_bad;
};

static int write_ids(struct run *r, const json_t *value, struct errmsg *e)
{
    const unsigned flags = (r->config->no_bos ? 0u : TOKENIZER_BOS) |
                           (r->config->parse_special ? TOKENIZER_SPECIALS : 0u);
    int rc;

    if (!json_is_string(value)) return err_set(e, ERR_FORMAT, "not a JSON string");
    rc = tokenizer_encode(r->tokenizer, json_string_value(value), json_string_length(value), flags,
                          &r->ids, e);
    if (rc) return rc;
    buf_addc(&r->out, '[');
    for (size_t i = 0; i < r->ids.n; i++) {
        if (i) buf_addc(&r->out, ',');
        buf_addi(&r->out, r->ids.at[i]);
    }
    buf_addc(&r->out, ']');
    return ERR_OK;
}

static int add_piece(struct run *r, int32_t id, bool first)
{
    size_t len;
    const char *spelling =
        tokenizer_is_special(r->tokenizer, id) ? tokenizer_spelling(r->tokenizer, id, &len) : NULL;

    return spelling ? buf_add(&r->text, spelling, len)
                    : tokenizer_piece(r->tokenizer, id, first, &r->text);
}

static int read_ids(struct run *r, const json_t *list, struct errmsg *e)
{
    const int size = tokenizer_size(r->tokenizer);

    if (!json_is_array(list)) return err_set(e, ERR_FORMAT, "not a JSON array of ids");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);

        if (!json_is_integer(id)) return err_set(e, ERR_FORMAT, "entry %zu is not an id", i);
        if (json_integer_value(id) < 0 || json_integer_value(id) >= size)
            return err_set(e, ERR_FORMAT, "entry %zu: id %lld is not in [0, %d]", i,
                           (long long)json_integer_value(id), size - 1);
        if (ids_add(&r->ids, (int32_t)json_integer_value(id)))
            return err_set(e, ERR_NOMEM, "no memory");
    }
    return ERR_OK;
}

static int write_text(struct run *r, const json_t *list, struct errmsg *e)
{
    int rc = read_ids(r, list, e);
    bool first = true;

    if (rc) return rc;
    for (size_t i = 0; i < r->ids.n && !rc; i++) {
        const bool special = tokenizer_is_special(r->tokenizer, r->ids.at[i]);

        if (special && !r->config->no_skip) continue;
        rc = add_piece(r, r->ids.at[i], first);
        first = first && special;
    }
    if (!rc) rc = jsontext_add(&r->out, r->text.data ? r->text.data : "", r->text.len);
    return rc ? err_set(e, rc, "no memory") : ERR_OK;
}

static int answer_line(struct run *r, const struct line *l, struct errmsg *e)
{
    json_error_t bad;
    json_t *value;
    int rc;

    if (l->too_long)
        return err_set(e, ERR_FORMAT, "%zu bytes, at most %zu", l->len, MAX_LINE_BYTES);
    value = json_loadb(l->bytes, l->len, JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES,
                       &bad);
    if (!value) return err_set(e, ERR_FORMAT, "no JSON: %s", bad.text);
    rc = r->config->decode ? write_text(r, value, e) : write_ids(r, value, e);
    json_decref(value);
    return rc;
}

/* A bad line is told, and null stands in its place, so that line for line belongs together. */
static int take_line(struct run *r, const struct line *l)
{
    struct errmsg why = {""};
    int rc;

    r->ids.n = 0;
    buf_clear(&r->text);
    buf_clear(&r->out);
    rc = answer_line(r, l, &why);
    if (r->out.failed) rc = ERR_NOMEM;
    if (rc == ERR_NOMEM) return rc;
    if (rc) {
        fprintf(stderr, "nightmill tokenize: line %lld: %s\n", (long long)l->number, why.text);
        r->n_bad++;
        buf_clear(&r->out);
        buf_adds(&r->out, "null");
    }
    if (buf_addc(&r->out, '\n')) return ERR_NOMEM;
    fwrite(r->out.data, 1, r->out.len, stdout);
    return ERR_OK;
}

static int take_lines(struct run *r, int fd, struct errmsg *e)
{
    struct lines *lines;
    struct line l;
    int rc = lines_open(&lines, fd, MAX_LINE_BYTES, e);

    while (!rc && !(rc = lines_next(lines, &l, e)))
        if ((rc = take_line(r, &l))) err_set(e, rc, "no memory");
    lines_close(&lines);
    return rc == ERR_EMPTY ? ERR_OK : rc;
}

static int open_input(int *fd, const char *path, struct errmsg *e)
{
    *fd = STDIN_FILENO;
    if (!path || !strcmp(path, "-")) return ERR_OK;
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    return *fd < 0 ? err_set(e, ERR_IO, "%s: %s", path, strerror(errno)) : ERR_OK;
}

int command_tokenize(int argc, char **argv)
{
    struct config c = {0};
    struct run r = {.config = &c};
    struct errmsg e = {{0}};
    const char *path = NULL;
    int fd = -1, rc = opt_parse(&COMMAND, &c, &path, argc, argv, &e);

    if (!rc && !c.model) rc = err_set(&e, ERR_ARG, "--model is missing");
    if (!rc) rc = model_tokenizer(&r.tokenizer, c.model, &e);
    if (!rc) rc = open_input(&fd, path, &e);
    if (!rc) rc = take_lines(&r, fd, &e);
    if (fd > STDIN_FILENO) close(fd);
    tokenizer_close(&r.tokenizer);
    ids_fini(&r.ids);
    buf_fini(&r.text);
    buf_fini(&r.out);
    if (rc) return command_fail("tokenize", rc, &e);
    return r.n_bad ? EXIT_SOME_FAILED : EXIT_ALL_DONE;
}
