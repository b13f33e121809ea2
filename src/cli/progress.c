#include "cli/progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"

enum { MAX_LINE = 512, DEFAULT_COLUMNS = 80, LEAST_BAR = 8, MAX_BAR = 40 };

static const uint64_t redraw_ns = 100000000, rate_ns = 500000000;

void progress_bytes(char *to, size_t capacity, uint64_t n)
{
    static const char *const units[] = { "kB", "MB", "GB", "TB" };
    double x = (double)n / 1000;
    size_t unit = 0;
    while (x >= 999.5 && unit < 3) x /= 1000, unit++;
    if (n < 1000) snprintf(to, capacity, "%u B", (unsigned)n);
    else snprintf(to, capacity, x < 9.995 ? "%.2f %s" : x < 99.95 ? "%.1f %s" : "%.0f %s", x,
                  units[unit]);
}

static void format_left(char *to, size_t capacity, const struct progress *p)
{
    const double s = p->bytes_per_s > 0 && p->n_total > p->n_done
                         ? (double)(p->n_total - p->n_done) / p->bytes_per_s : -1;
    const unsigned whole = s < 0 || s > 359999 ? 0 : (unsigned)ceil(s);
    if (s < 0 || s > 359999) snprintf(to, capacity, "%s", "");
    else if (whole >= 3600)
        snprintf(to, capacity, ", %u:%02u:%02u left", whole / 3600, whole / 60 % 60, whole % 60);
    else snprintf(to, capacity, ", %u:%02u left", whole / 60, whole % 60);
}

/* More may come than was said. */
static unsigned percent(const struct progress *p)
{
    const double n = 100.0 * (double)p->n_done / (double)p->n_total;
    return p->n_total ? (unsigned)fmin(n, 100) : 0;
}

/* "42 %, 1.97 GB of 4.68 GB, 38.2 MB/s, 1:12 left" as far as known. */
static void format_state(char *to, size_t capacity, const struct progress *p)
{
    char done[16], total[16], rate[16], left[32], speed[32] = "";
    progress_bytes(done, sizeof done, p->n_done);
    progress_bytes(total, sizeof total, p->n_total);
    progress_bytes(rate, sizeof rate, (uint64_t)p->bytes_per_s);
    format_left(left, sizeof left, p);
    if (p->bytes_per_s > 0) snprintf(speed, sizeof speed, ", %s/s", rate);
    if (p->is_share)
        snprintf(to, capacity, "%u %%%s", percent(p), left);
    else if (p->n_total)
        snprintf(to, capacity, "%u %%, %s of %s%s%s", percent(p), done, total, speed, left);
    else snprintf(to, capacity, "%s%s", done, speed);
}

void progress_format(char *to, size_t capacity, unsigned columns, const struct progress *p)
{
    char state[128], bar[MAX_BAR + 1] = "";
    format_state(state, sizeof state, p);
    size_t n_what = strlen(p->what);
    const size_t n_state = strlen(state), max_what = columns / 3;
    if (n_what > max_what) n_what = max_what;
    if (p->n_total && columns >= n_what + n_state + LEAST_BAR + 4) {
        size_t n_bar = columns - n_what - n_state - 4;
        if (n_bar > MAX_BAR) n_bar = MAX_BAR;
        const double share = fmin(1, (double)p->n_done / (double)p->n_total);
        const size_t n_full = (size_t)((double)n_bar * share);
        memset(bar, '#', n_full);
        memset(bar + n_full, '-', n_bar - n_full);
        bar[n_bar] = 0;
    }
    snprintf(to, capacity, *bar ? "%.*s [%s] %s" : "%.*s%s %s", (int)n_what, p->what, bar, state);
    if (strlen(to) > columns) to[columns] = 0;
}

static void clear_bar(struct progress *p)
{
    if (p->is_drawn) fputs("\r\033[K", p->to);
    p->is_drawn = false;
}

static void draw(struct progress *p)
{
    char line[MAX_LINE];
    struct winsize size;
    unsigned columns = DEFAULT_COLUMNS;
    if (ioctl(fileno(p->to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) columns = size.ws_col;
    if (columns > MAX_LINE) columns = MAX_LINE;
    progress_format(line, sizeof line, columns - 1, p);
    fprintf(p->to, "\r%s\033[K", line);
    fflush(p->to);
    p->is_drawn = true;
}

/* A moving average over some five seconds. */
static void measure(struct progress *p, uint64_t now)
{
    const uint64_t dt = now - p->last_ns;
    if (dt < rate_ns) return;
    const double rate = (double)(p->n_done - p->n_last) / ((double)dt * 1e-9);
    const double keep = exp(-(double)dt * 1e-9 / 5);
    p->bytes_per_s = p->bytes_per_s > 0 ? keep * p->bytes_per_s + (1 - keep) * rate : rate;
    p->n_last = p->n_done;
    p->last_ns = now;
}

void progress_begin(struct progress *p, FILE *to, const char *what, uint64_t n_total,
                    uint64_t n_done)
{
    *p = (struct progress){ .to = to, .n_total = n_total, .n_done = n_done, .n_last = n_done,
                            .last_ns = clock_ns() };
    if (!to) return;
    p->is_terminal = isatty(fileno(to));
    p->tenth = percent(p) / 10;
    snprintf(p->what, sizeof p->what, "%s", what);
    for (char *c = p->what; *c; c++)        /* one byte, one column */
        if ((unsigned char)*c < 32 || (unsigned char)*c > 126) *c = '?';
}

void progress_tick(struct progress *p)
{
    if (!p->to) return;
    const uint64_t now = clock_ns();
    measure(p, now);
    if (p->is_terminal) {
        if (now - p->drawn_ns < redraw_ns) return;
        p->drawn_ns = now;
        draw(p);
    } else if (percent(p) / 10 > p->tenth && p->n_done < p->n_total) {
        char state[128];
        p->tenth = percent(p) / 10;
        format_state(state, sizeof state, p);
        fprintf(p->to, "%s: %s\n", p->what, state);
        fflush(p->to);
    }
}

void progress_at(struct progress *p, uint64_t n_done)
{
    if (n_done < p->n_done) {           /* from the start again */
        p->n_last = n_done;
        p->tenth = 0;
    }
    p->n_done = n_done;
    progress_tick(p);
}

void progress_say(struct progress *p, const char *format, ...)
{
    va_list args;
    if (!p->to) return;
    clear_bar(p);
    va_start(args, format);
    vfprintf(p->to, format, args);
    va_end(args);
    fputc('\n', p->to);
    fflush(p->to);
}

void progress_end(struct progress *p)
{
    if (!p->to) return;
    clear_bar(p);
    fflush(p->to);
}
