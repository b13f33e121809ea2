/* The work is done behind the Rust shim: rust/src/environment.rs says which Jinja, guard.rs how
 * control tokens are broken, bounds.rs what a template may use. The bounds of one rendering of a
 * request of n bytes:
 *   steps      2^20 + 4 n instructions, at most 2^21
 *   memory     64 MiB + 16 n bytes, looked at whenever the template writes; four times that at once
 *   time       10 s, looked at likewise; 30 s at once
 *   recursion  200 levels; printed values 256
 * A template that breaks a bound "at once" loses its thread and is never run again. */
#include "text/chat_template.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "text/text_shim.h"

struct chat_template {
    const struct shim_template *shim;
};

static size_t strftime_now(const char *format, char *out, size_t n)
{
    const time_t now = time(NULL);
    struct tm local;
    if (!localtime_r(&now, &local)) return 0;
    return strftime(out, n, format, &local);
}

/* Says the shim's reason and frees it. */
static pl_status fail(pl_err *err, int shim_status, struct shim_text *reason)
{
    static const pl_status status_of[] = {
        [SHIM_OK] = PL_OK,
        [SHIM_BAD_INPUT] = PL_E_PARAM,
        [SHIM_TEMPLATE] = PL_E_TEMPLATE,
        [SHIM_MEMORY] = PL_E_MEMORY,
        [SHIM_INTERNAL] = PL_E_INTERNAL,
    };
    enum { MAX_BYTES = PL_ERR_TEXT_BYTES - 32 };   /* room for what stands before */
    const size_t n = shim_text_cut(reason, MAX_BYTES);
    const char *what = shim_status == SHIM_TEMPLATE ? "chat template: " : "";
    const pl_status st =
        pl_fail(err, status_of[shim_status], "%s%.*s", what, (int)n, reason->bytes);
    pl_shim_free(reason);
    return st;
}

/* A line each; what begins with ! is a warning. */
static void log_lines(const struct shim_text *text)
{
    size_t at = 0;
    while (at < text->n) {
        const char *line = text->bytes + at, *stop = memchr(line, '\n', text->n - at);
        const size_t n = stop ? (size_t)(stop - line) : text->n - at;
        const bool is_warning = *line == '!';
        log_write(is_warning ? PL_LOG_WARN : PL_LOG_INFO, "text", "%.*s", (int)n - is_warning,
                  line + is_warning);
        at += n + 1;
    }
}

pl_status chat_template_open(struct chat_template **out, const struct chat_template_source *source,
                             pl_err *err)
{
    *out = NULL;
    struct chat_template *t = calloc(1, sizeof *t);
    if (!t) return pl_fail(err, PL_E_MEMORY, "no memory for a chat template");

    struct shim_text text = {0};
    const struct shim_source all = {
        .chat = source->chat,
        .tool_use = source->tool_use,
        .bos = source->bos ? source->bos : "",
        .eos = source->eos ? source->eos : "",
    };
    const int st = pl_shim_template_open(&t->shim, &all, strftime_now, &text);
    if (st != SHIM_OK) {
        free(t);
        return fail(err, st, &text);
    }
    log_lines(&text);
    pl_shim_free(&text);
    *out = t;
    return PL_OK;
}

void chat_template_close(struct chat_template *t)
{
    if (!t) return;
    pl_shim_template_close(t->shim);
    free(t);
}

pl_status chat_template_render(const struct chat_template *t, const char *json, size_t n_bytes,
                               const struct control_names *control, struct strbuf *out,
                               char guard[8], pl_err *err)
{
    struct shim_text text = {0}, note = {0};
    guard[0] = 0;
    const int st = pl_shim_template_render(t->shim, json, n_bytes, control ? control->name : NULL,
                                           control ? control->n : 0, &text, guard, &note);
    log_lines(&note);
    pl_shim_free(&note);
    if (st != SHIM_OK) return fail(err, st, &text);

    strbuf_add(out, text.bytes, text.n);
    pl_shim_free(&text);
    if (out->failed) return pl_fail(err, PL_E_MEMORY, "no memory for the rendered prompt");
    return PL_OK;
}
