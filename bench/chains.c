/* chains.c - rows whose prompts begin alike. */
#include "bench/chains.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "clients/prefix.h"

#define BYTES_A_TOKEN 4
#define TRACE_PIECE   512 /* tokens that an id of the trace stands for */
#define BLOCK         16  /* only whole KV blocks are shared */
#define MAX_ROWS      10000000
#define MAX_LINE      (1 << 20)

struct row {
    int32_t prompt, answer;
    int64_t group, first; /* in ids */
    int32_t n;
};

struct chains {
    struct row *rows;
    int32_t *ids, *tokens; /* of all rows one after the other; by piece */
    int64_t n_rows, n_ids;
    int64_t cap_rows, cap_ids;
    int32_t n_pieces, cap_pieces;
};

/* Room for one more of something. */
static int grow(void *array, int64_t *cap, int64_t n, size_t size)
{
    void *p;

    if (n < *cap) return ERR_OK;
    p = *cap > INT64_MAX / 2 / (int64_t)size
            ? NULL
            : realloc(*(void **)array, (size_t)(*cap ? 2 * *cap : 1024) * size);
    if (!p) return ERR_NOMEM;
    *(void **)array = p;
    *cap = *cap ? 2 * *cap : 1024;
    return ERR_OK;
}

static int add_row(struct chains *c, int32_t prompt, int32_t answer)
{
    if (c->n_rows == MAX_ROWS || grow(&c->rows, &c->cap_rows, c->n_rows, sizeof *c->rows))
        return ERR_NOMEM;
    c->rows[c->n_rows++] = (struct row){.prompt = prompt, .answer = answer, .first = c->n_ids};
    return ERR_OK;
}

/* The last row's next piece. */
static int add_piece(struct chains *c, int32_t id, int32_t tokens)
{
    if (grow(&c->ids, &c->cap_ids, c->n_ids, sizeof *c->ids)) return ERR_NOMEM;
    while (id >= c->n_pieces) {
        int64_t cap = c->cap_pieces;

        if (c->n_pieces == INT32_MAX || grow(&c->tokens, &cap, c->n_pieces, sizeof *c->tokens))
            return ERR_NOMEM;
        c->cap_pieces = (int32_t)cap;
        c->tokens[c->n_pieces++] = 0;
    }
    c->tokens[id] = tokens;
    c->ids[c->n_ids++] = id;
    c->rows[c->n_rows - 1].n++;
    return ERR_OK;
}

/* --- groups ----------------------------------------------------------------------------------- */

/* At each length that prefix.h looks at: the piece that holds its last token, or the row itself. */
static void keys_of(const struct chains *c, int64_t row, struct prefix_keys *keys)
{
    const struct row *r = &c->rows[row];

    *keys = (struct prefix_keys){0};
    for (int k = 0; k < PREFIX_KEYS; k++) {
        const int64_t end = (int64_t)(PREFIX_BYTES << k) / BYTES_A_TOKEN;
        uint64_t what[3] = {(uint64_t)k, 1, (uint64_t)row};
        int64_t at = 0;

        if (r->prompt < end) return;
        for (int32_t i = 0; i < r->n; i++) {
            at += c->tokens[c->ids[r->first + i]];
            if (at < end) continue;
            what[1] = 0;
            what[2] = (uint64_t)c->ids[r->first + i];
            break;
        }
        keys->at[keys->n++] =
            (hash64(what, sizeof what) & ~(uint64_t)1) | 2; /* as prefix.h has them */
    }
}

static int group_rows(struct chains *c)
{
    struct prefix_keys keys;
    struct prefix *p;

    if (prefix_open(&p)) return ERR_NOMEM;
    for (int64_t i = 0; i < c->n_rows; i++) {
        keys_of(c, i, &keys);
        prefix_note(p, &keys);
    }
    for (int64_t i = 0; i < c->n_rows; i++) {
        keys_of(c, i, &keys);
        c->rows[i].group = prefix_group(p, &keys);
    }
    prefix_close(&p);
    return ERR_OK;
}

/* --- rows ------------------------------------------------------------------------------------- */

static int close_if(struct chains **c, int rc)
{
    if (!rc) rc = group_rows(*c);
    if (rc) chains_close(c);
    return rc;
}

int chains_draw(struct chains **out, int64_t n, int32_t beginnings, int32_t tokens,
                int32_t own_tokens, int32_t answer_tokens, struct errmsg *e)
{
    int rc = ERR_OK;

    *out = NULL;
    if (n < 1 || beginnings < 1 || tokens < BLOCK || own_tokens < 1 || answer_tokens < 1)
        return err_set(e, ERR_ARG, "rows behind beginnings: one of each at least, of %d tokens",
                       BLOCK);
    if (!(*out = calloc(1, sizeof **out))) return err_set(e, ERR_NOMEM, "out of memory");
    for (int64_t i = 0; !rc && i < n; i++) {
        const uint64_t dice = hash64(&i, sizeof i);

        rc = add_row(*out, tokens + 1 + (int32_t)(dice % (uint64_t)own_tokens),
                     1 + (int32_t)((dice >> 32) % (uint64_t)answer_tokens));
        if (!rc) rc = add_piece(*out, (int32_t)(i % beginnings), tokens / BLOCK * BLOCK);
    }
    if ((rc = close_if(out, rc))) return err_set(e, rc, "out of memory");
    return ERR_OK;
}

/* Of a row's last piece: at least one token of a prompt is always computed.  A whole one may go on
 * in other rows, so that it cannot be cut, and is left out. */
static int32_t last_tokens(json_int_t left)
{
    return left == TRACE_PIECE ? 0 : (int32_t)((left - 1) / BLOCK * BLOCK);
}

static int read_row(struct chains *c, const json_t *line)
{
    const json_t *ids = json_object_get(line, "hash_ids");
    const json_int_t prompt = json_integer_value(json_object_get(line, "input_length")),
                     answer = json_integer_value(json_object_get(line, "output_length"));
    const size_t n = json_array_size(ids);
    int rc;

    if (prompt < 1 || prompt > INT32_MAX || answer < 1 || answer > INT32_MAX ||
        n != (size_t)((prompt + TRACE_PIECE - 1) / TRACE_PIECE))
        return ERR_FORMAT;
    rc = add_row(c, (int32_t)prompt, (int32_t)answer);
    for (size_t i = 0; !rc && i < n; i++) {
        const json_int_t id = json_integer_value(json_array_get(ids, i));
        const int32_t tokens =
            i + 1 < n ? TRACE_PIECE : last_tokens(prompt - (json_int_t)i * TRACE_PIECE);

        if (id < 0 || id > MAX_ROWS) return ERR_FORMAT;
        if (tokens) rc = add_piece(c, (int32_t)id, tokens);
    }
    return rc;
}

static int read_lines(struct chains *c, FILE *f, const char *path, struct errmsg *e)
{
    char *text = malloc(MAX_LINE);
    int64_t n = 0;
    int rc = text ? ERR_OK : err_set(e, ERR_NOMEM, "out of memory");

    while (!rc && fgets(text, MAX_LINE, f)) {
        json_t *line = json_loads(text, 0, NULL);

        n++;
        rc = read_row(c, line);
        json_decref(line);
        if (rc) err_set(e, rc, "%s:%lld: not a row of such a trace", path, (long long)n);
    }
    if (!rc && !n) rc = err_set(e, ERR_IO, "%s: no rows", path);
    free(text);
    return rc;
}

int chains_read(struct chains **out, const char *path, struct errmsg *e)
{
    char command[1200];
    FILE *f;
    int rc;

    *out = NULL;
    if (strchr(path, '\'') || strlen(path) > sizeof command - 32)
        return err_set(e, ERR_ARG, "%s: a quote in its name, or too long", path);
    if (!(*out = calloc(1, sizeof **out))) return err_set(e, ERR_NOMEM, "out of memory");
    snprintf(command, sizeof command, "xz -dc '%s' 2>/dev/null", path);
    f = popen(command, "r");
    rc = f ? read_lines(*out, f, path, e) : err_set(e, ERR_IO, "%s: %s", command, strerror(errno));
    if (f && pclose(f) && !rc) rc = err_set(e, ERR_IO, "%s: cannot be read", path);
    return close_if(out, rc);
}

void chains_close(struct chains **c)
{
    if (!*c) return;
    free((*c)->rows);
    free((*c)->ids);
    free((*c)->tokens);
    free(*c);
    *c = NULL;
}

static int by_group(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    if (x->group != y->group) return x->group < y->group ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

void chains_sort(struct chains *c)
{
    qsort(c->rows, (size_t)c->n_rows, sizeof *c->rows, by_group);
}

int64_t chains_count(const struct chains *c)
{
    return c->n_rows;
}

int32_t chains_pieces(const struct chains *c)
{
    return c->n_pieces;
}

int32_t chains_tokens(const struct chains *c, int32_t piece)
{
    return c->tokens[piece];
}

void chains_at(const struct chains *c, int64_t row, struct chain_row *out)
{
    const struct row *r = &c->rows[row];

    *out = (struct chain_row){r->prompt, r->answer, r->group, c->ids + r->first, r->n};
}

int64_t chains_prompt_tokens(const struct chains *c)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < c->n_rows; i++)
        sum += c->rows[i].prompt;
    return sum;
}

/* A piece that is there has been computed at least once; all else that rows have of it was not. */
int64_t chains_best(const struct chains *c)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < c->n_ids; i++)
        sum += c->tokens[c->ids[i]];
    for (int32_t i = 0; i < c->n_pieces; i++)
        sum -= c->tokens[i];
    return sum;
}
