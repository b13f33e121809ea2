/* Whether grammars take texts, for tests. Each line of standard input is a JSON object
 *   {"kind": as pl_grammar_kind, "source": ..., "texts": [...]}
 * and gives one line {"taken": [true, ...]} or {"error": ...}. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/text/grammars.h"

static json_t *answer(const struct vocabulary *v, const json_t *job)
{
    const json_t *source = json_object_get(job, "source"), *text;
    const pl_grammar_kind kind = (pl_grammar_kind)json_integer_value(json_object_get(job, "kind"));
    json_t *taken = json_array();
    size_t i;
    json_array_foreach(json_object_get(job, "texts"), i, text) {
        struct matcher *m;
        pl_err err = { 0 };
        if (matcher_open(&m, v, kind, json_string_value(source), json_string_length(source),
                         &err)) {
            json_decref(taken);
            return json_pack("{s:s}", "error", err.text);
        }
        json_array_append_new(taken, json_boolean(matcher_takes(m, json_string_value(text),
                                                                json_string_length(text))));
        matcher_close(m);
    }
    return json_pack("{s:o}", "taken", taken);
}

int main(void)
{
    struct vocabulary *v;
    char *line = NULL;
    size_t capacity = 0;
    pl_err err;
    if (bytes_vocabulary(&v, &err)) return 1;
    while (getline(&line, &capacity, stdin) > 0) {
        json_t *job = json_loads(line, JSON_ALLOW_NUL, NULL), *reply = answer(v, job);
        char *text = json_dumps(reply, JSON_COMPACT);
        puts(text);
        fflush(stdout);
        free(text);
        json_decref(reply);
        json_decref(job);
    }
    free(line);
    vocabulary_close(v);
    return 0;
}
