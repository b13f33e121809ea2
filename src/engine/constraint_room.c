#include "engine/constraint_room.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"

enum { WORKER_STACK_BYTES = 64 << 20 };     /* address space: matchers call themselves */

pl_status constraint_room_open(struct constraint_room *r, const struct tokenizer *t, pl_err *err)
{
    *r = (struct constraint_room){ .tokenizer = t,
                                   .n_words = ((size_t)tokenizer_n_vocab(t) + 31) / 32 };
    r->has_lock = !pthread_mutex_init(&r->lock, NULL);
    return r->has_lock ? PL_OK : pl_fail(err, PL_E_MEMORY, "cannot make a lock");
}

static uint8_t kind_of(const struct tokenizer *t, int32_t id)
{
    if (tokenizer_is_end(t, id)) return MATCHER_END;
    return tokenizer_is_control(t, id) ? MATCHER_CONTROL : MATCHER_TEXT;
}

static pl_status open_vocabulary(struct constraint_room *r, pl_err *err)
{
    const uint32_t n = tokenizer_n_vocab(r->tokenizer);
    struct strbuf bytes = { 0 };
    size_t *offset = calloc((size_t)n + 1, sizeof *offset);
    uint8_t *kind = calloc((size_t)n + 1, sizeof *kind);
    for (uint32_t i = 0; i < n && offset && kind; i++) {
        size_t n_bytes;
        const char *token = tokenizer_bytes(r->tokenizer, (int32_t)i, &n_bytes);
        strbuf_add(&bytes, token, n_bytes);
        offset[i + 1] = bytes.n;
        kind[i] = kind_of(r->tokenizer, (int32_t)i);
        (kind[i] == MATCHER_END ? r->ends : r->others)[i / 32] |= 1u << (i % 32);
    }
    const pl_status st = !offset || !kind || bytes.failed
                             ? pl_fail(err, PL_E_MEMORY, "no memory for a vocabulary of %u", n)
                             : vocabulary_open(&r->vocabulary, bytes.bytes, offset, kind, n, err);
    strbuf_free(&bytes);
    free(offset);
    free(kind);
    return st;
}

/* With the lock held. */
static pl_status fill(struct constraint_room *r, pl_err *err)
{
    const uint64_t begin_ns = clock_ns();
    free(r->ends);
    free(r->others);
    r->ends = calloc(r->n_words, sizeof *r->ends);
    r->others = calloc(r->n_words, sizeof *r->others);
    if (!r->ends || !r->others) return pl_fail(err, PL_E_MEMORY, "no memory for masks");
    pl_status st = open_vocabulary(r, err);
    if (!st) st = worker_open(&r->worker, WORKER_STACK_BYTES, err);
    if (st) {
        vocabulary_close(r->vocabulary);
        r->vocabulary = NULL;
        return st;
    }
    PL_LOG(INFO, "engine", "the vocabulary is ready for grammars ms=%llu",
           (unsigned long long)((clock_ns() - begin_ns) / 1000000));
    return PL_OK;
}

pl_status constraint_room_fill(struct constraint_room *r, pl_err *err)
{
    pl_status st = PL_OK;
    pthread_mutex_lock(&r->lock);
    if (!r->is_open) st = fill(r, err);
    r->is_open = !st;
    pthread_mutex_unlock(&r->lock);
    return st;
}

void constraint_room_close(struct constraint_room *r)
{
    worker_close(&r->worker);
    vocabulary_close(r->vocabulary);
    free(r->ends);
    free(r->others);
    if (r->has_lock) pthread_mutex_destroy(&r->lock);
    *r = (struct constraint_room){ 0 };
}
