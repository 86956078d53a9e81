/* table.c - rows of text as aligned columns. */
#include "clients/table.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/utf8.h"

#define GAP      2
#define NARROW   4
#define ELLIPSIS "\xE2\x80\xA6"

struct cell {
    size_t at, len; /* in text */
    int width;
};

struct column {
    bool right;
    int max, head, widest;
};

struct table {
    int n;
    struct column *columns; /* [n] */
    struct buf cells;       /* struct cell [rows][n], the heads first */
    struct buf text;
};

int table_width(const char *s, size_t len)
{
    int width = 0, n;
    uint32_t cp;

    for (size_t i = 0; i < len; i += (size_t)n) {
        n = utf8_next(s + i, len - i, &cp);
        if (n <= 0) n = 1, cp = 0xFFFD;
        width += utf8proc_charwidth((utf8proc_int32_t)cp);
    }
    return width;
}

/* Copies the cell's text, made harmless for a terminal. */
static int add_text(struct buf *text, const char *s)
{
    size_t from = text->len;

    if (utf8_repair(text, s, strlen(s))) return ERR_NOMEM;
    for (size_t i = from; i < text->len; i++) {
        unsigned char c = (unsigned char)text->data[i];

        if (c < 0x20 || c == 0x7F) text->data[i] = ' ';
        if (c == 0xC2 && (unsigned char)text->data[i + 1] < 0xA0) /* U+0080 to U+009F */
            memset(text->data + i, ' ', 2);
    }
    return ERR_OK;
}

int table_row(struct table *t, const char *const *cells)
{
    for (int i = 0; i < t->n; i++) {
        struct cell c = {.at = t->text.len};

        if (cells[i] && add_text(&t->text, cells[i])) return ERR_NOMEM;
        c.len = t->text.len - c.at;
        c.width = c.len ? table_width(t->text.data + c.at, c.len) : 0;
        if (buf_add(&t->cells, &c, sizeof c)) return ERR_NOMEM;
        if (c.width > t->columns[i].widest) t->columns[i].widest = c.width;
    }
    return ERR_OK;
}

int table_open(struct table **out, const struct table_column *columns, int n)
{
    struct table *t = calloc(1, sizeof *t);
    const char **heads = calloc((size_t)n, sizeof *heads);
    int rc = ERR_NOMEM;

    *out = NULL;
    if (!t || !heads) goto out;
    t->columns = calloc((size_t)n, sizeof *t->columns);
    if (!t->columns) goto out;
    t->n = n;
    for (int i = 0; i < n; i++) {
        heads[i] = columns[i].head;
        t->columns[i] = (struct column){.right = columns[i].right, .max = columns[i].max};
    }
    if ((rc = table_row(t, heads))) goto out;
    for (int i = 0; i < n; i++)
        t->columns[i].head = t->columns[i].widest;
    *out = t;
    t = NULL;
out:
    table_close(&t);
    free(heads);
    return rc;
}

void table_close(struct table **t)
{
    if (!*t) return;
    free((*t)->columns);
    buf_fini(&(*t)->cells);
    buf_fini(&(*t)->text);
    free(*t);
    *t = NULL;
}

/* The width below which a column is not cut. */
static int floor_of(const struct column *c)
{
    return c->head > NARROW ? c->head : NARROW;
}

/* Takes from the widest column of text until the rows fit. */
static void fit(const struct table *t, int *widths, int width)
{
    int sum = GAP * (t->n - 1);

    for (int i = 0; i < t->n; i++) {
        const struct column *c = &t->columns[i];

        widths[i] = c->widest;
        if (c->max && widths[i] > c->max) widths[i] = c->max > c->head ? c->max : c->head;
        sum += widths[i];
    }
    while (width > 0 && sum > width) {
        int best = -1;

        for (int i = 0; i < t->n; i++)
            if (!t->columns[i].right && widths[i] > floor_of(&t->columns[i]) &&
                (best < 0 || widths[i] > widths[best]))
                best = i;
        if (best < 0) break;
        widths[best]--;
        sum--;
    }
}

static int add_spaces(struct buf *out, int n)
{
    for (int i = 0; i < n; i++)
        if (buf_addc(out, ' ')) return ERR_NOMEM;
    return ERR_OK;
}

/* Appends at most `width` columns of the text, the last an ellipsis when it is cut; gives back how
 * many it took. */
static int add_cut(struct buf *out, const char *s, size_t len, int width)
{
    size_t i = 0;
    int used = 0;

    while (i < len) {
        uint32_t cp;
        int n = utf8_next(s + i, len - i, &cp);
        int w = utf8proc_charwidth((utf8proc_int32_t)cp);

        if (used + w > width - 1) break;
        buf_add(out, s + i, (size_t)n);
        i += (size_t)n;
        used += w;
    }
    buf_adds(out, ELLIPSIS);
    return used + 1;
}

static void print_cell(const struct table *t, const struct cell *c, int i, int width,
                       struct buf *out)
{
    const char *s = t->text.data + c->at;
    bool last = i + 1 == t->n;
    int used = c->width;

    if (t->columns[i].right) add_spaces(out, width - used);
    if (used > width)
        used = add_cut(out, s, c->len, width);
    else if (c->len)
        buf_add(out, s, c->len);
    if (!t->columns[i].right && !last) add_spaces(out, width - used);
    if (!last) add_spaces(out, GAP);
}

int table_print(const struct table *t, int width, struct buf *out)
{
    size_t n = t->cells.len / sizeof(struct cell);
    int *widths = calloc((size_t)t->n, sizeof *widths);

    if (!widths) return ERR_NOMEM;
    fit(t, widths, width);
    for (size_t k = 0; k < n; k++) {
        int i = (int)(k % (size_t)t->n);
        struct cell c;

        memcpy(&c, t->cells.data + k * sizeof c, sizeof c);
        print_cell(t, &c, i, widths[i], out);
        if (i + 1 == t->n) buf_addc(out, '\n');
    }
    free(widths);
    return out->failed ? ERR_NOMEM : ERR_OK;
}
