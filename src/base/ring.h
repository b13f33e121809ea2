/* A ring of records between one producer and one consumer, each on a thread of its own.
 *
 * A record lies in one piece, so the consumer reads it where it is. The producer reserves, fills
 * and publishes; the consumer looks at the front and pops it when done. Memory is the owner's and
 * may be touched lazily: what was never written is never read.
 *
 * I1  0 <= written - read <= capacity; both only grow
 * I2  a record never wraps: where it would, a filler record takes the rest of the ring
 *
 * Order: `written` is stored with release by the producer and loaded with acquire by the consumer,
 * which so sees the record's bytes; `read` the other way round, so that bytes are not overwritten
 * before they were read. */
#ifndef BASE_RING_H
#define BASE_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    unsigned char *bytes;       /* (capacity), aligned to 8 */
    size_t capacity;            /* a power of two, at least 64 */
    _Atomic size_t written, read;
    size_t n_reserved;          /* producer's: filler and record of the open reservation */
};

/* Only while neither side uses it. */
void ring_init(struct ring *r, void *bytes, size_t capacity);

/* Bytes not in use. A record of n bytes fits for certain where n + 16 <= room / 2. Either side; the
 * producer may see too little, the consumer too much. */
size_t ring_room(const struct ring *r);

/* Producer. Room for a record of n bytes, aligned to 8, or NULL; ring_publish makes it visible. A
 * reservation that is not published is replaced by the next. */
void *ring_reserve(struct ring *r, size_t n);
void ring_publish(struct ring *r);

/* Consumer. The oldest record, which stays valid until ring_pop, or NULL. */
const void *ring_front(struct ring *r);
void ring_pop(struct ring *r);

/* Consumer. There is a record behind the one that ring_front gave and that is not popped yet. */
bool ring_has_second(struct ring *r);

#endif
