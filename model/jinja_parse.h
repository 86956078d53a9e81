/* jinja_parse.h - a template as a tree.
 *
 * A node's children are a, b, c; lists (bodies, arguments, keys and values) hang on `next`.
 * Which child means what stands beside each kind.
 */
#ifndef MODEL_JINJA_PARSE_H
#define MODEL_JINJA_PARSE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

enum node_kind {
    /* statements */
    NODE_TEXT,        /* value */
    NODE_PRINT,       /* a */
    NODE_IF,          /* a: condition, body, orelse */
    NODE_FOR,         /* args: target, a: list, b: filter or NULL, body, orelse; is_recursive */
    NODE_SET,         /* args: target (NAME, ATTR of a NAME, TUPLE of targets), a: value */
    NODE_SET_BODY,    /* args: target, body, a: filters as in FILTER_BODY, or NULL */
    NODE_WITH,        /* args: KEYWORDs, body */
    NODE_MACRO,       /* name, args: parameters (KEYWORD: name, a: default or NULL), body, uses */
    NODE_CALL_BODY,   /* a: CALL, b: MACRO, the caller */
    NODE_GROUP,       /* body, with names of its own */
    NODE_FILTER_BODY, /* a: FILTER chain whose innermost child is NULL, body */
    NODE_BREAK,
    NODE_CONTINUE,
    /* expressions */
    NODE_CONST,        /* value */
    NODE_NAME,         /* name */
    NODE_LIST,         /* args */
    NODE_TUPLE,        /* args */
    NODE_DICT,         /* args: key, value, key, value, ... */
    NODE_ATTR,         /* a, name */
    NODE_ITEM,         /* a, b: key */
    NODE_SLICE,        /* a, b: from, c: to, d: step; each of b, c, d may be NULL */
    NODE_CALL,         /* a: callee, args */
    NODE_KEYWORD,      /* name, a: one named argument of a call */
    NODE_SPREAD,       /* a: an argument behind "*" */
    NODE_SPREAD_NAMED, /* a: an argument behind "**" */
    NODE_FILTER,       /* a, name, args */
    NODE_TEST,         /* a, name, args */
    NODE_NOT,          /* a */
    NODE_MINUS,        /* a */
    NODE_PLUS,         /* a */
    NODE_AND,          /* a, b */
    NODE_OR,           /* a, b */
    NODE_BINARY,       /* op, a, b */
    NODE_COMPARE,      /* a, args: OPERANDs */
    NODE_OPERAND,      /* op, a */
    NODE_CHOICE        /* b if a else c (c may be NULL) */
};

enum binary_op {
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_FLOOR,
    OP_MOD,
    OP_POW,
    OP_CONCAT,
    OP_EQ,
    OP_NE,
    OP_LT,
    OP_LE,
    OP_GT,
    OP_GE,
    OP_IN,
    OP_NOT_IN
};

/* What a macro's body asks for beside its parameters. */
#define USES_VARARGS 1u
#define USES_KWARGS  2u
#define USES_CALLER  4u

struct node {
    enum node_kind kind;
    unsigned uses;
    bool is_recursive;
    int line;
    enum binary_op op;
    char name[64];
    json_t *value; /* owned */
    struct node *a, *b, *c, *d;
    struct node *args, *body, *orelse;
    struct node *next; /* in the list it is part of */
    struct node *made; /* all nodes of a tree, for freeing */
};

struct tree {
    struct node *root; /* the first statement, or NULL */
    struct node *made;
};

int jinja_parse(struct tree *out, const char *text, size_t len, struct errmsg *e) MUSTCHECK;
void tree_fini(struct tree *t);

#endif
