/* chart.c - numbers over time as inline SVG. */
#include "clients/chart.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "clients/html.h"
#include "clients/progress.h"

#define WIDTH    900
#define LEFT     70 /* for the numbers of the axis */
#define RIGHT    12
#define TOP      10
#define PLOT     200 /* height of the areas */
#define BAR      18
#define BAR_NAME 160
#define TICKS    6

struct axis {
    int64_t from_ms, to_ms;
    int left;
};

static double x_of(const struct axis *a, int64_t at_ms)
{
    double span = (double)(a->to_ms - a->from_ms);

    return a->left +
           (span > 0 ? (double)(at_ms - a->from_ms) / span : 0) * (WIDTH - RIGHT - a->left);
}

/* 1, 2 or 5 times a power of ten, at least v. */
static double round_up(double v)
{
    double power = pow(10, floor(log10(v > 0 ? v : 1)));
    double m = v / power;

    return (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10) * power;
}

static void add_time(struct buf *out, int64_t at_ms, int64_t span_ms)
{
    time_t at = (time_t)(at_ms / 1000);
    char text[32];
    struct tm tm;

    localtime_r(&at, &tm);
    strftime(text, sizeof text, span_ms > 86400000 ? "%m-%d %H:%M" : "%H:%M:%S", &tm);
    buf_adds(out, text);
}

/* Times below the plot, with a thin line up each. */
static void add_times(struct buf *out, const struct axis *a, int height)
{
    for (int i = 0; i <= TICKS; i++) {
        int64_t at = a->from_ms + (a->to_ms - a->from_ms) * i / TICKS;
        double x = x_of(a, at);

        buf_printf(out,
                   "<line class=grid x1=%.1f y1=%d x2=%.1f y2=%d />"
                   "<text x=%.1f y=%d text-anchor=%s>",
                   x, TOP, x, height, x, height + 16,
                   i == 0       ? "start"
                   : i == TICKS ? "end"
                                : "middle");
        add_time(out, at, a->to_ms - a->from_ms);
        buf_adds(out, "</text>");
    }
}

static void add_values(struct buf *out, double top, const char *unit)
{
    for (int i = 0; i <= 4; i++) {
        double y = TOP + PLOT - PLOT * i / 4.0;
        char text[PROGRESS_TEXT];

        buf_printf(out,
                   "<line class=grid x1=%d y1=%.1f x2=%d y2=%.1f />"
                   "<text x=%d y=%.1f text-anchor=end>%s%s</text>",
                   LEFT, y, WIDTH - RIGHT, y, LEFT - 6, y + 4, progress_count(text, top * i / 4),
                   i == 4 ? unit : "");
    }
}

static void add_legend(struct buf *out, const struct chart_series *series, int n)
{
    buf_adds(out, "<p class=legend>");
    for (int i = 0; i < n; i++) {
        buf_printf(out, "<span><i class=b%d></i>", i % CHART_COLOURS);
        html_text(out, series[i].name);
        buf_adds(out, "</span> ");
    }
    buf_adds(out, "</p>\n");
}

/* One area between what is below it and itself; base is raised by it. */
static void add_area(struct buf *out, const struct axis *a, const double *y, double *base, int n,
                     int64_t step_ms, double top, int colour)
{
    buf_printf(out, "<path class=s%d d=\"M", colour);
    for (int i = 0; i < n; i++)
        for (int side = 0; side < 2; side++) /* a step: flat over its time */
            buf_printf(out, "%.1f,%.1f ", x_of(a, a->from_ms + (i + side) * step_ms),
                       TOP + PLOT - (base[i] + y[i]) / top * PLOT);
    for (int i = n - 1; i >= 0; i--)
        for (int side = 1; side >= 0; side--)
            buf_printf(out, "%.1f,%.1f ", x_of(a, a->from_ms + (i + side) * step_ms),
                       TOP + PLOT - base[i] / top * PLOT);
    buf_adds(out, "Z\"/>\n");
    for (int i = 0; i < n; i++)
        base[i] += y[i];
}

int chart_areas(struct buf *out, const struct chart_series *series, int n_series, int n_steps,
                int64_t from_ms, int64_t step_ms, const char *unit)
{
    const struct axis a = {from_ms, from_ms + n_steps * step_ms, LEFT};
    double *base = calloc((size_t)n_steps + 1, sizeof *base), top = 0;

    if (!base) return ERR_NOMEM;
    for (int i = 0; i < n_steps; i++) {
        double sum = 0;

        for (int k = 0; k < n_series; k++)
            sum += series[k].y[i];
        if (sum > top) top = sum;
    }
    top = round_up(top);
    buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=img>\n", WIDTH, TOP + PLOT + 24);
    add_values(out, top, unit);
    add_times(out, &a, TOP + PLOT);
    for (int k = 0; k < n_series; k++)
        add_area(out, &a, series[k].y, base, n_steps, step_ms, top, k % CHART_COLOURS);
    buf_adds(out, "</svg>\n");
    add_legend(out, series, n_series);
    free(base);
    return out->failed ? ERR_NOMEM : ERR_OK;
}

int chart_bars(struct buf *out, const struct chart_bar *bars, int n, int64_t from_ms, int64_t to_ms)
{
    const struct axis a = {from_ms, to_ms > from_ms ? to_ms : from_ms + 1, BAR_NAME};
    int height = TOP + n * BAR;

    buf_printf(out, "<svg viewBox=\"0 0 %d %d\" role=img>\n", WIDTH, height + 24);
    add_times(out, &a, height);
    for (int i = 0; i < n; i++) {
        double x = x_of(&a, bars[i].from_ms), w = x_of(&a, bars[i].to_ms) - x;

        buf_printf(out, "<text x=%d y=%d text-anchor=end>", BAR_NAME - 6, TOP + i * BAR + 13);
        html_text(out, bars[i].name);
        buf_printf(out, "</text><rect class=s%d x=%.1f y=%d width=%.1f height=%d rx=2><title>",
                   bars[i].colour % CHART_COLOURS, x, TOP + i * BAR + 3, w < 2 ? 2 : w, BAR - 6);
        html_text(out, bars[i].name);
        buf_adds(out, ", ");
        add_time(out, bars[i].from_ms, to_ms - from_ms);
        buf_adds(out, " to ");
        add_time(out, bars[i].to_ms, to_ms - from_ms);
        buf_adds(out, "</title></rect>\n");
    }
    buf_adds(out, "</svg>\n");
    return out->failed ? ERR_NOMEM : ERR_OK;
}
