/* decisions.c - what a scheduler's last event led to. */
#include "tests/decisions.h"

#include "tests/test.h"

int decisions_said(const struct schedule *s, enum schedule_verdict v, int64_t instance)
{
    const struct schedule_decision *d;
    size_t n;
    int k = 0;

    d = schedule_decisions(s, &n);
    for (size_t i = 0; i < n; i++)
        k += d[i].verdict == v && (!instance || d[i].instance == instance);
    return k;
}

const struct schedule_decision *decisions_nth(const struct schedule *s, enum schedule_verdict v,
                                              int k)
{
    const struct schedule_decision *d;
    size_t n;

    d = schedule_decisions(s, &n);
    for (size_t i = 0; i < n; i++)
        if (d[i].verdict == v && !k--) return &d[i];
    ck_abort_msg("no such decision");
    return NULL;
}

int64_t decisions_rows(const struct schedule *s, int64_t instance)
{
    struct schedule_view v;

    ck_assert_int_eq(schedule_look(s, instance, &v), ERR_OK);
    return v.rows;
}
