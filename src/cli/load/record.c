#include "cli/load/record.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_MESSAGE = 240 };

const char *load_outcome_name(enum load_outcome outcome)
{
    static const char *const names[LOAD_N_OUTCOMES] = {
        "ok", "connect", "timeout", "http", "cut", "bad_reply", "error_event", "dropped",
    };
    return names[outcome];
}

void load_record_add_chunk(struct load_record *r, uint64_t now_ns)
{
    if (r->n_chunks == r->chunk_capacity) {
        const uint32_t capacity = r->chunk_capacity ? 2 * r->chunk_capacity : 64;
        uint64_t *at = realloc(r->chunk_ns, capacity * sizeof *at);
        if (!at) {
            load_record_fail(r, LOAD_BAD_REPLY, "out of memory");
            return;
        }
        r->chunk_ns = at;
        r->chunk_capacity = capacity;
    }
    r->chunk_ns[r->n_chunks++] = now_ns;
}

static bool is_utf8(const char *text)
{
    json_t *string = json_string(text);
    json_decref(string);
    return string != NULL;
}

void load_record_fail(struct load_record *r, enum load_outcome outcome, const char *text)
{
    if (r->outcome != LOAD_OK) return;
    r->outcome = outcome;
    size_t n = strnlen(text, MAX_MESSAGE);
    while (n && ((unsigned char)text[n] & 0xc0) == 0x80) n--;       /* whole characters only */
    r->message = strndup(text, n);
    if (!r->message) return;
    const bool is_readable = is_utf8(r->message);
    for (char *c = r->message; *c; c++) {
        if ((unsigned char)*c < 32 || *c == 127) *c = ' ';
        if ((unsigned char)*c > 127 && !is_readable) *c = '?';
    }
}

void load_record_free(struct load_record *r)
{
    free(r->chunk_ns);
    free(r->message);
    *r = (struct load_record){ 0 };
}
