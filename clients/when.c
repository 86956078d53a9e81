/* when.c - the times and windows that people write on a command line. */
#include "clients/when.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#define MAX_DIGITS 11 /* of unix seconds, or of a span's number */

/* Reads exactly n digits, or 1 to n where `upto`; returns what is behind them, NULL when they are
 * not there. */
static const char *digits(const char *s, int n, bool upto, int64_t *out)
{
    int i = 0;

    for (*out = 0; s && i < n && isdigit((unsigned char)s[i]); i++)
        *out = *out * 10 + (s[i] - '0');
    return s && i > 0 && (i == n || upto) ? s + i : NULL;
}

static const char *after(const char *s, char c)
{
    return s && *s == c ? s + 1 : NULL;
}

/* HH:MM or HH:MM:SS to the end of the text. */
static bool read_clock(const char *s, struct tm *t)
{
    int64_t h, m, sec = 0;

    s = digits(after(digits(s, 2, false, &h), ':'), 2, false, &m);
    if (s && *s) s = digits(after(s, ':'), 2, false, &sec);
    if (!s || *s || h > 23 || m > 59 || sec > 59) return false;
    t->tm_hour = (int)h;
    t->tm_min = (int)m;
    t->tm_sec = (int)sec;
    return true;
}

/* The date in front, or NULL; a day that the month does not have is for `unix_time` to find. */
static const char *read_date(const char *s, struct tm *t)
{
    int64_t y, m, d;

    s = digits(after(digits(s, 4, false, &y), '-'), 2, false, &m);
    s = digits(after(s, '-'), 2, false, &d);
    if (!s || (*s != ' ' && *s != 'T')) return NULL;
    t->tm_year = (int)y - 1900;
    t->tm_mon = (int)m - 1;
    t->tm_mday = (int)d;
    return s + 1;
}

static bool is_same(const struct tm *a, const struct tm *b)
{
    return a->tm_min == b->tm_min && a->tm_hour == b->tm_hour && a->tm_mday == b->tm_mday &&
           a->tm_mon == b->tm_mon && a->tm_year == b->tm_year;
}

/* Local time to unix time, the same on every libc: summer time first, since it comes first where a
 * time comes twice; then standard time, which is also what a skipped time is reckoned in. */
static bool unix_time(const struct tm *t, int64_t *out_ms)
{
    struct tm asked = *t, day = *t;
    time_t at;

    day.tm_hour = 12;
    day.tm_isdst = -1;
    if (mktime(&day) == (time_t)-1 || day.tm_mday != t->tm_mday || day.tm_mon != t->tm_mon)
        return false; /* February 30th */
    asked.tm_isdst = 1;
    at = mktime(&asked);
    if (at == (time_t)-1 || asked.tm_isdst != 1 || !is_same(&asked, t)) {
        asked = *t;
        asked.tm_isdst = 0;
        at = mktime(&asked);
    }
    *out_ms = (int64_t)at * 1000;
    return at != (time_t)-1 && at >= 0;
}

/* The next time at which the clocks show this. */
static bool next_time(struct tm *clock, int64_t now_ms, int64_t *out_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm today, t;

    if (!localtime_r(&now, &today)) return false;
    for (int days = 0; days < 3; days++) {
        t = today;
        t.tm_mday += days;
        t.tm_hour = 12;
        t.tm_isdst = -1;
        if (mktime(&t) == (time_t)-1) return false; /* the day's own date */
        t.tm_hour = clock->tm_hour;
        t.tm_min = clock->tm_min;
        t.tm_sec = clock->tm_sec;
        if (unix_time(&t, out_ms) && *out_ms > now_ms) return true;
    }
    return false;
}

static bool read_span(const char *s, int64_t *out_ms)
{
    static const struct {
        char letter;
        int64_t ms;
    } UNITS[] = {{'d', 86400000}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
    size_t unit = 0;
    int64_t n;

    *out_ms = 0;
    if (!*s) return false;
    while (*s) {
        if (!(s = digits(s, MAX_DIGITS - 3, true, &n))) return false;
        while (unit < sizeof UNITS / sizeof UNITS[0] && UNITS[unit].letter != *s)
            unit++;
        if (unit == sizeof UNITS / sizeof UNITS[0]) return false;
        *out_ms += n * UNITS[unit++].ms;
        s++;
    }
    return true;
}

int when_parse(const char *text, int64_t now_ms, int64_t *out_ms, struct errmsg *e)
{
    struct tm t = {0};
    const char *rest;
    bool good;

    if (*text == '+') {
        good = read_span(text + 1, out_ms);
        *out_ms += now_ms;
    } else if ((rest = digits(text, MAX_DIGITS, true, out_ms)) && !*rest) {
        good = true;
        *out_ms *= 1000;
    } else if ((rest = read_date(text, &t))) {
        good = read_clock(rest, &t) && unix_time(&t, out_ms);
    } else {
        good = read_clock(text, &t) && next_time(&t, now_ms, out_ms);
    }
    if (good) return ERR_OK;
    return err_set(e, ERR_ARG,
                   "'%s' is no time; write 2026-11-21 22:00, 22:00, +2h30m or unix seconds", text);
}

void when_show(int64_t ms, char out[32])
{
    time_t at = (time_t)(ms / 1000);
    struct tm t;

    if (!localtime_r(&at, &t) || !strftime(out, 32, "%Y-%m-%d %H:%M", &t)) strcpy(out, "?");
}

/* HH:MM in front; 24:00 is the end of a day. */
static const char *read_minute(const char *s, int64_t *out)
{
    int64_t h, m;

    s = digits(after(digits(s, 2, false, &h), ':'), 2, false, &m);
    if (!s || m > 59 || h > 24 || (h == 24 && m)) return NULL;
    *out = h * 60 + m;
    return s;
}

int when_window(const char *text, int64_t *from, int64_t *to, struct errmsg *e)
{
    const char *s = read_minute(after(read_minute(text, from), '-'), to);

    if (s && !*s && *from < 1440) {
        *to %= 1440;
        if (*from != *to) return ERR_OK;
    }
    return err_set(e, ERR_ARG, "'%s' is no window of the day; write 22:00-07:00", text);
}
