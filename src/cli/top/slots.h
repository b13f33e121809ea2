/* What /slots says, and how fast each stream goes between two looks. */
#ifndef CLI_TOP_SLOTS_H
#define CLI_TOP_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOP_MAX_SLOTS = 512 };

struct top_look {
    uint64_t at_ns;
    uint32_t n_reply;
};

struct top_slot {
    uint32_t id;
    bool is_busy, is_prompt;        /* is_prompt: its prompt is still being read */
    uint64_t task;                  /* which stream */
    uint32_t n_prompt, n_prompt_done, n_reply;
    double age_s;                   /* NAN: not told */
    double tokens_per_s;            /* NAN: not known yet */
    struct top_look older, newer;   /* looks at this stream, some seconds apart */
};

struct top_slots {
    size_t n;
    struct top_slot slot[TOP_MAX_SLOTS];    /* those beyond are left out */
};

/* Takes an answer of paceline's or llama-server's; false: it is none, and there are no slots. */
bool top_slots_read(struct top_slots *s, uint64_t now_ns, const char *json, size_t n);

#endif
