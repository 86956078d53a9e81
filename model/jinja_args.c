/* jinja_args.c - the arguments of a call. */
#include "model/jinja_args.h"

#include <string.h>

bool args_add(struct run *r, struct args *a, struct value *v)
{
    if (a->n == ARGS_MAX)
        run_fail(r, ERR_UNSUPPORTED, "more than %d arguments", ARGS_MAX);
    else if (v)
        a->at[a->n++] = v;
    return v && !r->rc;
}

bool args_add_named(struct run *r, struct args *a, const char *name, struct value *v)
{
    for (int i = 0; i < a->n_named; i++)
        if (!strcmp(a->name[i], name)) run_fail(r, ERR_ARG, "the argument %s is there twice", name);
    if (a->n_named == ARGS_MAX) run_fail(r, ERR_UNSUPPORTED, "more than %d arguments", ARGS_MAX);
    if (!v || r->rc) return false;
    a->name[a->n_named] = name;
    a->named[a->n_named++] = v;
    return true;
}

struct value *args_take(struct args *a, const char *name)
{
    for (int i = 0; i < a->n_named; i++) {
        struct value *v = a->named[i];

        if (strcmp(a->name[i], name)) continue;
        a->n_named--;
        for (; i < a->n_named; i++) {
            a->name[i] = a->name[i + 1];
            a->named[i] = a->named[i + 1];
        }
        return v;
    }
    return NULL;
}

/* The next word of the list, copied; its length, 0 at the end. */
static size_t next_word(const char **list, char word[32])
{
    size_t n = strcspn(*list, " ");

    if (n > 31) n = 31;
    memcpy(word, *list, n);
    word[n] = '\0';
    *list += n;
    *list += **list == ' ';
    return n;
}

bool args_bind(struct run *r, struct args *a, const char *what, const char *params)
{
    bool more = false, more_named = false;
    char word[32];
    int n = 0;

    while (next_word(&params, word)) {
        if (word[0] == '*') {
            more = more || !word[1];
            more_named = more_named || word[1];
            continue;
        }
        struct value *v = args_take(a, word);

        if (v && n < a->n) run_fail(r, ERR_ARG, "%s has the argument %s twice", what, word);
        if (n >= a->n && n < ARGS_MAX) a->at[n] = v;
        n++;
    }
    if (a->n > n && !more) run_fail(r, ERR_ARG, "%s takes %d arguments, not %d", what, n, a->n);
    if (a->n_named && !more_named)
        run_fail(r, ERR_ARG, "%s has no argument called %s", what, a->name[0]);
    return !r->rc;
}

bool args_int(struct run *r, const struct args *a, int k, int64_t dflt, int64_t *out)
{
    *out = dflt;
    if (!a->at[k] || value_int(a->at[k], out)) return true;
    run_fail(r, ERR_ARG, "%s where an int must be", value_name(a->at[k]));
    return false;
}

bool args_text(struct run *r, const struct args *a, int k, struct value *dflt, struct value **out)
{
    *out = a->at[k] ? a->at[k] : dflt;
    if (*out && (*out)->kind == VALUE_STR) return true;
    run_fail(r, ERR_ARG, "%s where a str must be", *out ? value_name(*out) : "nothing");
    return false;
}

struct value *args_given(const struct args *a, int k)
{
    return a->at[k] && a->at[k]->kind != VALUE_NONE ? a->at[k] : NULL;
}

bool args_true(const struct args *a, int k, bool dflt)
{
    return a->at[k] ? value_is_true(a->at[k]) : dflt;
}

const struct builtin *builtin_find(const struct builtin *list, const char *name)
{
    for (; list->name; list++)
        if (!strcmp(list->name, name)) return list;
    return NULL;
}
