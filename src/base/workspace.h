/* What a part of the program wants of memory: one list for planning and for taking, so that what is
 * planned is what is taken. Who takes from a place of its own (a GPU's buffers, memory.h) goes
 * through the parts; the rest has them in one block. No state, any thread. */
#ifndef BASE_WORKSPACE_H
#define BASE_WORKSPACE_H

#include <stdint.h>

enum { WORKSPACE_MAX_PARTS = 128 };

struct workspace_part {
    const char *what;           /* for messages */
    uint64_t n_bytes;
    void *to;                   /* address of the pointer to it, or whatever its taker fills */
};

struct workspace { /* zeroed is empty */
    uint32_t n;
    struct workspace_part part[WORKSPACE_MAX_PARTS];
};

void workspace_want(struct workspace *w, const char *what, uint64_t n_bytes, void *to);

/* What workspace_take takes, red zones not counted. */
uint64_t workspace_bytes(const struct workspace *w);

/* All parts in one zeroed block, each of them a multiple of 16 bytes with a red zone behind it,
 * their pointers set. NULL: there is no memory. Release with free. */
void *workspace_take(const struct workspace *w);

#endif
