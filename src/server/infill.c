#include "server/infill.h"

#include <string.h>

#include "base/status.h"
#include "server/prompt_tokens.h"

/* How families write it: Qwen, StarCoder and Granite, DeepSeek, GLM, Code Llama, Codestral. */
static const struct syntax {
    const char *prefix, *suffix, *middle;
    const char *repository, *file;  /* before other files; NULL: their text alone is given */
    bool suffix_is_first;           /* and the prefix is what goes on */
} syntaxes[] = {
    { "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|repo_name|>", "<|file_sep|>",
      false },
    { "<fim_prefix>", "<fim_suffix>", "<fim_middle>", "<repo_name>", "<file_sep>", false },
    { "<fim-prefix>", "<fim-suffix>", "<fim-middle>", NULL, NULL, false },
    { "<｜fim▁begin｜>", "<｜fim▁hole｜>", "<｜fim▁end｜>", NULL, NULL, false },
    { "<|code_prefix|>", "<|code_suffix|>", "<|code_middle|>", NULL, NULL, false },
    { "▁<PRE>", "▁<SUF>", "▁<MID>", NULL, NULL, false },
    { "[PREFIX]", "[SUFFIX]", NULL, NULL, NULL, true },
};

/* ---- marks ---------------------------------------------------------------------------------- */

/* Whether the text is one token of its own. */
static bool is_token(const pl_engine *engine, const char *text, int32_t *id)
{
    pl_tokens tokens = { 0 };
    const pl_status st =
        pl_tokenize(engine, text, strlen(text), PL_TOKENIZE_SPECIAL, &tokens, NULL);
    const bool is_one = !st && tokens.n == 1;
    if (is_one) *id = tokens.ids[0];
    pl_tokens_free(&tokens);
    return is_one;
}

static const struct syntax *find_syntax(const pl_engine *engine)
{
    int32_t id;
    for (size_t i = 0; i < sizeof syntaxes / sizeof *syntaxes; i++) {
        const struct syntax *s = &syntaxes[i];
        if (is_token(engine, s->prefix, &id) && is_token(engine, s->suffix, &id) &&
            (!s->middle || is_token(engine, s->middle, &id)))
            return s;
    }
    return NULL;
}

/* ---- pieces --------------------------------------------------------------------------------- */

struct pieces {
    const pl_engine *engine;
    pl_tokens *out;
    pl_status status;
    pl_err *err;
};

static void add_tokens(struct pieces *p, const char *text, size_t n, unsigned flags)
{
    if (!p->status) p->status = prompt_tokens_add_text(p->out, p->engine, text, n, flags, p->err);
}

static void add_mark(struct pieces *p, const char *mark)
{
    if (mark) add_tokens(p, mark, strlen(mark), PL_TOKENIZE_SPECIAL);
}

/* What looks like a mark in a text stays text. */
static void add_text(struct pieces *p, const json_t *text)
{
    if (json_is_string(text)) add_tokens(p, json_string_value(text), json_string_length(text), 0);
}

static void add_line(struct pieces *p, const char *line)
{
    add_tokens(p, line, strlen(line), 0);
    add_tokens(p, "\n", 1, 0);
}

/* Repository and file names are the client's affair: a name that is missing is some name. */
static void add_extra(struct pieces *p, const struct syntax *s, const json_t *extra)
{
    size_t i;
    json_t *file;
    if (!json_array_size(extra)) return;
    if (s->repository) {
        add_mark(p, s->repository);
        add_line(p, "project");
    }
    json_array_foreach((json_t *)(uintptr_t)extra, i, file) {
        const char *name = json_string_value(json_object_get(file, "filename"));
        add_mark(p, s->file);
        if (s->file) add_line(p, name ? name : "file");
        add_text(p, json_object_get(file, "text"));
        if (!s->file) add_tokens(p, "\n", 1, 0);
    }
    add_mark(p, s->file);
    if (s->file) add_line(p, "filename");
}

pl_status infill_tokens(const pl_engine *engine, const struct infill *in, pl_tokens *out,
                        pl_err *err)
{
    const struct syntax *s = find_syntax(engine);
    struct pieces p = { engine, out, PL_OK, err };
    if (!s)
        return pl_fail(err, PL_E_PARAM, "suffix: this model has no tokens for filling in the "
                       "middle (such as <|fim_prefix|>)");
    add_tokens(&p, "", 0, PL_TOKENIZE_BOS);
    add_extra(&p, s, in->extra);
    if (s->suffix_is_first) {
        add_mark(&p, s->suffix);
        add_text(&p, in->suffix);
        add_mark(&p, s->prefix);
        add_text(&p, in->prefix);
    } else {
        add_mark(&p, s->prefix);
        add_text(&p, in->prefix);
        add_mark(&p, s->suffix);
        add_text(&p, in->suffix);
        add_mark(&p, s->middle);
    }
    add_text(&p, in->middle);
    return p.status;
}
