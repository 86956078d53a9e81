/* window.c - the hours of the day in which a batch may run. */
#include "broker/window.h"

#include <time.h>

bool window_is_open(int64_t from, int64_t to, int64_t wall_ms)
{
    time_t s = (time_t)(wall_ms / 1000);
    struct tm tm;
    int64_t now;

    if (from == to || !localtime_r(&s, &tm)) return true;
    now = tm.tm_hour * 60 + tm.tm_min;
    return from < to ? now >= from && now < to : now >= from || now < to;
}
