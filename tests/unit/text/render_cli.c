/* Renders chat templates for tests. Each line of standard input is a JSON object
 *   {"template" or "builtin": ..., "tool_use": ..., "bos": ..., "eos": ..., "control": [...],
 *    "request": {...}}
 * and gives one line {"text": ..., "guard": ...} or {"error": ..., "status": ...}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat_template.h"

static const char *text_of(const json_t *job, const char *name, const char *otherwise)
{
    const char *text = json_string_value(json_object_get(job, name));
    return text ? text : otherwise;
}

static json_t *failure(const pl_err *err)
{
    return json_pack("{s:s, s:s}", "error", err->text, "status", pl_status_name(err->status));
}

static json_t *render(const struct chat_template *t, const json_t *job, pl_err *err)
{
    const json_t *control = json_object_get(job, "control");
    const size_t n = json_array_size(control);
    const char **names = calloc(n + 1, sizeof *names);
    for (size_t i = 0; i < n; i++) names[i] = json_string_value(json_array_get(control, i));

    char *request = json_dumps(json_object_get(job, "request"), JSON_COMPACT);
    struct strbuf out = {0};
    char guard[8];
    const pl_status st = chat_template_render(
        t, request, strlen(request), &(struct control_names){ names, n }, &out, guard, err);
    json_t *reply =
        st ? failure(err)
           : json_pack("{s:s%, s:s}", "text", out.bytes ? out.bytes : "", out.n, "guard", guard);
    strbuf_free(&out);
    free(request);
    free(names);
    return reply;
}

static json_t *run(const json_t *job)
{
    const char *source = chat_template_builtin(text_of(job, "builtin", ""));
    struct chat_template *t;
    pl_err err = {0};
    const struct chat_template_source sources = {
        .chat = text_of(job, "template", source ? source : ""),
        .tool_use = text_of(job, "tool_use", NULL),
        .bos = text_of(job, "bos", NULL),
        .eos = text_of(job, "eos", NULL),
    };
    if (chat_template_open(&t, &sources, &err))
        return failure(&err);
    json_t *reply = render(t, job, &err);
    chat_template_close(t);
    return reply;
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    while ((n = getline(&line, &capacity, stdin)) > 0) {
        json_error_t why;
        json_t *job = json_loadb(line, (size_t)n, JSON_ALLOW_NUL, &why);
        if (!job) {
            fprintf(stderr, "render_cli: %s\n", why.text);
            return 1;
        }
        json_t *reply = run(job);
        char *text = json_dumps(reply, JSON_COMPACT);
        printf("%s\n", text);
        fflush(stdout);
        free(text);
        json_decref(reply);
        json_decref(job);
    }
    free(line);
    return 0;
}
