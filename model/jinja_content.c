/* jinja_content.c - the form of content that a template takes. */
#include "model/jinja_content.h"

#include <string.h>

/* The value behind filters and slices. */
static const struct node *bare(const struct node *n)
{
    while (n && (n->kind == NODE_FILTER || n->kind == NODE_SLICE))
        n = n->a;
    return n;
}

static bool is_called_content(const struct node *n)
{
    if (!n) return false;
    if (n->kind == NODE_ATTR || n->kind == NODE_NAME) return !strcmp(n->name, "content");
    return n->kind == NODE_ITEM && n->b->kind == NODE_CONST && json_is_string(n->b->value) &&
           !strcmp(json_string_value(n->b->value), "content");
}

static bool is_content(const struct tree *t, const struct node *n)
{
    n = bare(n);
    if (is_called_content(n)) return true;
    if (!n || n->kind != NODE_NAME) return false;
    for (const struct node *m = t->made; m; m = m->made)
        if (m->kind == NODE_SET && m->args->kind == NODE_NAME && !strcmp(m->args->name, n->name) &&
            is_called_content(bare(m->a)))
            return true;
    return false;
}

enum content_form content_form_of(const struct tree *t)
{
    bool loops = false, asks = false;

    for (const struct node *n = t->made; n; n = n->made) {
        if (n->kind == NODE_FOR && is_content(t, n->a)) loops = true;
        if (n->kind == NODE_TEST && !strcmp(n->name, "string") && is_content(t, n->a)) asks = true;
    }
    return !loops ? CONTENT_TEXT : asks ? CONTENT_EITHER : CONTENT_PARTS;
}
