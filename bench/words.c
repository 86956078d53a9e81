/* words.c - a benchmark's command line. */
#include "bench/words.h"

#include <stdlib.h>
#include <string.h>

#include "bench/report.h"

long words_number(const char *s, long most)
{
    char *end;
    const long v = strtol(s, &end, 10);

    if (*end || v < 1 || v > most) report_fail("%s is not a number from 1 to %ld", s, most);
    return v;
}

bool words_ask_for(char **words, const char *name)
{
    if (!*words) return true;
    for (; *words; words++)
        if (!strcmp(name, *words)) return true;
    return false;
}
