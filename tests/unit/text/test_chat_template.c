#include "text/chat_template.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define GUARD "\xef\xb7\x90"    /* U+FDD0 */

static const char *const names[] = { "<|im_start|>", "<|im_end|>", "<|user|>", "</s>", "x",
                                     "\xef\xbd\x9cUser\xef\xbd\x9c" };
static const struct control_names control = { names, sizeof names / sizeof *names };
static const struct control_names no_control;

static struct chat_template *open_template(const char *source)
{
    struct chat_template *t;
    pl_err err = {0};
    const struct chat_template_source sources = { source, NULL, "<s>", "</s>" };
    if (chat_template_open(&t, &sources, &err)) fail_msg("%s", err.text);
    return t;
}

static void check_render(const char *source, const char *json, const struct control_names *names_,
                         const char *want, const char *want_guard)
{
    struct chat_template *t = open_template(source);
    struct strbuf out = {0};
    char guard[8];
    pl_err err = {0};
    if (chat_template_render(t, json, strlen(json), names_, &out, guard, &err))
        fail_msg("%s\n%s: %s", source, json, err.text);
    assert_string_equal(out.bytes ? out.bytes : "", want);
    assert_string_equal(guard, want_guard);
    strbuf_free(&out);
    chat_template_close(t);
}

static void renders(const char *source, const char *want)
{
    check_render(source, "{\"messages\":[]}", &no_control, want, "");
}

/* The content of one user message after guarding. */
static void guards(const char *content, const char *want)
{
    char json[512];
    snprintf(json, sizeof json, "{\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}]}", content);
    check_render("{{ messages[0].content }}", json, &control, want,
                 strstr(want, GUARD) ? GUARD : "");
}

static void check_refusal(const char *source, const char *json, pl_status want, const char *words)
{
    struct chat_template *t;
    struct strbuf out = {0};
    char guard[8];
    pl_err err = {0};
    pl_status st = chat_template_open(&t, &(struct chat_template_source){ .chat = source }, &err);
    if (!st) st = chat_template_render(t, json, strlen(json), &no_control, &out, guard, &err);
    assert_int_equal(st, want);
    assert_int_equal(err.status, want);
    if (!strstr(err.text, words)) fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    assert_null(strchr(err.text, '\n'));
    strbuf_free(&out);
    chat_template_close(t);
}

static void guards_a_name_wherever_it_stands(void **state)
{
    (void)state;
    guards("Hello, a < b > c | d", "Hello, a < b > c | d");
    guards("<|im_end|>", "<" GUARD "|im_end|>");
    guards("a<|im_end|>b<|im_end|><|im_start|>c",
           "a<" GUARD "|im_end|>b<" GUARD "|im_end|><" GUARD "|im_start|>c");
    guards("<<|im_end|>>", "<<" GUARD "|im_end|>" ">");
    guards("\\u003c|im_end|\\u003e", "<" GUARD "|im_end|>");   /* escapes are no way round */
    guards("a\xef\xbd\x9cUser\xef\xbd\x9c.", "a\xef\xbd\x9c" GUARD "User\xef\xbd\x9c.");
    guards("im_end im_start| User", "im_end im_start| User");
    guards("x", "x");    /* a name of one character has no inside */
}

static void guards_what_a_neighbour_could_complete(void **state)
{
    (void)state;
    guards("ends in <", "ends in <" GUARD);
    guards("ends in <|im_", "ends in <" GUARD "|im_");
    guards("ends in <|im_end|", "ends in <" GUARD "|im_end|");
    guards("> a quotation", GUARD "> a quotation");
    guards("|> begins", "|" GUARD "> begins");
    guards("im_end|> begins", "i" GUARD "m_end|> begins");
    guards("s>", "s" GUARD ">");
    guards("ends in <  \\n", "ends in <" GUARD "  \n");    /* templates trim */
    guards("  > x", "  " GUARD "> x");
    guards("<", "<" GUARD);
    guards("user", "user");    /* '<|' + role + '|>' is the template's own token */
}

static void no_concatenation_spells_a_name(void **state)
{
    (void)state;
    /* Every way to cut a name between two strings of the caller, or caller and template. */
    const char *name = "<|im_end|>";
    for (size_t cut = 0; cut <= strlen(name); cut++) {
        char json[256];
        snprintf(json, sizeof json,
                 "{\"messages\":[{\"role\":\"a%.*s\",\"content\":\"%s b\",\"end\":\"c%.*s\"}]}",
                 (int)cut, name, name + cut, (int)cut, name);
        char source[256];
        snprintf(
            source, sizeof source,
            "{%% set m = messages[0] %%}{{ m.role + m.content }},{{ m.end }}%s,%.*s{{ m.content }}",
            name + cut, (int)cut, name);
        struct chat_template *t = open_template(source);
        struct strbuf out = {0};
        char guard[8];
        assert_int_equal(chat_template_render(t, json, strlen(json), &control, &out, guard, NULL),
                         0);
        /* The template alone writes the whole name where the caller's part is empty. */
        const char *found = strstr(out.bytes, name);
        const bool is_own = cut == 0 || cut == strlen(name);
        if (!!found != is_own) fail_msg("cut %zu: %s", cut, out.bytes);
        strbuf_free(&out);
        chat_template_close(t);
    }
}

static void guards_tools_keys_and_nested_values(void **state)
{
    (void)state;
    check_render("{{ tools | tojson }}{{ messages[0].content[0].text }}{{ extra.a if extra }}",
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"text\":\"<|im_end|>\"}]}],"
                 "\"tools\":[{\"name\":\"f<|im_end|>\",\"p\":{\"<|user|>\":[1,{\"k\":\"</s>\"}]}}],"
                 "\"extra\":{\"a\":\"</s>\"}}",
                 &control,
                 "[{\"name\": \"f<" GUARD "|im_end|>\", \"p\": {\"<" GUARD "|user|>\": "
                 "[1, {\"k\": \"<" GUARD "/s>\"}]}}]<" GUARD "|im_end|><" GUARD "/s>",
                 GUARD);
    /* An escape would be text that the tokenizer could not take out again. */
    check_render("{{ messages[0] | tojson(ensure_ascii=true) }}",
                 "{\"messages\":[\"<|im_end|>\xc3\xa9\"]}", &control,
                 "\"<" GUARD "|im_end|>\\u00e9\"", GUARD);
    /* The template's own tokens stay whole. */
    check_render("<|im_start|>{{ messages[0] }}{{ eos_token }}",
                 "{\"messages\":[\"<|im_start|>\"]}", &control,
                 "<|im_start|><" GUARD "|im_start|></s>", GUARD);
}

static void guard_character_occurs_nowhere_else(void **state)
{
    (void)state;
    check_render("{{ messages[0] }}", "{\"messages\":[\"</s>\\ufdd0\"],\"\\ufdd1\":1}", &control,
                 "<\xef\xb7\x92/s>" GUARD, "\xef\xb7\x92");
    check_render("{#" GUARD "#}{{ messages[0] }}", "{\"messages\":[\"</s>\"]}", &control,
                 "<\xef\xb7\x91/s>", "\xef\xb7\x91");

    char json[512] = "{\"messages\":[\"";
    for (unsigned c = 0xfdd0; c <= 0xfdef; c++)
        snprintf(json + strlen(json), sizeof json - strlen(json), "\\u%04x", c);
    strcat(json, "\"]}");
    check_refusal("a", json, PL_E_PARAM, "U+FDD0..U+FDEF");
}

static void malformed_requests(void **state)
{
    (void)state;
    check_refusal("a", "{\"messages\":[}", PL_E_PARAM, "line 1 column 14");
    check_refusal("a", "", PL_E_PARAM, "malformed JSON");
    check_refusal("a", "[]", PL_E_PARAM, "expected a JSON object");
    check_refusal("a", "{}", PL_E_PARAM, "\"messages\" is missing");
    check_refusal("a", "{\"messages\":{}}", PL_E_PARAM, "\"messages\" is not an array");
    check_refusal("a", "{\"messages\":[\"\xff\"]}", PL_E_PARAM, "not UTF-8 at byte 14");
    check_refusal("a", "{\"messages\":[\"\\ud800\"]}", PL_E_PARAM, "hex escape");

    enum { DEPTH = 100000 };
    char *deep = malloc(DEPTH + 32);
    strcpy(deep, "{\"messages\":[");
    memset(deep + strlen("{\"messages\":["), '[', DEPTH);
    deep[DEPTH + 13] = 0;
    check_refusal("a", deep, PL_E_PARAM, "recursion limit");
    free(deep);
}

static void templates_that_do_not_compile(void **state)
{
    (void)state;
    check_refusal("a\n{% if %}", "", PL_E_TEMPLATE, "line 2");
    check_refusal("{{ nope(", "", PL_E_TEMPLATE, "line 1");
    check_refusal("{{ x | nofilter }}", "{\"messages\":[]}", PL_E_TEMPLATE, "nofilter");
    check_refusal("\xff", "", PL_E_TEMPLATE, "not UTF-8 at byte 0");
}

static void errors_carry_the_templates_words(void **state)
{
    (void)state;
    const char *request = "{\"messages\":[]}";
    check_refusal("{{ raise_exception('Only one\nsystem message') }}", request, PL_E_TEMPLATE,
                  "chat template: Only one system message");
    check_refusal("{% macro m() %}{{ raise_exception('inside') }}{% endmacro %}{{ m() }}", request,
                  PL_E_TEMPLATE, "chat template: inside");
    check_refusal("\n\n{{ nope.x }}", request, PL_E_TEMPLATE, "line 3");
    /* 200 times a character of three bytes: cut between two of them */
    check_refusal("{{ raise_exception('\xe2\x82\xac' * 200) }}", request, PL_E_TEMPLATE,
                  "\xe2\x82\xac");
    pl_err err = {0};
    struct chat_template *t = open_template("{{ raise_exception('\xe2\x82\xac' * 200) }}");
    struct strbuf out = {0};
    char guard[8];
    assert_int_equal(chat_template_render(t, request, strlen(request), NULL, &out, guard, &err),
                     PL_E_TEMPLATE);
    assert_string_equal(err.text + strlen(err.text) - 3, "\xe2\x82\xac");
    assert_in_range(strlen(err.text), PL_ERR_TEXT_BYTES - 32, PL_ERR_TEXT_BYTES - 1);
    chat_template_close(t);
}

static void hostile_templates_end(void **state)
{
    (void)state;
    static const char *const sources[] = {
        /* steps */
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}",
        /* memory, seen while writing */
        "{% set ns = namespace(x='0123456789') %}{% for i in range(60) %}"
        "{% set ns.x = ns.x ~ ns.x %}{{ i }}{% endfor %}",
        "{% set x %}{{ 'x' * 99999999 }}{% endset %}{{ x }}{{ x }}{{ x }}",
        "{% for i in range(99999) %}{{ 'x' * 1000000 }}{% endfor %}",
        "{{ ('x' * 99999999).replace('x', 'y' * 1000) }}",
        "{{ [['x'] * 9999999] * 9999999 }}",
        /* memory, at once */
        "{% set ns = namespace(x='0123456789') %}{% for i in range(60) %}"
        "{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{{ 'x' * 99999999 ~ 'x' * 99999999 ~ 'x' * 99999999 ~ 'x' * 99999999 ~ 'x' * 99999999 }}",
        /* depth */
        "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor "
        "%}"
        "{{ ns.x }}",
        "{% set ns = namespace(x={}) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x} %}"
        "{% endfor %}{{ ns.x | tojson }}",
        "{% set ns = namespace(x=[]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
        "{% endfor %}{{ ns.x }}",
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++)
        check_refusal(sources[i], "{\"messages\":[]}", PL_E_TEMPLATE, "chat template: ");
}

/* A value is nested as deeply as the steps allow, at various depths written by an operator, and
 * freed. A large request allows the most steps. */
static void deep_values_do_not_overflow_the_stack(void **state)
{
    (void)state;
    enum { NESTED = 60, N_BYTES = 600000 };
    static const struct {
        const char *open, *close;
    } kinds[] = { { "[", "]" }, { "{1:", "}" } };
    static const int n_turns[] = { 700, 9999 };

    struct strbuf json = {0};
    strbuf_add_str(&json, "{\"messages\":[\"");
    for (int i = 0; i < N_BYTES; i++) strbuf_add_str(&json, "x");
    strbuf_add_str(&json, "\"]}");
    for (size_t kind = 0; kind < 2; kind++)
        for (size_t turns = 0; turns < 2; turns++) {
            struct strbuf source = {0};
            strbuf_addf(&source, "{%% set ns = namespace(x=[]) %%}{%% for j in range(999) %%}"
                        "{%% for i in range(%d) %%}{%% set ns.x = ", n_turns[turns]);
            for (int i = 0; i < NESTED; i++) strbuf_add_str(&source, kinds[kind].open);
            strbuf_add_str(&source, "ns.x");
            for (int i = 0; i < NESTED; i++) strbuf_add_str(&source, kinds[kind].close);
            strbuf_add_str(&source, " %}{% endfor %}{% set y = ns.x ~ '' %}{% endfor %}");
            check_refusal(source.bytes, "{\"messages\":[]}", PL_E_TEMPLATE, "too ");
            check_refusal(source.bytes, json.bytes, PL_E_TEMPLATE, "too ");
            strbuf_free(&source);
        }
    strbuf_free(&json);
}

static void a_banned_template_is_not_run_again(void **state)
{
    (void)state;
    struct chat_template *t = open_template(
        "{% if messages | length > 9 %}{{ ''.join(['x' * 50000000] * 9) }}{% endif %}ok");
    struct strbuf out = {0};
    char guard[8];
    pl_err err = {0};
    char many[512] = "{\"messages\":[";
    for (int i = 0; i < 60; i++) strcat(many, "1,");
    strcat(many, "1]}");
    const char *few = "{\"messages\":[1]}";
    assert_int_equal(chat_template_render(t, few, strlen(few), NULL, &out, guard, &err), PL_OK);
    assert_string_equal(out.bytes, "ok");
    assert_int_equal(chat_template_render(t, many, strlen(many), NULL, &out, guard, &err),
                     PL_E_TEMPLATE);
    assert_int_equal(chat_template_render(t, few, strlen(few), NULL, &out, guard, &err),
                     PL_E_TEMPLATE);
    assert_non_null(strstr(err.text, "is not run"));
    strbuf_free(&out);
    chat_template_close(t);
}

static void large_conversations_are_within_the_bounds(void **state)
{
    (void)state;
    enum { N_MESSAGES = 20000 };
    struct strbuf json = {0}, out = {0};
    strbuf_add_str(&json, "{\"messages\":[");
    for (int i = 0; i < N_MESSAGES; i++)
        strbuf_addf(&json, "%s{\"role\":\"user\",\"content\":\"message %d <|im_end|>\"}",
                    i ? "," : "", i);
    strbuf_add_str(&json, "]}");
    struct chat_template *t = open_template(chat_template_builtin("chatml"));
    char guard[8];
    pl_err err = {0};
    if (chat_template_render(t, json.bytes, json.n, &control, &out, guard, &err))
        fail_msg("%s", err.text);
    assert_string_equal(out.bytes + out.n - strlen("<|im_end|>\n"), "<|im_end|>\n");
    assert_non_null(strstr(out.bytes, "message 19999 <" GUARD "|im_end|><|im_end|>"));
    strbuf_free(&json);
    strbuf_free(&out);
    chat_template_close(t);
}

static void variables(void **state)
{
    (void)state;
    renders("{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools is none }}",
            "<s></s>FalseTrue");
    check_render("{{ enable_thinking }}{{ add_generation_prompt }}{{ n }}{{ big }}{{ f }}",
                 "{\"messages\":[],\"enable_thinking\":false,\"add_generation_prompt\":true,"
                 "\"n\":9007199254740993,\"big\":-9223372036854775808,\"f\":1.0}",
                 &no_control, "FalseTrue9007199254740993-92233720368547758081.0", "");
    check_render("{{ messages }}", "{\"messages\":[{\"z\":1,\"a\":null,\"m\":[true,\"it's\"]}]}",
                 &no_control, "[{'z': 1, 'a': None, 'm': [True, \"it's\"]}]", "");
}

/* A prompt that ends inside its last message: as it stands, whatever the template trims or puts
 * behind it, and a control token's name that the message ends with stays broken. */
static void the_last_message_is_continued(void **state)
{
    static const char source[] =
        "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}<end>{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
        "{{ continue_final_message is defined }}";
    static const struct { const char *last, *want, *guard; } cases[] = {
        { "\"So \"", "<user>q<end><assistant>So ", "" },
        { "\" end\"", "<user>q<end><assistant>end", "" },
        { "\"</\"", "<user>q<end><assistant><" GUARD "/", GUARD },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char json[512];
        snprintf(json, sizeof json, "{\"continue_final_message\":true,\"messages\":[{\"role\":"
                 "\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":%s}]}",
                 cases[i].last);
        check_render(source, json, &control, cases[i].want, cases[i].guard);
    }
    check_render(source, "{\"continue_final_message\":false,\"messages\":[]}", &no_control, "False",
                 "");
    check_refusal("{{ 1 }}", "{\"continue_final_message\":true,\"messages\":[{\"role\":"
                  "\"assistant\",\"content\":\"a\"}]}", PL_E_TEMPLATE, "cannot be continued");
    check_refusal("{{ 1 }}", "{\"continue_final_message\":true,\"messages\":[]}", PL_E_PARAM,
                  "no text to continue");
}

static void json_as_python_writes_it(void **state)
{
    (void)state;
    check_render(
        "{{ messages | tojson }}",
        "{\"messages\":[{\"b\":1,\"a\":[2.0,1e22,-0.5,true,null,\"<&>'\\u00e9\\u0001\\n\"]}]}",
        &no_control,
        "[{\"b\": 1, \"a\": [2.0, 1e+22, -0.5, true, null, \"<&>'\xc3\xa9\\u0001\\n\"]}]", "");
    renders("{{ {'a': [1, {}], 'b': []} | tojson(indent=2) }}",
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}");
    check_refusal("{{ nope | tojson }}", "{\"messages\":[]}", PL_E_TEMPLATE, "JSON");
}

static void python_methods(void **state)
{
    (void)state;
    renders("{{ ' \xc3\xa9 '.strip() }}{{ 'a-b-c'.split('-', 1) }}{{ '\xc3\xa9x'.find('x') }}",
            "\xc3\xa9['a', 'b-c']1");
    renders("{{ {'a': 1}.get('b', 2) }}{{ {'a': 1}.items() | list }}{{ 'abc'.removeprefix('a') }}",
            "2[('a', 1)]bc");
    renders("{{ 'a b c'.rsplit(' ', 1) }}{{ ' a  b '.rsplit() }}{{ 'x'.rpartition('-') | list }}",
            "['a b', 'c']['a', 'b']['', '', 'x']");
    check_refusal("{{ 'a'.index('b') }}", "{\"messages\":[]}", PL_E_TEMPLATE,
                  "substring not found");
    check_refusal("{{ 'a'.nope() }}", "{\"messages\":[]}", PL_E_TEMPLATE, "nope");
}

static void unicode_and_zero_bytes(void **state)
{
    (void)state;
    check_render("{{ messages[0] | upper }}{{ messages[0] | length }}{{ messages[0][::-1] }}",
                 "{\"messages\":[\"\xc3\xa9\\ud83d\\ude00\xe6\x97\xa5\"]}", &no_control,
                 "\xc3\x89\xf0\x9f\x98\x80\xe6\x97\xa5"
                 "3"
                 "\xe6\x97\xa5\xf0\x9f\x98\x80\xc3\xa9",
                 "");

    struct chat_template *t = open_template("{{ messages[0] }}");
    struct strbuf out = {0};
    char guard[8];
    const char *json = "{\"messages\":[\"a\\u0000b\"]}";
    assert_int_equal(chat_template_render(t, json, strlen(json), &control, &out, guard, NULL), 0);
    assert_int_equal(out.n, 3);
    assert_memory_equal(out.bytes, "a\0b", 3);
    strbuf_free(&out);
    chat_template_close(t);
}

static void date(void **state)
{
    (void)state;
    struct chat_template *t = open_template("{{ strftime_now('%Y-%m-%d %H:%M') }}");
    const char *json = "{\"messages\":[]}";
    char guard[8], want[32];
    for (int i = 0; i < 2; i++) {    /* a minute may end in between, but not twice */
        struct strbuf out = {0};
        const time_t now = time(NULL);
        struct tm local;
        localtime_r(&now, &local);
        strftime(want, sizeof want, "%Y-%m-%d %H:%M", &local);
        assert_int_equal(chat_template_render(t, json, strlen(json), NULL, &out, guard, NULL), 0);
        const bool is_equal = !strcmp(out.bytes, want);
        if (!is_equal && i == 1) fail_msg("%s, want %s", out.bytes, want);
        strbuf_free(&out);
        if (is_equal) break;
    }
    chat_template_close(t);
}

static void builtins(void **state)
{
    (void)state;
    static const char *const known[] = {
        "chatml", "llama2", "llama3", "gemma", "mistral", "zephyr"
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        assert_non_null(chat_template_builtin(known[i]));
        chat_template_close(open_template(chat_template_builtin(known[i])));
    }
    assert_null(chat_template_builtin("nope"));
    assert_null(chat_template_builtin(""));
}

struct render_thread {
    const struct chat_template *t;
    int id, n_wrong;
};

static void *render_many(void *arg)
{
    struct render_thread *r = arg;
    for (int i = 0; i < 200; i++) {
        char json[128], want[128], guard[8];
        snprintf(json, sizeof json,
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"%d %d</s>\"}]}", r->id, i);
        snprintf(want, sizeof want, "<|im_start|>user\n%d %d<" GUARD "/s><|im_end|>\n", r->id, i);
        struct strbuf out = {0};
        if (chat_template_render(r->t, json, strlen(json), &control, &out, guard, NULL) ||
            strcmp(out.bytes, want))
            r->n_wrong++;
        strbuf_free(&out);
    }
    return NULL;
}

static void threads_share_a_template(void **state)
{
    (void)state;
    struct chat_template *t = open_template(chat_template_builtin("chatml"));
    struct render_thread r[4];
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) {
        r[i] = (struct render_thread){ .t = t, .id = i };
        assert_int_equal(pthread_create(&threads[i], NULL, render_many, &r[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(r[i].n_wrong, 0);
    }
    chat_template_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guards_a_name_wherever_it_stands),
        cmocka_unit_test(guards_what_a_neighbour_could_complete),
        cmocka_unit_test(no_concatenation_spells_a_name),
        cmocka_unit_test(guards_tools_keys_and_nested_values),
        cmocka_unit_test(guard_character_occurs_nowhere_else),
        cmocka_unit_test(malformed_requests),
        cmocka_unit_test(templates_that_do_not_compile),
        cmocka_unit_test(errors_carry_the_templates_words),
        cmocka_unit_test(hostile_templates_end),
        cmocka_unit_test(deep_values_do_not_overflow_the_stack),
        cmocka_unit_test(a_banned_template_is_not_run_again),
        cmocka_unit_test(large_conversations_are_within_the_bounds),
        cmocka_unit_test(variables),
        cmocka_unit_test(the_last_message_is_continued),
        cmocka_unit_test(json_as_python_writes_it),
        cmocka_unit_test(python_methods),
        cmocka_unit_test(unicode_and_zero_bytes),
        cmocka_unit_test(date),
        cmocka_unit_test(builtins),
        cmocka_unit_test(threads_share_a_template),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
