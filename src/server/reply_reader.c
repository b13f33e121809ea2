#include "server/reply_reader.h"

#include <stdlib.h>
#include <string.h>

#include "base/space.h"

static const char think[] = "<think>", end_think[] = "</think>";

static size_t n_spaces(const struct strbuf *b)
{
    size_t n = 0;
    while (n < b->n && is_space(b->bytes[n])) n++;
    return n;
}

/* How many bytes at the end of the text may be the beginning of the mark. */
static size_t n_begun(const char *text, size_t n, const char *mark, size_t n_mark)
{
    for (size_t k = n_mark - 1 < n ? n_mark - 1 : n; k > 0; k--)
        if (!memcmp(text + n - k, mark, k)) return k;
    return 0;
}

/* The first n held bytes become part of `to`. */
static void release(struct reply_reader *r, struct strbuf *to, size_t n)
{
    if (!n) return;
    r->skips_spaces = false;
    strbuf_add(to, r->held.bytes, n);
    if (to == &r->thoughts) r->has_thought = true;
    if (to == &r->content)
        for (size_t i = 0; i < n && !r->has_told; i++) r->has_told = !is_space(r->held.bytes[i]);
    strbuf_drop(&r->held, n);
}

/* ---- thoughts ------------------------------------------------------------------------------- */

static bool start(struct reply_reader *r, bool is_end)
{
    const size_t n_blank = n_spaces(&r->held), n = r->held.n - n_blank;
    const char *at = r->held.bytes + n_blank;
    const size_t n_mark = sizeof think - 1;
    if (n < n_mark && !is_end && (!n || !memcmp(at, think, n))) return false;
    r->state = REPLY_TELLING;
    if (n < n_mark || memcmp(at, think, n_mark)) return true;
    strbuf_drop(&r->held, n_blank + n_mark);
    r->state = REPLY_THINKING;
    return true;
}

/* Spaces around thoughts are the template's. */
static bool go_on_thinking(struct reply_reader *r, bool is_end)
{
    if (!r->has_thought) strbuf_drop(&r->held, n_spaces(&r->held));
    if (!r->held.n) return false;
    const size_t n_mark = sizeof end_think - 1;
    const char *found = memmem(r->held.bytes, r->held.n, end_think, n_mark);
    const size_t begun = is_end ? 0 : n_begun(r->held.bytes, r->held.n, end_think, n_mark);
    const size_t n_all = found ? (size_t)(found - r->held.bytes) : r->held.n - begun;
    size_t n = n_all;
    while (n && is_space(r->held.bytes[n - 1])) n--;
    release(r, &r->thoughts, n);
    if (!found) return false;
    strbuf_drop(&r->held, n_all - n + n_mark);
    r->skips_spaces = true;
    r->state = REPLY_TELLING;
    return true;
}

/* ---- calls ---------------------------------------------------------------------------------- */

/* A mark that calls begin with. */
struct search {
    const char *first;          /* the first that was found, or NULL */
    size_t n_safe;              /* bytes that surely belong to none */
};

/* Spaces at the mark's end are not insisted on. */
static void search(const struct reply_reader *r, const char *mark, bool is_at_start,
                   struct search *s)
{
    size_t n = strlen(mark);
    while (n > 1 && is_space(mark[n - 1])) n--;
    const char *start = r->held.bytes + n_spaces(&r->held);
    const char *at = memmem(r->held.bytes, r->held.n, mark, n);
    size_t begun = n_begun(r->held.bytes, r->held.n, mark, n);
    if (is_at_start && (r->has_told || at != start)) at = NULL;
    if (is_at_start && (r->has_told || r->held.bytes + r->held.n - begun != start)) begun = 0;
    if (at && (!s->first || at < s->first)) s->first = at;
    if (r->held.n - begun < s->n_safe) s->n_safe = r->held.n - begun;
}

static struct search find_call(const struct reply_reader *r)
{
    const struct tool_syntax *syntax = r->syntax;
    struct search s = { NULL, r->held.n };
    for (size_t i = 0; i < 3 && syntax->trigger[i]; i++)
        search(r, syntax->trigger[i], syntax->is_at_start, &s);
    for (size_t i = 0; i < 3 && syntax->bare[i]; i++) search(r, syntax->bare[i], true, &s);
    if (!syntax->trigger[0]) search(r, tool_syntax_begin(syntax), false, &s);
    return s;
}

static bool go_on_telling(struct reply_reader *r, bool is_end)
{
    const bool has_room = r->syntax && !(r->is_single && r->n_calls);
    if (r->skips_spaces) strbuf_drop(&r->held, n_spaces(&r->held));
    struct search s = { NULL, r->held.n };
    if (has_room && r->held.n) s = find_call(r);
    const char *found = s.first;
    size_t n = found ? (size_t)(found - r->held.bytes) : s.n_safe;
    if (found || (has_room && !is_end))
        while (n && is_space(r->held.bytes[n - 1])) n--;
    if (is_end && !found) n = r->n_calls && n_spaces(&r->held) == r->held.n ? 0 : r->held.n;
    release(r, &r->content, n);
    if (!found) return false;
    r->state = REPLY_CALLING;   /* with the spaces before it: they are content if it is no call */
    return true;
}

/* The call is the reader's from now on. */
static void add_call(struct reply_reader *r, struct tool_call call)
{
    struct tool_call *more = realloc(r->call, (r->n_calls + 1) * sizeof *more);
    if (!more) {
        tool_call_free(&call);
        r->failed = true;
        return;
    }
    r->call = more;
    r->call[r->n_calls++] = call;
    r->skips_spaces = true;
}

/* Whether another call follows right behind one: its mark, or what stands between two. */
static enum tool_found next_call(const struct reply_reader *r)
{
    const struct tool_syntax *s = r->syntax;
    const char *mark = s->family == TOOL_ARRAY ? "," : s->is_at_start ? ";" : s->open;
    const size_t n_blank = n_spaces(&r->held), n = r->held.n - n_blank, n_mark = strlen(mark);
    const size_t n_less = n < n_mark ? n : n_mark;
    if (memcmp(r->held.n ? r->held.bytes + n_blank : "", mark, n_less)) return TOOL_NONE;
    return n < n_mark ? TOOL_UNFINISHED : TOOL_FOUND;
}

/* What follows a call without being one is content again; so is the mark of what never becomes a
 * call. */
static bool go_on_calling(struct reply_reader *r, bool is_end)
{
    struct tool_call call;
    size_t n_read = 0;
    if (!r->held.n) return false;
    const enum tool_found found = tool_parse(r->syntax, r->tools, r->held.bytes, r->held.n, is_end,
                                             &call, &n_read);
    if (found == TOOL_UNFINISHED) return false;
    if (found == TOOL_NONE) {
        if (r->skips_spaces) strbuf_drop(&r->held, n_spaces(&r->held));
        const size_t n = n_spaces(&r->held) + 1;
        release(r, &r->content, is_end || n > r->held.n ? r->held.n : n);
        r->state = REPLY_TELLING;
        return true;
    }
    add_call(r, call);
    strbuf_drop(&r->held, n_read);
    if (r->is_single || next_call(r) == TOOL_NONE) {
        strbuf_drop(&r->held, n_spaces(&r->held));
        r->state = REPLY_TELLING;
    }
    return true;
}

/* ---- channels ------------------------------------------------------------------------------- */

/* <|channel|>analysis, or with "to=functions.NAME" in it. */
static void begin_body(struct reply_reader *r, const char *header, size_t n)
{
    static const char to[] = "to=functions.", analysis[] = "analysis";
    const char *name = memmem(header, n, to, sizeof to - 1);
    const bool is_thought = memmem(header, n, analysis, sizeof analysis - 1) != NULL;
    r->state = REPLY_BODY;
    r->body = name ? NULL : is_thought ? &r->thoughts : &r->content;
    if (!name) return;
    name += sizeof to - 1;
    size_t n_name = 0;
    while (name + n_name < header + n && !is_space(name[n_name]) && name[n_name] != '<') n_name++;
    free(r->callee);
    r->callee = strndup(name, n_name);
    r->failed = r->failed || !r->callee;
}

/* A reply that does not begin with a mark is content: a grammar may have had it so. */
static bool read_header(struct reply_reader *r, bool is_end)
{
    static const char message[] = "<|message|>";
    if (!r->held.n) return false;
    const char *found = memmem(r->held.bytes, r->held.n, message, sizeof message - 1);
    if (!found && r->held.bytes[0] == '<' && !is_end) return false;
    if (!found) {
        r->state = REPLY_BODY;
        r->body = &r->content;
        if (is_end && r->held.bytes[0] == '<') strbuf_clear(&r->held);  /* a header cut off */
        return true;
    }
    const size_t n = (size_t)(found - r->held.bytes);
    begin_body(r, r->held.bytes, n);
    strbuf_drop(&r->held, n + sizeof message - 1);
    return true;
}

/* Arguments that are no object are told as content. */
static void end_call(struct reply_reader *r, size_t n)
{
    json_t *v = json_loadb(r->held.n ? r->held.bytes : "", n, 0, NULL);
    char *text = json_is_object(v) ? json_dumps(v, JSON_COMPACT) : NULL;
    json_decref(v);
    if (!text) {
        release(r, &r->content, n);
        return;
    }
    add_call(r, (struct tool_call){ r->callee, text });
    r->callee = NULL;
    strbuf_drop(&r->held, n);
}

static bool read_body(struct reply_reader *r, bool is_end)
{
    static const char *const marks[] = { "<|end|>", "<|call|>", "<|start|>" };
    struct search s = { NULL, r->held.n };
    size_t n_mark = 0;
    if (!r->held.n) return false;
    for (size_t i = 0; i < 3; i++) {
        const size_t n = strlen(marks[i]);
        const char *at = memmem(r->held.bytes, r->held.n, marks[i], n);
        const size_t begun = is_end ? 0 : n_begun(r->held.bytes, r->held.n, marks[i], n);
        if (r->held.n - begun < s.n_safe) s.n_safe = r->held.n - begun;
        if (!at || (s.first && s.first < at)) continue;
        s.first = at;
        n_mark = n;
    }
    const size_t n = s.first ? (size_t)(s.first - r->held.bytes) : s.n_safe;
    if (r->body) release(r, r->body, n);
    else if (s.first || is_end) end_call(r, n);
    if (!s.first) return false;
    strbuf_drop(&r->held, n_mark);
    r->state = REPLY_HEADER;
    return true;
}

void reply_reader_push(struct reply_reader *r, const char *text, size_t n, bool is_end)
{
    bool goes_on = true;
    if (n) strbuf_add(&r->held, text, n);
    while (goes_on && !r->failed && !r->held.failed) {
        switch (r->state) {
        case REPLY_START: goes_on = start(r, is_end); break;
        case REPLY_THINKING: goes_on = go_on_thinking(r, is_end); break;
        case REPLY_TELLING: goes_on = go_on_telling(r, is_end); break;
        case REPLY_CALLING: goes_on = go_on_calling(r, is_end); break;
        case REPLY_HEADER: goes_on = read_header(r, is_end); break;
        case REPLY_BODY: goes_on = read_body(r, is_end); break;
        }
    }
    r->failed = r->failed || r->held.failed || r->thoughts.failed || r->content.failed;
}

void reply_reader_free(struct reply_reader *r)
{
    for (uint32_t i = 0; i < r->n_calls; i++) tool_call_free(&r->call[i]);
    free(r->call);
    free(r->callee);
    strbuf_free(&r->held);
    strbuf_free(&r->thoughts);
    strbuf_free(&r->content);
    *r = (struct reply_reader){ 0 };
}
