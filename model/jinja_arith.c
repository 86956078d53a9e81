/* jinja_arith.c - operators between two values. */
#include "model/jinja_arith.h"

#include <math.h>

#include "model/jinja_format.h"
#include "model/jinja_print.h"
#include "model/jinja_text.h"

static struct value *wild(struct run *r)
{
    return run_fail(r, ERR_UNSUPPORTED, "a number beyond 64 bits");
}

static struct value *by_zero(struct run *r)
{
    return run_fail(r, ERR_ARG, "a division by zero");
}

/* Python's %: the sign of b. */
static double modulo(double a, double b)
{
    double x = fmod(a, b);

    if (!(x < 0) && !(x > 0)) return copysign(0, b);
    return (x < 0 && b > 0) || (x > 0 && b < 0) ? x + b : x;
}

static struct value *between_floats(struct run *r, enum binary_op op, double a, double b)
{
    bool zero = !(b < 0) && !(b > 0);

    if (zero && (op == OP_DIV || op == OP_FLOOR || op == OP_MOD)) return by_zero(r);
    switch (op) {
    case OP_ADD: return run_float(r, a + b);
    case OP_SUB: return run_float(r, a - b);
    case OP_MUL: return run_float(r, a * b);
    case OP_DIV: return run_float(r, a / b);
    case OP_FLOOR: return run_float(r, floor((a - modulo(a, b)) / b + 0.5));
    case OP_MOD: return run_float(r, modulo(a, b));
    case OP_POW:
        if (a < 0 && floor(b) < b) return run_fail(r, ERR_UNSUPPORTED, "a complex number");
        if (!(a < 0) && !(a > 0) && b < 0) return by_zero(r);
        return run_float(r, pow(a, b));
    default: return run_fail(r, ERR_UNSUPPORTED, "that operator between floats");
    }
}

static struct value *power(struct run *r, int64_t a, int64_t b)
{
    int64_t x = 1;

    if (b < 0) return between_floats(r, OP_POW, (double)a, (double)b);
    for (int bit = 62; bit >= 0; bit--) {
        if (__builtin_mul_overflow(x, x, &x)) return wild(r);
        if (b >> bit & 1 && __builtin_mul_overflow(x, a, &x)) return wild(r);
    }
    return run_int(r, x);
}

static struct value *between_ints(struct run *r, enum binary_op op, int64_t a, int64_t b)
{
    bool over = false;
    int64_t x = 0;

    if (!b && (op == OP_DIV || op == OP_FLOOR || op == OP_MOD)) return by_zero(r);
    if (op == OP_DIV) return between_floats(r, op, (double)a, (double)b);
    if (op == OP_POW) return power(r, a, b);
    if (op == OP_ADD) over = __builtin_add_overflow(a, b, &x);
    if (op == OP_SUB) over = __builtin_sub_overflow(a, b, &x);
    if (op == OP_MUL) over = __builtin_mul_overflow(a, b, &x);
    if (op == OP_FLOOR && b == -1) over = __builtin_sub_overflow(0, a, &x);
    if (over) return wild(r);
    if (op == OP_FLOOR && b != -1) x = a / b - (a % b != 0 && (a < 0) != (b < 0));
    if (op == OP_MOD && b != -1) x = a % b + (a % b != 0 && (a < 0) != (b < 0) ? b : 0);
    return run_int(r, x);
}

static struct value *join_lists(struct run *r, const struct value *a, const struct value *b)
{
    struct items out = {0};

    for (size_t i = 0; i < a->list.n; i++)
        if (!items_add(r, &out, a->list.at[i])) return NULL;
    for (size_t i = 0; i < b->list.n; i++)
        if (!items_add(r, &out, b->list.at[i])) return NULL;
    return run_work(r, out.n / 16) ? run_items(r, a->kind, &out) : NULL;
}

static struct value *repeat(struct run *r, const struct value *a, int64_t times)
{
    struct items out = {0};

    if (a->kind == VALUE_STR && a->flag) return run_fail(r, ERR_UNSUPPORTED, "escaped text * n");
    if (a->kind == VALUE_STR) return text_repeat(r, a, times);
    for (int64_t k = 0; a->list.n && k < times && run_work(r, 1); k++)
        for (size_t i = 0; i < a->list.n; i++)
            if (!items_add(r, &out, a->list.at[i])) return NULL;
    return run_items(r, a->kind, &out);
}

/* Escaped text escapes what is added to it. */
static struct value *add_texts(struct run *r, struct value *a, struct value *b)
{
    bool escaped = a->flag || b->flag;
    struct value *text;

    if (escaped) {
        a = text_escape(r, a);
        b = text_escape(r, b);
    }
    text = a && b ? text_concat(r, a, b) : NULL;
    if (text) text->flag = escaped;
    return text;
}

static struct value *concat(struct run *r, struct value *a, struct value *b)
{
    a = value_str(r, a);
    b = value_str(r, b);
    return a && b ? text_concat(r, a, b) : NULL;
}

static bool is_repeatable(const struct value *v)
{
    return v->kind == VALUE_STR || v->kind == VALUE_LIST || v->kind == VALUE_TUPLE;
}

struct value *arith_binary(struct run *r, enum binary_op op, struct value *a, struct value *b)
{
    int64_t x, y;

    if (op == OP_CONCAT) return concat(r, a, b);
    if (value_int(a, &x) && value_int(b, &y)) return between_ints(r, op, x, y);
    if (value_is_number(a) && value_is_number(b))
        return between_floats(r, op, value_number(a), value_number(b));
    if (op == OP_ADD && a->kind == b->kind && is_repeatable(a))
        return a->kind == VALUE_STR ? add_texts(r, a, b) : join_lists(r, a, b);
    if (op == OP_MUL && is_repeatable(a) && value_int(b, &y)) return repeat(r, a, y);
    if (op == OP_MUL && is_repeatable(b) && value_int(a, &x)) return repeat(r, b, x);
    if (op == OP_MOD && a->kind == VALUE_STR && a->flag)
        return run_fail(r, ERR_UNSUPPORTED, "escaped text %% value");
    if (op == OP_MOD && a->kind == VALUE_STR) return format_percent(r, a, b);
    return run_fail(r, ERR_ARG, "%s and %s do not go together", value_name(a), value_name(b));
}

struct value *arith_compare(struct run *r, enum binary_op op, struct value *a, struct value *b)
{
    struct value *found;
    int order;

    if (op == OP_EQ || op == OP_NE) return run_bool(r, value_equal(r, a, b) == (op == OP_EQ));
    if (op == OP_IN) return value_contains(r, b, a);
    if (op == OP_NOT_IN) {
        found = value_contains(r, b, a);
        return found ? run_bool(r, !found->flag) : NULL;
    }
    if (!value_compare(r, a, b, &order)) return NULL;
    switch (op) {
    case OP_LT: return run_bool(r, order < 0);
    case OP_LE: return run_bool(r, order <= 0);
    case OP_GT: return run_bool(r, order > 0);
    default: return run_bool(r, order >= 0);
    }
}

struct value *arith_sign(struct run *r, struct value *a, bool minus)
{
    int64_t x;

    if (value_int(a, &x)) return minus ? between_ints(r, OP_SUB, 0, x) : run_int(r, x);
    if (a->kind == VALUE_FLOAT) return minus ? run_float(r, -a->f) : a;
    return run_fail(r, ERR_ARG, "minus or plus %s", value_name(a));
}
