#include "server/tool_form.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/log.h"
#include "base/strbuf.h"

/* Ids of nine letters and digits: some templates refuse others. */
static const char probe[] =
    "{\"messages\":[{\"role\":\"user\",\"content\":\"the question\"},"
    "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"abcdefgh1\",\"type\":"
    "\"function\",\"function\":{\"name\":\"the_tool\",\"arguments\":{\"the_key\":\"the value\"}}}]"
    "},"
    "{\"role\":\"tool\",\"tool_call_id\":\"abcdefgh1\",\"name\":\"the_tool\","
    "\"content\":\"the result\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"the_tool\",\"description\":\"d\","
    "\"parameters\":{\"type\":\"object\",\"properties\":{\"the_key\":{\"type\":\"string\","
    "\"description\":\"k\"}},\"required\":[\"the_key\"]}}}],\"add_generation_prompt\":true}";

/* What the template makes of the assistant's turn, behind the question; NULL: it refuses, or writes
 * calls as the table does not have them. */
static const struct tool_syntax *find(const pl_engine *engine, bool *renders_calls)
{
    const struct tool_syntax *syntax = NULL;
    pl_text text = { 0 };
    *renders_calls = false;
    if (pl_chat_prompt(engine, probe, sizeof probe - 1, &text, NULL, NULL)) return NULL;
    const char *turn = text.bytes ? strstr(text.bytes, "the question") : NULL;
    *renders_calls = turn && strstr(turn, "the_tool");
    if (*renders_calls) syntax = tool_syntax_find(turn);
    pl_text_free(&text);
    return syntax;
}

static bool is_control(const pl_engine *engine, int32_t token)
{
    pl_text text = { 0 };
    if (pl_detokenize(engine, &token, 1, false, &text, NULL)) return false;
    const bool is_empty = text.n == 0;
    size_t n;
    pl_token_bytes(engine, token, &n);
    pl_text_free(&text);
    return is_empty && n > 0;
}

static void add_quoted(struct strbuf *b, const struct strbuf *text)
{
    json_t *v = text->n ? json_stringn(text->bytes, text->n) : NULL;
    char *quoted = v ? json_dumps(v, JSON_ENCODE_ANY) : NULL;
    if (quoted) strbuf_addf(b, "%s%s", b->n ? " " : "", quoted);
    free(quoted);
    json_decref(v);
}

/* The mark as a sequence of Lark; "" where it is empty or does not fit. */
static void write_mark(const pl_engine *engine, const char *mark, char out[TOOL_MARK_BYTES])
{
    struct strbuf lark = { 0 }, text = { 0 };
    pl_tokens tokens = { 0 };
    *out = 0;
    if (!*mark || pl_tokenize(engine, mark, strlen(mark), PL_TOKENIZE_SPECIAL, &tokens, NULL))
        return;
    for (size_t i = 0; i < tokens.n; i++) {
        size_t n;
        const char *bytes = pl_token_bytes(engine, tokens.ids[i], &n);
        if (!is_control(engine, tokens.ids[i])) {
            strbuf_add(&text, bytes, n);
            continue;
        }
        add_quoted(&lark, &text);
        strbuf_clear(&text);
        strbuf_addf(&lark, "%s<[%d]>", lark.n ? " " : "", tokens.ids[i]);
    }
    add_quoted(&lark, &text);
    if (lark.n && lark.n < TOOL_MARK_BYTES) memcpy(out, lark.bytes, lark.n + 1);
    pl_tokens_free(&tokens);
    strbuf_free(&text);
    strbuf_free(&lark);
}

/* What calls begin with, but for a line break at its end: a model may write it as one token. */
static void write_trigger(const struct tool_syntax *s, char out[TOOL_MARK_BYTES])
{
    const char *begin = tool_syntax_begin(s);
    size_t n = strlen(begin);
    while (n > 1 && begin[n - 1] == '\n') n--;
    snprintf(out, TOOL_MARK_BYTES, "%.*s", (int)n, begin);
}

void tool_form_open(struct tool_form *out, const pl_engine *engine)
{
    bool renders_calls;
    const struct tool_syntax *found = find(engine, &renders_calls);
    tool_form_fill(out, engine, found ? found : tool_syntax_generic());
    out->is_taught = !found;
    out->renders_calls = renders_calls;
    PL_LOG(INFO, "server", "tool calls syntax=%s%s", out->syntax->name,
           found ? "" : ", which a system message teaches");
}

void tool_form_fill(struct tool_form *out, const pl_engine *engine, const struct tool_syntax *s)
{
    *out = (struct tool_form){ .syntax = s };
    write_trigger(s, out->trigger);
    write_mark(engine, s->section, out->section);
    write_mark(engine, s->section_end, out->section_end);
    write_mark(engine, s->open, out->open);
    write_mark(engine, s->close, out->close);
    write_mark(engine, s->between, out->between);
    if (s->name_end) write_mark(engine, s->name_end, out->name_end);
    if (s->is_at_start) write_mark(engine, "<|python_tag|>", out->prefix);
}
