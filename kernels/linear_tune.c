/* linear_tune.c - buckets of T, the fastest of some, and a choice as bytes under a name. */
#include "kernels/linear_tune.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mix.h"

#define RECORD_FORMAT 1 /* of struct record */

struct record {
    uint64_t format;
    char text[TUNE_TEXT]; /* the rest is zeros */
    struct tune_choice choices[TUNE_BUCKETS];
};

int tune_tokens(int bucket)
{
    return 1 << bucket;
}

int tune_bucket(int T)
{
    int b = 0;

    while (b < TUNE_BUCKETS - 1 && tune_tokens(b) < T)
        b++;
    return b;
}

int tune_best(const float *ms, int n)
{
    int best = -1;

    for (int i = 0; i < n; i++) {
        if (!(ms[i] >= 0)) continue; /* no number, too */
        if (best < 0 || ms[i] < ms[best] * (1 - TUNE_NOISE)) best = i;
    }
    return best;
}

void tune_name(char name[TUNE_NAME], const char *text)
{
    uint64_t hash = 0;

    for (; *text; text++)
        hash = mix64(hash ^ (unsigned char)*text) + 1;
    snprintf(name, TUNE_NAME, "linear-%016" PRIx64, hash);
}

bool tune_find(const struct tuning *t, const char *text, struct tune_choice choices[TUNE_BUCKETS])
{
    struct record r;
    char name[TUNE_NAME];

    if (!t) return false;
    tune_name(name, text);
    memset(&r, 0, sizeof r);
    if (t->find(t->self, name, &r, sizeof r) != sizeof r) return false;
    if (r.format != RECORD_FORMAT || strncmp(r.text, text, sizeof r.text)) return false;
    for (int b = 0; b < TUNE_BUCKETS; b++)
        if (r.choices[b].way > TUNE_ROWS) return false;
    memcpy(choices, r.choices, sizeof r.choices);
    return true;
}

void tune_keep(const struct tuning *t, const char *text,
               const struct tune_choice choices[TUNE_BUCKETS])
{
    struct record r;
    char name[TUNE_NAME];

    if (!t) return;
    tune_name(name, text);
    memset(&r, 0, sizeof r);
    r.format = RECORD_FORMAT;
    snprintf(r.text, sizeof r.text, "%s", text);
    memcpy(r.choices, choices, sizeof r.choices);
    t->keep(t->self, name, &r, sizeof r);
}
