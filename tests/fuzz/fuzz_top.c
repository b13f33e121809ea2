/* What a server tells the monitor: /metrics and, after the first 0xff byte, /slots. Any bytes give
 * figures or none, and a frame of text without control characters. */
#include <stdlib.h>
#include <string.h>

#include "cli/top/view.h"

static struct top_server server;
static struct frame frame;

static void check_frame(void)
{
    if (frame.n > frame.max_lines) abort();
    for (size_t i = 0; i < frame.n; i++)
        for (const char *at = frame.line[i].text; *at; at++)
            if ((unsigned char)*at < 0x20 || *at == 0x7f) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const struct host_figures host = { .cpu_share = 0.5 };
    const char *text = (const char *)data;
    const char *cut = n ? memchr(text, 0xff, n) : NULL;
    const size_t n_metrics = cut ? (size_t)(cut - text) : n;
    if (!top_server_init(&server, "host")) abort();
    server.is_local = true;
    for (uint64_t i = 1; i <= 3; i++)
        top_server_answer(&server, i * 1000000000u, text, n_metrics, cut ? cut + 1 : NULL,
                          cut ? n - n_metrics - 1 : 0);
    const struct top_view view = { .server = &server, .n_servers = 1, .host = &host,
                                   .now_ns = 4000000000u, .interval_s = 1, .clock = "00:00:00" };
    frame.columns = 80;
    frame.max_lines = 24;
    frame.is_utf8 = n % 2;
    top_view_screen(&view, &frame);
    check_frame();
    frame.max_lines = FRAME_MAX_LINES;
    top_view_all(&view, &frame);
    check_frame();
    return 0;
}
