#include "cli/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Made of web/report.js and web/report.css by the build. */
extern const unsigned char report_js[], report_css[];
extern const size_t report_js_bytes, report_css_bytes;

/* JSON inside a script element: a "<" could end the element. */
static void write_escaped(FILE *to, const char *json)
{
    for (; *json; json++) {
        if (*json == '<') fputs("\\u003c", to);
        else putc(*json, to);
    }
}

pl_status report_write(const char *path, const json_t *report, pl_err *err)
{
    char *json = json_dumps(report, JSON_COMPACT | JSON_REAL_PRECISION(7));
    if (!json) return pl_fail(err, PL_E_MEMORY, "out of memory");
    FILE *to = fopen(path, "w");
    if (!to) {
        free(json);
        return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    }
    fputs("<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" "
          "content=\"width=device-width\">\n<title>paceline</title>\n<style>", to);
    fwrite(report_css, 1, report_css_bytes, to);
    fputs("</style>\n<body>\n<script type=\"application/json\" id=\"report\">", to);
    write_escaped(to, json);
    fputs("</script>\n<script>", to);
    fwrite(report_js, 1, report_js_bytes, to);
    fputs("</script>\n</body>\n</html>\n", to);
    free(json);
    const bool is_bad = ferror(to);
    if (fclose(to) || is_bad) return pl_fail(err, PL_E_IO, "%s: %s", path, strerror(errno));
    return PL_OK;
}
