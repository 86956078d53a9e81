/* log.c - one line to stderr for each thing worth telling. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define MAX_UNITS 16

static const char *const LEVELS[] = {"error", "warn", "info", "debug"};

/* Written once by log_setup before threads start. */
static enum log_level general = LOG_WARN;
static struct {
    char unit[16];
    enum log_level level;
} chosen[MAX_UNITS];
static int n_chosen;

static bool parse_level(const char *word, size_t len, enum log_level *out)
{
    for (int i = 0; i < 4; i++) {
        if (strlen(LEVELS[i]) == len && !strncmp(LEVELS[i], word, len)) {
            *out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_setup(const char *choice, enum log_level dflt)
{
    general = dflt;
    n_chosen = 0;
    while (choice && *choice) {
        size_t len = strcspn(choice, ",");
        const char *eq = memchr(choice, '=', len);
        enum log_level level;

        if (!eq && parse_level(choice, len, &level)) {
            general = level;
        } else if (eq && n_chosen < MAX_UNITS && (size_t)(eq - choice) < sizeof chosen[0].unit &&
                   parse_level(eq + 1, len - (size_t)(eq + 1 - choice), &level)) {
            memcpy(chosen[n_chosen].unit, choice, (size_t)(eq - choice));
            chosen[n_chosen].unit[eq - choice] = '\0';
            chosen[n_chosen++].level = level;
        }
        choice += len + (choice[len] == ',');
    }
}

bool log_wants(enum log_level level, const char *unit)
{
    for (int i = 0; i < n_chosen; i++)
        if (!strcmp(chosen[i].unit, unit)) return level <= chosen[i].level;
    return level <= general;
}

void log_line(enum log_level level, const char *unit, const char *fmt, ...)
{
    char line[1024];
    int64_t now = clock_wall_ms();
    time_t sec = (time_t)(now / 1000);
    struct tm tm;
    va_list ap;
    size_t len;
    int n;

    if (!log_wants(level, unit)) return;
    localtime_r(&sec, &tm);
    len = strftime(line, sizeof line, "%H:%M:%S", &tm);
    len += (size_t)snprintf(line + len, sizeof line - len, ".%03d %-5s %-8s ", (int)(now % 1000),
                            LEVELS[level], unit);
    va_start(ap, fmt);
    n = vsnprintf(line + len, sizeof line - len - 1, fmt, ap);
    va_end(ap);
    if (n > 0) len += (size_t)n < sizeof line - len - 1 ? (size_t)n : sizeof line - len - 2;
    line[len++] = '\n';
    if (write(STDERR_FILENO, line, len) < 0) return; /* nobody left to tell */
}
