/* Whose turn it is: the ranks of streams, which the scheduler goes by.
 *
 * Fair between those who ask, by start-time fair queueing (Goyal, Vin, Chen: SIGCOMM 1996). Time
 * is counted in tokens that were served. A stream's rank is when it would start if everybody had an
 * equal part of the machine: now, or when what its own asker has asked for before is done. So of
 * one who asks for much, the second request goes behind the first of everybody else; and who asks
 * alone has the machine.
 *
 * A step of priority is worth TURN_PRIORITY_TOKENS: as if the stream had come so much earlier.
 * Ranks do not change, so whoever waits comes nearer with every token that is served.
 *
 * I1  there is a flow for whoever has a stream that waits or runs, and for nobody else
 * I2  now never goes back, and goes on whenever a stream starts
 *
 * Engine thread only. Allocates nothing. */
#ifndef ENGINE_TURNS_H
#define ENGINE_TURNS_H

#include <stdint.h>

enum {
    TURN_PRIORITY_TOKENS = 16384,
    TURN_REPLY_TOKENS = 1024,   /* of a reply that may be longer, so many count */
};

/* The streams of one who asks. */
struct flow {
    uint64_t who;
    uint32_t n_streams;         /* 0: the entry is free */
    int64_t end;                /* when all that it has asked for would be done */
};

struct turns {
    struct flow *flow;          /* (mask + 1) open addressing, at most half full */
    uint32_t mask, n_flows;
    int64_t now;
};

/* Entries for at most n_streams streams: a power of two. */
uint32_t turns_entries(uint32_t n_streams);

/* `flow` is zeroed room for turns_entries of them, and stays the owner's. */
void turns_open(struct turns *t, struct flow *flow, uint32_t n_entries);

/* A stream comes: its rank. n_tokens: what it is going to cost. */
int64_t turns_come(struct turns *t, uint64_t who, int32_t priority, uint32_t n_tokens);

/* A stream starts that has this rank. */
void turns_start(struct turns *t, int64_t rank, uint32_t n_tokens);

/* A stream leaves; n_unused: what it did not cost after all. */
void turns_leave(struct turns *t, uint64_t who, uint32_t n_unused);

#endif
