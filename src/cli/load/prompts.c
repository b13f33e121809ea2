#include "cli/load/prompts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "base/strbuf.h"

enum { MAX_WORDS = 1 << 20 };

static const char *const words[] = {
    "the", "of", "and", "to", "in", "is", "that", "for", "it", "as", "was", "with", "be", "by",
    "on", "not", "he", "his", "but", "at", "are", "this", "have", "had", "from", "or", "one", "you",
    "were", "her", "all", "she", "there", "would", "their", "we", "him", "been", "has", "when",
    "who", "will", "more", "no", "if", "out", "so", "said", "what", "up", "its", "about", "into",
    "than", "them", "can", "only", "other", "new", "some", "could", "time", "these", "two", "may",
    "then", "do", "first", "any", "my", "now", "such", "like", "our", "over", "man", "me", "even",
    "most", "made", "after", "also", "did", "many", "before", "must", "through", "back", "years",
    "where", "much", "your", "way", "well", "down", "should", "because", "each", "just", "those",
    "people", "how", "too", "little", "state", "good", "very", "make", "world", "still", "own",
    "see", "men", "work", "long", "get", "here", "between", "both", "life", "being", "under",
    "never", "day", "same", "another", "know", "while", "last", "might", "us", "great", "old",
    "year", "off", "come", "since", "against", "go", "came", "right", "used", "take", "three",
    "water", "house", "light", "hand", "city", "river", "paper", "music", "stone", "green", "table",
    "night", "white", "road", "door", "school", "book", "sound", "winter", "summer",
};
enum { N_WORDS = sizeof words / sizeof *words };

struct load_prompts {
    struct load_prompts_params params;
    json_t *lines;              /* of a file: an array of {"prompt" or "messages", "max_tokens"} */
};

/* ---- files ---------------------------------------------------------------------------------- */

static pl_status check_line(const struct load_prompts_params *p, size_t number, const json_t *line,
                            pl_err *err)
{
    const json_t *prompt = json_object_get(line, "prompt");
    const json_t *messages = json_object_get(line, "messages");
    const json_t *max_tokens = json_object_get(line, "max_tokens");

    if (!json_is_string(prompt) == !json_is_array(messages))
        return pl_fail(err, PL_E_PARAM, "%s:%zu: one of \"prompt\", a string, and \"messages\", an "
                       "array, is wanted", p->file, number);
    if (messages && !p->is_chat)
        return pl_fail(err, PL_E_PARAM, "%s:%zu: \"messages\" are for --endpoint chat; completions "
                       "take \"prompt\"", p->file, number);
    if (max_tokens && (!json_is_integer(max_tokens) || json_integer_value(max_tokens) < 1))
        return pl_fail(err, PL_E_PARAM, "%s:%zu: \"max_tokens\": a positive integer is wanted",
                       p->file, number);
    return PL_OK;
}

/* A line that begins with a brace is an object, any other the text of a prompt. */
static pl_status read_line(struct load_prompts *p, size_t number, const char *text, size_t n,
                           pl_err *err)
{
    json_error_t why;
    json_t *line = *text == '{' ? json_loadb(text, n, 0, &why)
                                : json_pack("{s:s%}", "prompt", text, n);
    if (!line)
        return pl_fail(err, PL_E_PARAM, "%s:%zu: %s", p->params.file, number,
                       *text == '{' ? why.text : "not UTF-8 text");
    const pl_status st = check_line(&p->params, number, line, err);
    if (st) json_decref(line);
    else json_array_append_new(p->lines, line);
    return st;
}

static pl_status read_lines(struct load_prompts *p, FILE *from, pl_err *err)
{
    char *text = NULL;
    size_t capacity = 0, number = 0;
    ssize_t n;
    pl_status st = PL_OK;

    while (!st && (n = getline(&text, &capacity, from)) >= 0) {
        number++;
        while (n && (text[n - 1] == '\n' || text[n - 1] == '\r')) n--;
        if (n) st = read_line(p, number, text, (size_t)n, err);
    }
    free(text);
    if (!st && ferror(from)) st = pl_fail(err, PL_E_IO, "%s: read error", p->params.file);
    if (!st && !json_array_size(p->lines))
        st = pl_fail(err, PL_E_PARAM, "%s: no prompt in it; one a line is wanted", p->params.file);
    return st;
}

static pl_status open_file(struct load_prompts *p, pl_err *err)
{
    FILE *from = fopen(p->params.file, "rb");
    if (!from) return pl_fail(err, PL_E_IO, "%s: %s", p->params.file, strerror(errno));
    p->lines = json_array();
    const pl_status st = p->lines ? read_lines(p, from, err)
                                  : pl_fail(err, PL_E_MEMORY, "out of memory");
    fclose(from);
    return st;
}

pl_status load_prompts_open(struct load_prompts **out, const struct load_prompts_params *params,
                            pl_err *err)
{
    struct load_prompts *p = calloc(1, sizeof *p);
    *out = NULL;
    if (!p) return pl_fail(err, PL_E_MEMORY, "out of memory");
    p->params = *params;
    const pl_status st = params->file ? open_file(p, err) : PL_OK;
    if (st) load_prompts_close(p);
    else *out = p;
    return st;
}

void load_prompts_close(struct load_prompts *p)
{
    if (!p) return;
    json_decref(p->lines);
    free(p);
}

/* ---- drawn words ---------------------------------------------------------------------------- */

bool load_prompts_parse_words(const char *text, double *mean, double *stddev)
{
    char *end;
    *stddev = 0;
    *mean = strtod(text, &end);
    if (end == text || !(*mean >= 1 && *mean <= MAX_WORDS)) return false;
    if (!*end) return true;
    if (*end != ':') return false;
    const char *second = end + 1;
    *stddev = strtod(second, &end);
    return end != second && !*end && *stddev >= 0 && *stddev <= MAX_WORDS;
}

/* Box and Muller's. 1 - u is above 0. */
static double normal(struct rng *r)
{
    const double u = 1 - rng_unit(r), v = rng_unit(r);
    return sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v);
}

static size_t draw_length(const struct load_prompts_params *p, struct rng *r)
{
    const double n = round(p->stddev_words > 0 ? p->mean_words + p->stddev_words * normal(r)
                                               : p->mean_words);
    return n < 1 ? 1 : n > MAX_WORDS ? MAX_WORDS : (size_t)n;
}

/* Words below `n_shared` come from a generator that every request starts alike. */
static void draw(const struct load_prompts_params *p, uint64_t number, struct strbuf *to)
{
    struct rng own, shared;
    rng_seed(&shared, p->seed);
    rng_seed(&own, rng_u64(&shared) + number);
    const size_t n = draw_length(p, &own);
    const double n_shared = round(p->shared * p->mean_words);

    for (size_t i = 0; i < n; i++) {
        if (i) strbuf_add(to, " ", 1);
        strbuf_add_str(to, words[rng_below((double)i < n_shared ? &shared : &own, N_WORDS)]);
    }
}

/* ---- what requests get ---------------------------------------------------------------------- */

static bool set_text(const struct load_prompts *p, const char *text, json_t *body)
{
    if (!p->params.is_chat) return !json_object_set_new(body, "prompt", json_string(text));
    return !json_object_set_new(body, "messages", json_pack("[{s:s s:s}]", "role", "user",
                                                            "content", text));
}

static bool set_line(const struct load_prompts *p, uint64_t number, json_t *body)
{
    const json_t *line = json_array_get(p->lines, number % json_array_size(p->lines));
    json_t *messages = json_object_get(line, "messages");
    json_t *max_tokens = json_object_get(line, "max_tokens");

    if (max_tokens && json_object_set(body, "max_tokens", max_tokens)) return false;
    if (messages) return !json_object_set(body, "messages", messages);
    return set_text(p, json_string_value(json_object_get(line, "prompt")), body);
}

bool load_prompts_set(const struct load_prompts *p, uint64_t number, json_t *body)
{
    if (p->params.text) return set_text(p, p->params.text, body);
    if (p->lines) return set_line(p, number, body);
    struct strbuf text = { 0 };
    draw(&p->params, number, &text);
    const bool is_set = !text.failed && set_text(p, text.bytes, body);
    strbuf_free(&text);
    return is_set;
}

void load_prompts_describe(const struct load_prompts *p, char *out, size_t n_out)
{
    const struct load_prompts_params *q = &p->params;
    if (q->text) {
        snprintf(out, n_out, "one fixed");
    } else if (p->lines) {
        snprintf(out, n_out, "%zu of %s in turn", json_array_size(p->lines), q->file);
    } else {
        char spread[48] = "", shared[48] = "";
        if (q->stddev_words > 0) snprintf(spread, sizeof spread, " (stddev %g)", q->stddev_words);
        if (q->shared > 0) snprintf(shared, sizeof shared, ", %g %% shared", 100 * q->shared);
        snprintf(out, n_out, "%g%s words drawn with seed %llu%s", q->mean_words, spread,
                 (unsigned long long)q->seed, shared);
    }
}
