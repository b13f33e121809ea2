#include "engine/template_choice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/strbuf.h"
#include "text/chat_template.h"

static const char own_key[] = "tokenizer.chat_template";

static bool is_source(const char *text)
{
    return strpbrk(text, "{\n") != NULL;
}

static pl_status copy(char **out, const char *bytes, size_t n, pl_err *err)
{
    *out = malloc(n + 1);
    if (!*out) return pl_fail(err, PL_E_MEMORY, "no memory for a chat template of %zu bytes", n);
    if (n) memcpy(*out, bytes, n);
    (*out)[n] = 0;
    return PL_OK;
}

/* *out stays NULL where the file has none of that name; NULL and "default" name its own. */
static pl_status read_named(char **out, const struct gguf *g, const char *name, pl_err *err)
{
    char key[128];
    struct gguf_string source;
    const int n = name ? snprintf(key, sizeof key, "%s.%s", own_key, name)
                       : snprintf(key, sizeof key, "%s", own_key);
    if (n < 0 || (size_t)n >= sizeof key) return PL_OK;
    if (!gguf_has(g, key)) return name && !strcmp(name, "default") ? read_named(out, g, NULL, err)
                                                                    : PL_OK;
    const pl_status st = gguf_string(g, key, &source, err);
    return st ? st : copy(out, source.bytes, source.n, err);
}

/* "rag, tool_use", or nothing. */
static void list_names(struct strbuf *to, const struct gguf *g)
{
    static const char key[] = "tokenizer.chat_templates";
    struct gguf_array names;
    pl_err ignored;
    if (!gguf_has(g, key) || gguf_array(g, key, GGUF_STRING, &names, &ignored)) return;
    const uint8_t *at = names.data;
    for (uint64_t i = 0; i < names.n && to->n < 120; i++) {
        const struct gguf_string name = gguf_next_string(&at);
        strbuf_addf(to, "%s%.*s", i ? ", " : "", (int)(name.n < 40 ? name.n : 40), name.bytes);
    }
}

static pl_status no_such_name(const struct gguf *g, const char *chosen, pl_err *err)
{
    struct strbuf names = { 0 };
    list_names(&names, g);
    const pl_status st =
        pl_fail(err, PL_E_PARAM, "chat template \"%.60s\" is neither a built-in's name (chatml, "
                "llama3, ...) nor one of the file's (%s) nor a template's source", chosen,
                names.n ? names.bytes : "it names none");
    strbuf_free(&names);
    return st;
}

static pl_status choose(struct template_choice *out, const struct gguf *g, const char *chosen,
                        pl_err *err)
{
    const char *builtin = chat_template_builtin(chosen);
    if (builtin) return copy(&out->chat, builtin, strlen(builtin), err);
    if (is_source(chosen)) return copy(&out->chat, chosen, strlen(chosen), err);
    const pl_status st = read_named(&out->chat, g, chosen, err);
    return st || out->chat ? st : no_such_name(g, chosen, err);
}

static void say_what_is_there(const struct template_choice *c, const struct gguf *g)
{
    struct strbuf names = { 0 };
    list_names(&names, g);
    if (!c->chat && names.n)
        PL_LOG(WARN, "text", "the file has no chat template of its own but named ones (%s): choose "
               "one by --chat-template NAME", names.bytes);
    strbuf_free(&names);
}

pl_status template_choose(struct template_choice *out, const struct gguf *g, const char *chosen,
                          pl_err *err)
{
    *out = (struct template_choice){ 0 };
    pl_status st;
    if (chosen) {
        st = choose(out, g, chosen, err);
    } else {
        st = read_named(&out->chat, g, NULL, err);
        if (!st && !out->chat) st = read_named(&out->chat, g, "default", err);
        if (!st) st = read_named(&out->tool_use, g, "tool_use", err);
        if (!st && !out->chat && out->tool_use) {
            out->chat = out->tool_use;      /* the only one: it serves conversations without too */
            out->tool_use = NULL;
        }
        if (!st) say_what_is_there(out, g);
    }
    if (st) template_choice_free(out);
    return st;
}

void template_choice_free(struct template_choice *c)
{
    free(c->chat);
    free(c->tool_use);
    *c = (struct template_choice){ 0 };
}
