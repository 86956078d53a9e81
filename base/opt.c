/* opt.c - a command's options. */
#include "base/opt.h"

#include <argp.h>
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 48
#define FIRST_KEY   0x100 /* keys of options without a letter */

struct parse {
    const struct opt_command *c;
    void *config;
    const char **operands;
    int n_operands;
    int rc;
    struct errmsg *e;
};

/* A whole number with an optional binary suffix. */
static int parse_int(const struct opt *o, const char *text, int64_t *out, struct errmsg *e)
{
    static const char SUFFIX[] = "KMGT";
    const char *at;
    char *end;
    int64_t v;

    errno = 0;
    v = strtoll(text, &end, 10);
    if (end != text && o->kind == OPT_BYTES && *end &&
        (at = strchr(SUFFIX, toupper((unsigned char)*end)))) {
        int shift = 10 * (int)(at - SUFFIX + 1);

        if (v > INT64_MAX >> shift || v < 0)
            errno = ERANGE;
        else
            v <<= shift;
        end++;
    }
    if (end == text || *end || errno || v < o->min || v > o->max)
        return err_set(e, ERR_ARG, "--%s is '%s', not a whole number from %lld to %lld", o->name,
                       text, (long long)o->min, (long long)o->max);
    *out = v;
    return ERR_OK;
}

static int parse_share(const struct opt *o, const char *text, double *out, struct errmsg *e)
{
    char *end;
    const double v = strtod(text, &end);

    if (end == text || *end || !(v > 0 && v <= 1))
        return err_set(e, ERR_ARG, "--%s is '%s', not a share over 0 and at most 1", o->name, text);
    *out = v;
    return ERR_OK;
}

static int set_value(const struct opt *o, void *config, const char *text, struct errmsg *e)
{
    char *at = (char *)config + o->at;
    int64_t v = 0;
    double share = 0;
    int rc;

    switch (o->kind) {
    case OPT_STR: memcpy(at, &text, sizeof text); return ERR_OK;
    case OPT_FLAG:
    case OPT_NOT:
        if (text && strcmp(text, "1") && strcmp(text, "0"))
            return err_set(e, ERR_ARG, "--%s is '%s' in the environment, not 1 or 0", o->name,
                           text);
        *(bool *)at = (!text || *text == '1') == (o->kind == OPT_FLAG);
        return ERR_OK;
    case OPT_INT:
    case OPT_BYTES:
        if (!(rc = parse_int(o, text, &v, e))) memcpy(at, &v, sizeof v);
        return rc;
    case OPT_SHARE:
        if (!(rc = parse_share(o, text, &share, e))) memcpy(at, &share, sizeof share);
        return rc;
    }
    return ERR_ARG;
}

static void twin_of(const char *name, char *out, size_t cap)
{
    size_t n = (size_t)snprintf(out, cap, "NIGHTMILL_%s", name);

    for (size_t i = 0; i < n && i < cap; i++)
        out[i] = out[i] == '-' ? '_' : (char)toupper((unsigned char)out[i]);
}

static int read_environment(const struct opt_command *c, void *config, struct errmsg *e)
{
    char twin[64];
    int rc;

    for (const struct opt *o = c->table; o->name; o++) {
        const char *value;

        twin_of(o->name, twin, sizeof twin);
        value = getenv(twin);
        if (value && *value && (rc = set_value(o, config, value, e))) return rc;
    }
    return ERR_OK;
}

static error_t parse_one(int key, char *arg, struct argp_state *state)
{
    struct parse *p = state->input;
    int i = 0;

    if (key == ARGP_KEY_ARG) {
        if (p->n_operands >= p->c->max_operands) argp_error(state, "one operand too many: %s", arg);
        p->operands[p->n_operands++] = arg;
        return 0;
    }
    if (key == ARGP_KEY_END) {
        if (p->n_operands < p->c->min_operands) argp_error(state, "%s is missing", p->c->operands);
        return 0;
    }
    for (const struct opt *o = p->c->table; o->name; o++, i++) {
        if (key != (o->key ? o->key : FIRST_KEY + i)) continue;
        if (!p->rc) p->rc = set_value(o, p->config, arg, p->e);
        return 0;
    }
    return ARGP_ERR_UNKNOWN;
}

int opt_parse(const struct opt_command *c, void *config, const char **operands, int argc,
              char **argv, struct errmsg *e)
{
    struct argp_option options[MAX_OPTIONS + 1] = {{0}};
    struct parse p = {.c = c, .config = config, .operands = operands, .e = e};
    char name[64];
    struct argp argp = {
        .options = options, .parser = parse_one, .args_doc = c->operands, .doc = c->help};
    int n = 0, rc = read_environment(c, config, e);

    if (rc) return rc;
    for (const struct opt *o = c->table; o->name; o++, n++) {
        if (n == MAX_OPTIONS) return err_set(e, ERR_ARG, "more than %d options", MAX_OPTIONS);
        options[n] = (struct argp_option){
            .name = o->name, .key = o->key ? o->key : FIRST_KEY + n, .arg = o->arg, .doc = o->help};
    }
    for (int i = 0; i < c->max_operands; i++)
        operands[i] = NULL;
    snprintf(name, sizeof name, "nightmill %s", c->name);
    argv[0] = name;
    argp_err_exit_status = 2;
    if (argp_parse(&argp, argc, argv, 0, NULL, &p))
        return err_set(e, ERR_ARG, "the options cannot be read");
    return p.rc;
}
