#include "cli/top/slots.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

static const uint64_t look_apart_ns = 3000000000u;

/* A member's whole number; what is none, or is out of range, counts as 0. */
static uint32_t number(const json_t *o, const char *name)
{
    const json_int_t n = json_integer_value(json_object_get(o, name));
    return n > 0 && n <= UINT32_MAX ? (uint32_t)n : 0;
}

/* llama-server says what was generated in next_token, an object or a list of one. */
static uint32_t reply_tokens(const json_t *o)
{
    const json_t *next = json_object_get(o, "next_token");
    if (json_object_get(o, "n_decoded") || !next) return number(o, "n_decoded");
    return number(json_is_array(next) ? json_array_get(next, 0) : next, "n_decoded");
}

static struct top_slot read_slot(const json_t *o)
{
    const json_t *state = json_object_get(o, "state"), *age = json_object_get(o, "age_ms");
    struct top_slot s = {
        .id = number(o, "id"), .is_busy = json_is_true(json_object_get(o, "is_processing")),
        .n_prompt = number(o, "n_prompt_tokens"), .n_reply = reply_tokens(o),
        .n_prompt_done = number(o, "n_prompt_tokens_processed"),
        .task = (uint64_t)json_integer_value(json_object_get(o, "id_task")),
        .age_s = json_is_integer(age) ? (double)json_integer_value(age) / 1000 : NAN,
        .tokens_per_s = NAN,
    };
    s.is_prompt = json_is_string(state) ? !strcmp(json_string_value(state), "prefill")
                                        : s.is_busy && s.n_reply == 0;
    return s;
}

/* The rate since the older look, which is between one and two spans back once a stream runs; at its
 * first look, since it got the slot. */
static void look(struct top_slot *s, const struct top_slot *last, uint64_t now_ns)
{
    const struct top_look now = { now_ns, s->n_reply };
    if (!s->is_busy) return;
    if (!last || !last->is_busy || last->task != s->task || last->n_reply > s->n_reply) {
        s->older = s->newer = now;
        if (s->age_s > 0 && !s->is_prompt) s->tokens_per_s = s->n_reply / s->age_s;
        return;
    }
    s->older = last->older;
    s->newer = last->newer;
    if (now_ns - s->newer.at_ns >= look_apart_ns) {
        s->older = s->newer;
        s->newer = now;
    }
    const double seconds = (double)(now_ns - s->older.at_ns) * 1e-9;
    if (seconds > 0) s->tokens_per_s = (s->n_reply - s->older.n_reply) / seconds;
}

static const struct top_slot *find(const struct top_slots *s, uint32_t id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->slot[i].id == id) return &s->slot[i];
    return NULL;
}

bool top_slots_read(struct top_slots *s, uint64_t now_ns, const char *json, size_t n)
{
    json_t *list = json_loadb(json, n, 0, NULL);
    const size_t n_list = json_array_size(list);
    const bool is_list = json_is_array(list);
    struct top_slots next = { .n = n_list < TOP_MAX_SLOTS ? n_list : TOP_MAX_SLOTS };
    for (size_t i = 0; i < next.n; i++) {
        next.slot[i] = read_slot(json_array_get(list, i));
        look(&next.slot[i], find(s, next.slot[i].id), now_ns);
    }
    *s = next;
    json_decref(list);
    return is_list;
}
