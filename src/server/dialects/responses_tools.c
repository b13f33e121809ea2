#include "server/dialects/responses_tools.h"

#include <string.h>

static void set(struct fields *f, json_t *object, const char *name, json_t *v)
{
    if (json_object_set_new(object, name, v)) field_fail(f, "tools", "out of memory");
}

static const char *type_of(const json_t *v)
{
    return json_string_value(json_object_get(v, "type"));
}

/* A function's members; those of a chat's form stand one level deeper. */
static const json_t *function_of(const json_t *tool)
{
    const json_t *within = json_object_get(tool, "function");
    return json_is_object(within) ? within : tool;
}

/* ---- tools ---------------------------------------------------------------------------------- */

/* What would have the function called in another way than by the model's text. */
static void refuse_ways(struct fields *f, const json_t *tool, size_t i)
{
    static const char *const names[] = { "async", "defer_loading" };
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const json_t *v = json_object_get(tool, names[k]);
        if (v && !json_is_null(v) && !json_is_false(v))
            field_fail(f, "tools", "tools[%zu].%s is not supported by this version: leave it out",
                       i, names[k]);
    }
}

static void read_tool(struct fields *f, const json_t *tool, size_t i, json_t *to, json_t *echo)
{
    static const char *const names[] = { "name", "description", "parameters", "strict" };
    const char *type = type_of(tool);
    json_t *function = json_object(), *flat = json_pack("{s:s}", "type", "function");
    if (!type || strcmp(type, "function"))
        field_fail(f, "tools", "tools[%zu] is of type \"%.40s\"; this version takes functions", i,
                   type ? type : "");
    refuse_ways(f, tool, i);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        json_t *v = json_object_get(function_of(tool), names[k]);
        set(f, flat, names[k], v ? json_incref(v) : json_null());
        if (v && !json_is_null(v)) set(f, function, names[k], json_incref(v));
    }
    if (json_array_append_new(echo, flat) ||
        json_array_append_new(to, json_pack("{s:s, s:o}", "type", "function", "function",
                                            function)))
        field_fail(f, "tools", "out of memory");
}

static void read_tools(struct fields *f, json_t *to, json_t *echo)
{
    const json_t *tools = field_get(f, "tools");
    json_t *nested = json_array(), *flat = json_array(), *tool;
    size_t i;
    if (tools && !json_is_array(tools))
        field_fail(f, "tools", "tools is %s; an array is wanted", field_kind(tools));
    json_array_foreach((json_t *)(uintptr_t)tools, i, tool) read_tool(f, tool, i, nested, flat);
    set(f, echo, "tools", flat);
    if (tools) set(f, to, "tools", nested);
    else json_decref(nested);
}

/* ---- tool_choice ---------------------------------------------------------------------------- */

static json_t *named(struct fields *f, const json_t *choice, json_t *to)
{
    const char *type = type_of(choice);
    json_t *name = json_object_get(function_of(choice), "name");
    if (!type || strcmp(type, "function"))
        field_fail(f, "tool_choice", "tool_choice of type \"%.40s\"; this version takes function",
                   type ? type : "");
    else if (!json_is_string(name))
        field_fail(f, "tool_choice", "tool_choice names no function");
    if (f->failed) return json_string("auto");
    set(f, to, "tool_choice", json_pack("{s:s, s:{s:O}}", "type", "function", "function", "name",
                                        name));
    return json_pack("{s:s, s:O}", "type", "function", "name", name);
}

/* Other words than these are refused where chats are read. */
static json_t *word_of(const json_t *choice)
{
    static const char *const words[][2] = { { "none", "none" }, { "required", "required" },
                                            { "any", "required" } };
    const char *word = json_string_value(choice);
    for (size_t i = 0; word && i < sizeof words / sizeof *words; i++)
        if (!strcmp(word, words[i][0])) return json_string(words[i][1]);
    return json_string("auto");
}

void responses_tools_read(struct fields *f, json_t *to, json_t *echo)
{
    const json_t *choice = field_get(f, "tool_choice");
    bool is_parallel = true;
    read_tools(f, to, echo);
    field_bool(f, "parallel_tool_calls", &is_parallel);
    set(f, echo, "tool_choice", json_is_object(choice) ? named(f, choice, to) : word_of(choice));
    set(f, echo, "parallel_tool_calls", json_boolean(is_parallel));
}
