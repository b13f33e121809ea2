#include "server/request.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
    const json_t *body;
    struct request *r;
    struct request_error *error;
    bool failed;
};

static void fail(struct parser *p, const char *param, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void fail(struct parser *p, const char *param, const char *format, ...)
{
    va_list args;
    if (p->failed) return;      /* the first error is the one that is told */
    p->failed = true;
    p->error->param = param;
    va_start(args, format);
    vsnprintf(p->error->text, sizeof p->error->text, format, args);
    va_end(args);
}

static const char *kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_OBJECT: return "an object";
    case JSON_ARRAY: return "an array";
    case JSON_STRING: return "a string";
    case JSON_INTEGER: return "an integer";
    case JSON_REAL: return "a number";
    case JSON_TRUE:
    case JSON_FALSE: return "a boolean";
    default: return "null";
    }
}

/* The member, or NULL where it is missing or null. */
static const json_t *member(const struct parser *p, const char *name)
{
    const json_t *v = json_object_get(p->body, name);
    return v && !json_is_null(v) ? v : NULL;
}

static void read_bool(struct parser *p, const char *name, bool *out)
{
    const json_t *v = member(p, name);
    if (!v) return;
    if (!json_is_boolean(v)) fail(p, name, "%s is %s; a boolean is wanted", name, kind_of(v));
    *out = json_is_true(v);
}

static void read_float(struct parser *p, const char *name, double min, double max, float *out)
{
    const json_t *v = member(p, name);
    if (!v) return;
    const double x = json_number_value(v);
    if (!json_is_number(v))
        fail(p, name, "%s is %s; a number is wanted", name, kind_of(v));
    else if (!(x >= min && x <= max))
        fail(p, name, "%s is %g; a number from %g to %g is wanted", name, x, min, max);
    else
        *out = (float)x;
}

static bool read_int(struct parser *p, const char *name, json_int_t min, json_int_t max,
                     json_int_t *out)
{
    const json_t *v = member(p, name);
    if (!v) return false;
    /* 5.0 is an integer as JSON Schema counts them */
    const bool is_whole = json_is_real(v) && fabs(json_real_value(v)) < 0x1p53 &&
                          json_real_value(v) == floor(json_real_value(v));
    if (!json_is_integer(v) && !is_whole) {
        fail(p, name, "%s is %s; an integer is wanted", name, kind_of(v));
        return false;
    }
    const json_int_t x = is_whole ? (json_int_t)json_real_value(v) : json_integer_value(v);
    if (x < min || x > max) {
        fail(p, name, "%s is %" JSON_INTEGER_FORMAT "; %" JSON_INTEGER_FORMAT " to %"
             JSON_INTEGER_FORMAT " is wanted", name, x, min, max);
        return false;
    }
    *out = x;
    return true;
}

static void read_u32(struct parser *p, const char *name, json_int_t min, json_int_t max,
                     uint32_t *out)
{
    json_int_t x;
    if (read_int(p, name, min, max, &x)) *out = (uint32_t)x;
}

static void read_sampling(struct parser *p)
{
    pl_sampling *s = &p->r->sampling;
    json_int_t seed, top_k;
    read_float(p, "temperature", 0, 100, &s->temperature);
    read_float(p, "top_p", 0, 1, &s->top_p);
    read_float(p, "min_p", 0, 1, &s->min_p);
    read_float(p, "typical_p", 0, 1, &s->typical_p);
    read_float(p, "repetition_penalty", 0.01, 100, &s->repetition_penalty);
    read_float(p, "repeat_penalty", 0.01, 100, &s->repetition_penalty);
    read_float(p, "frequency_penalty", -2, 2, &s->frequency_penalty);
    read_float(p, "presence_penalty", -2, 2, &s->presence_penalty);
    read_u32(p, "repeat_last_n", 0, 1 << 24, &s->penalty_last_n);
    if (read_int(p, "top_k", -1, INT32_MAX, &top_k)) s->top_k = top_k < 0 ? 0 : (uint32_t)top_k;
    if (read_int(p, "seed", INT64_MIN, INT64_MAX, &seed) && seed != -1) {
        s->seed = (uint64_t)seed;
        p->r->has_seed = true;
    }
}

static void read_max_tokens(struct parser *p)
{
    static const char *const names[] = { "n_predict", "max_tokens", "max_completion_tokens" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        json_int_t x;
        if (!read_int(p, names[i], -1, INT32_MAX, &x)) continue;
        if (x == 0) fail(p, names[i], "%s is 0; at least 1 is wanted", names[i]);
        p->r->max_tokens = x < 0 ? 0 : (uint32_t)x;
    }
}

static void read_stop(struct parser *p)
{
    const json_t *v = member(p, "stop");
    const size_t n = json_is_array(v) ? json_array_size(v) : v ? 1 : 0;
    if (n > REQUEST_MAX_STOPS)
        fail(p, "stop", "stop holds %zu strings; at most %d are taken", n, REQUEST_MAX_STOPS);
    for (size_t i = 0; i < n && !p->failed; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        const char *text = json_string_value(one);
        if (!text)
            fail(p, "stop", "stop is %s; a string or an array of strings is wanted", kind_of(one));
        else if (strlen(text) != json_string_length(one))
            fail(p, "stop", "a stop string holds a zero byte");
        else if (strlen(text) > REQUEST_MAX_STOP_BYTES)
            fail(p, "stop", "a stop string has %zu bytes; at most %d are taken", strlen(text),
                 REQUEST_MAX_STOP_BYTES);
        else if (*text)
            p->r->stop[p->r->n_stop++] = text;
    }
}

static void read_bias(struct parser *p)
{
    const json_t *v = member(p, "logit_bias");
    const char *key;
    json_t *value;
    if (!v) return;
    if (!json_is_object(v)) {
        fail(p, "logit_bias", "logit_bias is %s; an object of token ids and numbers is wanted",
             kind_of(v));
        return;
    }
    if (json_object_size(v) > REQUEST_MAX_BIASES) {
        fail(p, "logit_bias", "logit_bias names %zu tokens; at most %d are taken",
             json_object_size(v), REQUEST_MAX_BIASES);
        return;
    }
    p->r->bias = calloc(json_object_size(v) + 1, sizeof *p->r->bias);
    if (!p->r->bias) {
        fail(p, "logit_bias", "out of memory");
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)v, key, value) {
        char *end;
        errno = 0;
        const long id = strtol(key, &end, 10);
        if (!*key || *end || errno || id < 0 || id > INT32_MAX) {
            fail(p, "logit_bias", "logit_bias: \"%.20s\" is no token id", key);
        } else if (!json_is_number(value) || fabs(json_number_value(value)) > 100) {
            fail(p, "logit_bias", "logit_bias of token %ld: a number from -100 to 100 is wanted",
                 id);
        } else {
            /* -100 is how OpenAI's interface says "never" */
            const double bias = json_number_value(value);
            p->r->bias[p->r->sampling.n_bias++] =
                (pl_logit_bias){ (int32_t)id, bias <= -100 ? -INFINITY : (float)bias };
        }
    }
    p->r->sampling.bias = p->r->bias;
}

static void read_logprobs(struct parser *p)
{
    struct request *r = p->r;
    if (!r->is_chat) {          /* completions: a number of alternatives */
        const json_t *v = member(p, "logprobs");
        if (v && json_is_boolean(v)) {
            r->logprobs = json_is_true(v);
        } else if (v) {
            read_u32(p, "logprobs", 0, 20, &r->n_top_logprobs);
            r->logprobs = true;
        }
        if (r->logprobs && r->echo)
            fail(p, "echo", "echo together with logprobs is not supported by this version");
        return;
    }
    read_bool(p, "logprobs", &r->logprobs);
    read_u32(p, "top_logprobs", 0, 20, &r->n_top_logprobs);
    if (r->n_top_logprobs && !r->logprobs)
        fail(p, "top_logprobs", "top_logprobs is given without logprobs: true");
}

static void read_stream_options(struct parser *p)
{
    const json_t *v = member(p, "stream_options");
    if (!v) return;
    if (!json_is_object(v)) {
        fail(p, "stream_options", "stream_options is %s; an object is wanted", kind_of(v));
        return;
    }
    const json_t *usage = json_object_get(v, "include_usage");
    if (usage && !json_is_boolean(usage) && !json_is_null(usage))
        fail(p, "stream_options.include_usage", "include_usage is %s; a boolean is wanted",
             kind_of(usage));
    p->r->include_usage = json_is_true(usage);
}

/* What would change the reply and is not there yet is refused, never ignored. */
static void refuse_unsupported(struct parser *p)
{
    static const char *const members[] = { "grammar", "json_schema", "guided_json", "guided_regex",
                                           "guided_choice", "guided_grammar", "suffix" };
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (member(p, members[i]))
            fail(p, members[i], "%s is not supported by this version", members[i]);
    const json_t *format = member(p, "response_format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (format && (!type || strcmp(type, "text")))
        fail(p, "response_format", "response_format \"%.30s\" is not supported by this version; "
             "\"text\" is", type ? type : "");
    const json_t *choice = member(p, "tool_choice");
    const char *name = json_string_value(choice);
    if (choice && (!name || (strcmp(name, "auto") && strcmp(name, "none"))))
        fail(p, "tool_choice", "tool_choice other than \"auto\" and \"none\" is not supported by "
             "this version");
    json_int_t best_of = 0;
    if (read_int(p, "best_of", 1, INT32_MAX, &best_of) && best_of != p->r->n)
        fail(p, "best_of", "best_of is %d and n is %u; choosing among more replies than are asked "
             "for is not supported by this version", (int)best_of, p->r->n);
}

/* A message's content as one string: text parts are joined, other parts refused. */
static json_t *content_text(struct parser *p, const json_t *content)
{
    if (!json_is_array(content)) return json_incref((json_t *)(uintptr_t)content);
    char *all = NULL;
    size_t n_all = 0, i;
    json_t *part;
    json_array_foreach((json_t *)(uintptr_t)content, i, part) {
        const char *type = json_string_value(json_object_get(part, "type"));
        const json_t *text = json_object_get(part, "text");
        if (!type || strcmp(type, "text") || !json_is_string(text)) {
            fail(p, "messages", "a content part of type \"%.30s\"; this version takes text",
                 type ? type : "");
            break;
        }
        char *grown = realloc(all, n_all + json_string_length(text) + 1);
        if (!grown) {
            fail(p, "messages", "out of memory");
            break;
        }
        all = grown;
        memcpy(all + n_all, json_string_value(text), json_string_length(text));
        n_all += json_string_length(text);
    }
    json_t *joined = json_stringn(all ? all : "", n_all);
    free(all);
    return joined;
}

static void check_message(struct parser *p, const json_t *message, size_t i)
{
    const json_t *content = json_object_get(message, "content");
    if (!json_is_object(message))
        fail(p, "messages", "messages[%zu] is %s; an object is wanted", i, kind_of(message));
    else if (!json_is_string(json_object_get(message, "role")))
        fail(p, "messages", "messages[%zu] has no role", i);
    else if (content && !json_is_string(content) && !json_is_array(content) &&
             !json_is_null(content))
        fail(p, "messages", "messages[%zu].content is %s; a string or an array is wanted", i,
             kind_of(content));
}

static json_t *plain_messages(struct parser *p, const json_t *messages)
{
    json_t *plain = json_array(), *message;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)messages, i, message) {
        check_message(p, message, i);
        if (p->failed) break;
        json_t *copy = json_copy(message);
        const json_t *content = json_object_get(message, "content");
        if (json_is_array(content)) json_object_set_new(copy, "content", content_text(p, content));
        json_array_append_new(plain, copy);
    }
    return plain;
}

/* The members that the template sees: messages, tools, and chat_template_kwargs. */
static void read_chat(struct parser *p)
{
    const json_t *messages = member(p, "messages"), *tools = member(p, "tools");
    const json_t *more = member(p, "chat_template_kwargs");
    if (!messages || !json_is_array(messages) || !json_array_size(messages)) {
        fail(p, "messages", "messages is %s; an array of at least one message is wanted",
             messages ? json_is_array(messages) ? "empty" : kind_of(messages) : "missing");
        return;
    }
    if (tools && !json_is_array(tools))
        fail(p, "tools", "tools is %s; an array is wanted", kind_of(tools));
    if (more && !json_is_object(more))
        fail(p, "chat_template_kwargs", "chat_template_kwargs is %s; an object is wanted",
             kind_of(more));
    if (p->failed) return;
    json_t *chat = more ? json_copy((json_t *)(uintptr_t)more) : json_object();
    json_object_set_new(chat, "messages", plain_messages(p, messages));
    if (tools && json_array_size(tools)) json_object_set(chat, "tools", (json_t *)(uintptr_t)tools);
    const json_t *add = member(p, "add_generation_prompt");
    json_object_set_new(chat, "add_generation_prompt", json_boolean(!add || json_is_true(add)));
    if (!p->failed && !(p->r->chat = json_dumps(chat, JSON_COMPACT)))
        fail(p, "messages", "out of memory");
    json_decref(chat);
}

bool request_parse(struct request *out, const json_t *body, bool is_chat,
                   const struct request_defaults *defaults, struct request_error *error)
{
    struct parser p = { .body = body, .r = out, .error = error };
    *out = (struct request){ .is_chat = is_chat, .n = 1, .sampling = defaults->sampling,
                             .max_tokens = defaults->max_tokens };
    const json_t *model = member(&p, "model");
    if (model && !json_is_string(model))
        fail(&p, "model", "model is %s; a string is wanted", kind_of(model));
    out->model = json_string_value(model);

    read_bool(&p, "stream", &out->stream);
    read_bool(&p, "ignore_eos", &out->ignore_eos);
    read_bool(&p, "echo", &out->echo);
    read_stream_options(&p);
    read_u32(&p, "n", 1, REQUEST_MAX_REPLIES, &out->n);
    read_max_tokens(&p);
    read_sampling(&p);
    read_stop(&p);
    read_bias(&p);
    read_logprobs(&p);
    refuse_unsupported(&p);
    if (is_chat) {
        read_chat(&p);
    } else if (!(out->prompt = member(&p, "prompt"))) {
        fail(&p, "prompt", "prompt is missing");
    }
    if (p.failed) request_free(out);
    return !p.failed;
}

void request_free(struct request *r)
{
    free(r->bias);
    free(r->chat);
    r->bias = NULL;
    r->chat = NULL;
}
