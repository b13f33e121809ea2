#include "base/ring.h"

#include <assert.h>

/* Before each record; records are multiples of 8 bytes, so a header always fits. */
struct header {
    uint32_t n_bytes;           /* header included */
    uint32_t is_filler;
};

void ring_init(struct ring *r, void *bytes, size_t capacity)
{
    assert(capacity >= 64 && (capacity & (capacity - 1)) == 0 && capacity <= UINT32_MAX);
    r->bytes = bytes;
    r->capacity = capacity;
    r->n_reserved = 0;
    atomic_store_explicit(&r->written, 0, memory_order_relaxed);
    atomic_store_explicit(&r->read, 0, memory_order_relaxed);
}

size_t ring_room(const struct ring *r)
{
    const size_t read = atomic_load_explicit(&r->read, memory_order_acquire);
    return r->capacity - (atomic_load_explicit(&r->written, memory_order_acquire) - read);
}

static struct header *header_at(const struct ring *r, size_t position)
{
    return (struct header *)(void *)(r->bytes + (position & (r->capacity - 1)));
}

void *ring_reserve(struct ring *r, size_t n)
{
    const size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    const size_t room = r->capacity - (written - atomic_load_explicit(&r->read,
                                                                      memory_order_acquire));
    const size_t n_left = r->capacity - (written & (r->capacity - 1));
    if (n > r->capacity - sizeof(struct header)) return NULL;

    const size_t n_record = (sizeof(struct header) + n + 7) / 8 * 8;
    const size_t n_filler = n_record > n_left ? n_left : 0;
    if (n_filler + n_record > room) return NULL;
    if (n_filler) *header_at(r, written) = (struct header){ (uint32_t)n_filler, 1 };

    struct header *h = header_at(r, written + n_filler);
    *h = (struct header){ (uint32_t)n_record, 0 };
    r->n_reserved = n_filler + n_record;
    return h + 1;
}

void ring_publish(struct ring *r)
{
    const size_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    atomic_store_explicit(&r->written, written + r->n_reserved, memory_order_release);
    r->n_reserved = 0;
}

const void *ring_front(struct ring *r)
{
    size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    if (atomic_load_explicit(&r->written, memory_order_acquire) == read) return NULL;

    const struct header *h = header_at(r, read);
    if (h->is_filler) {         /* published together with the record behind it */
        read += h->n_bytes;
        atomic_store_explicit(&r->read, read, memory_order_release);
        h = header_at(r, read);
    }
    return h + 1;
}

void ring_pop(struct ring *r)
{
    const size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    atomic_store_explicit(&r->read, read + header_at(r, read)->n_bytes, memory_order_release);
}

bool ring_has_second(struct ring *r)
{
    const size_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    return atomic_load_explicit(&r->written, memory_order_acquire) !=
           read + header_at(r, read)->n_bytes;
}
