/* jinja_lex.h - a template as tokens: text between tags, and what stands in them.
 *
 * White space around tags is settled here (the minus signs, trim_blocks, lstrip_blocks, the last
 * newline); comments vanish.
 */
#ifndef MODEL_JINJA_LEX_H
#define MODEL_JINJA_LEX_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum token_kind {
    TOKEN_TEXT,      /* value: a string */
    TOKEN_PRINT,     /* {{ */
    TOKEN_PRINT_END, /* }} */
    TOKEN_BLOCK,     /* {% */
    TOKEN_BLOCK_END, /* %} */
    TOKEN_NAME,
    TOKEN_CONST, /* value: a string or a number */
    TOKEN_OP,
    TOKEN_END
};

struct token {
    enum token_kind kind;
    int line;
    char text[64]; /* NAME, OP */
    json_t *value; /* TEXT, CONST; owned */
};

struct tokens {
    struct token *at;
    size_t n, cap;
};
void tokens_fini(struct tokens *t);

/* The last token is TOKEN_END. */
int jinja_lex(struct tokens *out, const char *text, size_t len, struct errmsg *e) MUSTCHECK;

#endif
