#include "server/route_text.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/strbuf.h"
#include "server/answer.h"
#include "server/body.h"
#include "server/dialect.h"
#include "server/json_text.h"
#include "server/request.h"

static const char *const flag_names[] = { "parse_special", "add_special", "with_pieces" };
enum flag { PARSE_SPECIAL, ADD_SPECIAL, WITH_PIECES, N_FLAGS };

/* False: *wrong is no boolean. */
static bool read_flags(const json_t *body, bool *flag, const char **wrong)
{
    for (int i = 0; i < N_FLAGS; i++) {
        const json_t *v = json_object_get(body, flag_names[i]);
        if (!v || json_is_null(v)) continue;
        *wrong = flag_names[i];
        if (!json_is_boolean(v)) return false;
        flag[i] = json_is_true(v);
    }
    return true;
}

/* Half a character has no place in a JSON string: its bytes are given as numbers. */
static void write_piece(struct strbuf *to, const char *bytes, size_t n)
{
    if (json_text_is_utf8(bytes, n)) json_text_add(to, bytes, n);
    else json_text_add_bytes(to, bytes, n);
}

static void write_tokens(struct strbuf *to, const pl_engine *engine, const pl_tokens *tokens,
                         bool with_pieces)
{
    strbuf_add_str(to, "{\"tokens\":[");
    for (size_t i = 0; i < tokens->n; i++) {
        if (i) strbuf_add_str(to, ",");
        if (!with_pieces) {
            strbuf_addf(to, "%d", tokens->ids[i]);
            continue;
        }
        size_t n;
        const char *bytes = pl_token_bytes(engine, tokens->ids[i], &n);
        strbuf_addf(to, "{\"id\":%d,\"piece\":", tokens->ids[i]);
        write_piece(to, bytes, n);
        strbuf_add_str(to, "}");
    }
    strbuf_add_str(to, "]}");
}

enum MHD_Result route_tokenize(struct exchange *x)
{
    enum MHD_Result result;
    bool flag[N_FLAGS] = { [PARSE_SPECIAL] = true };
    const char *wrong = "content";
    pl_tokens tokens = { 0 };
    pl_err err;
    json_t *body = body_object(x, &result);
    if (!body) return result;
    const json_t *content = json_object_get(body, "content");
    if (!json_is_string(content) || !read_flags(body, flag, &wrong)) {
        json_decref(body);
        return answer_fail(x, 400, wrong, "invalid_parameter", "%s is no %s", wrong,
                           strcmp(wrong, "content") ? "boolean" : "string");
    }
    const unsigned flags = (flag[PARSE_SPECIAL] ? PL_TOKENIZE_SPECIAL : 0u) |
                           (flag[ADD_SPECIAL] ? PL_TOKENIZE_BOS : 0u);
    const pl_status st = pl_tokenize(server_engine(x), json_string_value(content),
                                     json_string_length(content), flags, &tokens, &err);
    json_decref(body);
    if (st) return answer_fail_engine(x, &err, "content");
    struct strbuf text = { 0 };
    write_tokens(&text, server_engine(x), &tokens, flag[WITH_PIECES]);
    pl_tokens_free(&tokens);
    return answer_text(x, &text);
}

/* The ids of an array; NULL: *err says what it holds instead. */
static int32_t *ids_of(const json_t *array, uint32_t n_vocab, pl_err *err)
{
    int32_t *ids = malloc((json_array_size(array) + 1) * sizeof *ids);
    if (!json_is_array(array)) pl_fail(err, PL_E_PARAM, "tokens: an array of token ids is wanted");
    else if (!ids) pl_fail(err, PL_E_MEMORY, "out of memory");
    for (size_t i = 0; ids && i < json_array_size(array); i++) {
        const json_t *id = json_array_get(array, i);
        const json_int_t value = json_integer_value(id);
        if (!json_is_integer(id))
            pl_fail(err, PL_E_PARAM, "tokens[%zu] is no integer; an array of token ids is wanted",
                    i);
        else if (value < 0 || value >= n_vocab)
            pl_fail(err, PL_E_PARAM, "tokens[%zu] is %" JSON_INTEGER_FORMAT
                    "; 0 to %u are wanted", i, value, n_vocab - 1);
        else
            ids[i] = (int32_t)value;
        if (err->status) break;
    }
    if (!err->status) return ids;
    free(ids);
    return NULL;
}

enum MHD_Result route_detokenize(struct exchange *x)
{
    enum MHD_Result result;
    pl_text text = { 0 };
    pl_err err = { 0 };
    json_t *body = body_object(x, &result);
    if (!body) return result;
    const json_t *tokens = json_object_get(body, "tokens");
    int32_t *ids = ids_of(tokens, pl_engine_plan(server_engine(x))->n_vocab, &err);
    const size_t n = json_array_size(tokens);
    json_decref(body);
    if (!ids) return answer_fail_engine(x, &err, "tokens");
    const pl_status st = pl_detokenize(server_engine(x), ids, n, true, &text, &err);
    free(ids);
    if (st) return answer_fail_engine(x, &err, "tokens");
    struct strbuf out = { 0 };
    strbuf_add_str(&out, "{\"content\":");
    json_text_add(&out, text.bytes, text.n);
    strbuf_add_str(&out, "}");
    pl_text_free(&text);
    return answer_text(x, &out);
}

/* A conversation, in the route's dialect, as the template has it. False: refused, *result is the
 * answer's. */
static bool render(struct exchange *x, pl_text *text, pl_tokens *tokens, enum MHD_Result *result)
{
    const struct request_defaults defaults = { .sampling = x->server->sampling,
                                              .template_kwargs = x->server->template_kwargs,
                                              .tools = &x->server->tools };
    struct completion c = { .exchange = x, .dialect = x->route->dialect };
    pl_err err;
    pl_status st = PL_E_PARAM;
    json_t *translated, *body = body_object(x, result);
    if (!body) return false;
    if (dialect_read(&c, body, &defaults, &translated, result)) {
        const char *chat = c.request.chat[0];
        st = c.request.n_chats > 1
                 ? pl_fail(&err, PL_E_PARAM, "messages are several conversations; one is wanted")
                 : pl_chat_prompt(server_engine(x), chat, strlen(chat), text, tokens, &err);
        if (st) *result = answer_fail_engine(x, &err, dialect_param(&c, "messages"));
        request_free(&c.request);
    }
    if (c.own) c.free_own(c.own);
    json_decref(translated);
    json_decref(body);
    return !st;
}

enum MHD_Result route_apply_template(struct exchange *x)
{
    enum MHD_Result result;
    pl_text text = { 0 };
    if (!render(x, &text, NULL, &result)) return result;
    struct strbuf out = { 0 };
    strbuf_add_str(&out, "{\"prompt\":");
    json_text_add(&out, text.bytes, text.n);
    strbuf_add_str(&out, "}");
    pl_text_free(&text);
    return answer_text(x, &out);
}

/* False: as render. */
static bool count_tokens(struct exchange *x, json_int_t *n, enum MHD_Result *result)
{
    pl_text text = { 0 };
    pl_tokens tokens = { 0 };
    const bool is_right = render(x, &text, &tokens, result);
    *n = (json_int_t)tokens.n;
    pl_text_free(&text);
    pl_tokens_free(&tokens);
    return is_right;
}

enum MHD_Result route_count_tokens(struct exchange *x)
{
    enum MHD_Result result;
    json_int_t n;
    if (!count_tokens(x, &n, &result)) return result;
    return answer_json(x, 200, json_pack("{s:I}", "input_tokens", n));
}

enum MHD_Result route_input_tokens(struct exchange *x)
{
    enum MHD_Result result;
    json_int_t n;
    if (!count_tokens(x, &n, &result)) return result;
    return answer_json(x, 200, json_pack("{s:s, s:I}", "object", "response.input_tokens",
                                         "input_tokens", n));
}
