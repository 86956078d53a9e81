/* progress.c - how far a batch is, in one line. */
#include "clients/progress.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define BAR_MIN 8
#define BAR_MAX 40

char *progress_duration(char out[PROGRESS_TEXT], double seconds)
{
    int64_t s = seconds < 1e11 ? (int64_t)(seconds + 0.5) : (int64_t)1e11;
    int64_t m = s / 60, h = m / 60, d = h / 24;

    if (isnan(seconds) || seconds < 0)
        snprintf(out, PROGRESS_TEXT, "?");
    else if (s < 60)
        snprintf(out, PROGRESS_TEXT, "%ds", (int)s);
    else if (m < 60)
        snprintf(out, PROGRESS_TEXT, "%dm %02ds", (int)m, (int)(s % 60));
    else if (h < 24)
        snprintf(out, PROGRESS_TEXT, "%dh %02dm", (int)h, (int)(m % 60));
    else
        snprintf(out, PROGRESS_TEXT, "%dd %02dh", (int)d, (int)(h % 24));
    return out;
}

char *progress_count(char out[PROGRESS_TEXT], double n)
{
    static const char UNIT[] = "kMGTPE";
    int i = -1;

    if (n < 999.5) {
        snprintf(out, PROGRESS_TEXT, "%.0f", n > 0 ? n : 0.0);
        return out;
    }
    while (n >= 999.5 && i < 5) {
        n /= 1000;
        i++;
    }
    snprintf(out, PROGRESS_TEXT, n < 99.95 ? "%.1f%c" : "%.0f%c", n, UNIT[i]);
    return out;
}

static double share(const struct progress *p)
{
    double done = (double)(p->done + p->failed);

    if (p->total <= 0) return 0;
    return done < (double)p->total ? done / (double)p->total : 1;
}

/* Rounded down: 100 % is said when nothing is left. */
static int percent(const struct progress *p)
{
    int64_t done = p->done + p->failed;

    if (p->total <= 0) return 0;
    return done < p->total ? (int)(done * 100 / p->total) : 100;
}

static void add_bar(struct buf *out, double part, int width)
{
    int full = (int)(part * (width - 2));

    buf_addc(out, '[');
    for (int i = 0; i < width - 2; i++)
        buf_addc(out, i < full ? '#' : '-');
    buf_addc(out, ']');
}

/* The parts after the bar, the one most wanted first. */
static int parts(char out[5][64], const struct progress *p)
{
    char a[PROGRESS_TEXT], b[PROGRESS_TEXT];
    int n = 0;

    snprintf(out[n++], 64, "%3d%%", percent(p));
    snprintf(out[n++], 64, "%s/%s rows", progress_count(a, (double)(p->done + p->failed)),
             progress_count(b, (double)p->total));
    if (p->eta_s >= 0) snprintf(out[n++], 64, "ETA %s", progress_duration(a, p->eta_s));
    if (p->failed > 0) snprintf(out[n++], 64, "%s failed", progress_count(a, (double)p->failed));
    if (p->tokens_s > 0) snprintf(out[n++], 64, "%s tok/s", progress_count(a, p->tokens_s));
    return n;
}

int progress_line(struct buf *out, const struct progress *p, int width)
{
    char part[5][64];
    int n = parts(part, p), used = 0, fits = 0, bar;

    for (int i = 0; i < n; i++) {
        int more = (i ? 2 : 0) + (int)strlen(part[i]);

        if (used + more > width) break;
        used += more;
        fits++;
    }
    bar = width - used - 1;
    if (bar > BAR_MAX) bar = BAR_MAX;
    if (fits == n && bar >= BAR_MIN) {
        add_bar(out, share(p), bar);
        buf_addc(out, ' ');
    }
    for (int i = 0; i < fits; i++)
        buf_printf(out, "%s%s", i ? "  " : "", part[i]);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

int progress_plain(struct buf *out, const struct progress *p)
{
    char a[PROGRESS_TEXT];

    buf_printf(out, "%lld of %lld rows (%d %%), %lld failed", (long long)(p->done + p->failed),
               (long long)p->total, percent(p), (long long)p->failed);
    if (p->tokens_s > 0) buf_printf(out, ", %.0f tokens/s", p->tokens_s);
    if (p->eta_s >= 0) buf_printf(out, ", %s left", progress_duration(a, p->eta_s));
    buf_addc(out, '\n');
    return out->failed ? ERR_NOMEM : ERR_OK;
}
