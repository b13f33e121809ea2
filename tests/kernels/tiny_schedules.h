/* Ways to compute the streams of tiny_backend.h, which must all give the same bytes. */
#ifndef TESTS_KERNELS_TINY_SCHEDULES_H
#define TESTS_KERNELS_TINY_SCHEDULES_H

#include "tiny_backend.h"

enum { N_DECODED = 5, N_SCHEDULES = 2 };

/* 6 .. 63 positions: within a page, at its edges, over several. */
static inline uint32_t length_of(uint32_t stream)
{
    return 6 + stream * 7 % 58;
}

/* Each position of each stream in a step of its own: what all else is compared with. */
static inline void run_one_by_one(struct tiny *t)
{
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++)
            tiny_step(t, &(struct piece){ s, pos, 1 }, 1, 1);
}

/* Prompts whole, then all streams a token at a time. */
static inline void run_decode_batches(struct tiny *t)
{
    struct piece piece[TINY_STREAMS];
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        tiny_step(t, &(struct piece){ s, 0, length_of(s) - N_DECODED }, 1, 1);
    for (uint32_t i = 0; i < N_DECODED; i++) {
        for (uint32_t s = 0; s < TINY_STREAMS; s++)
            piece[s] = (struct piece){ s, length_of(s) - N_DECODED + i, 1 };
        tiny_step(t, piece, TINY_STREAMS, 1);
    }
}

/* Random pieces of random streams in random order, decode and prefill mixed. */
static inline void run_random_chunks(struct tiny *t, uint64_t seed)
{
    uint32_t done[TINY_STREAMS] = { 0 }, n_left = TINY_STREAMS;
    struct rng r;

    rng_seed(&r, seed);
    while (n_left) {
        struct piece piece[TINY_STREAMS];
        const uint32_t start = (uint32_t)rng_below(&r, TINY_STREAMS);
        uint32_t n_pieces = 0, n_cols = 0;
        for (uint32_t i = 0; i < TINY_STREAMS; i++) {
            const uint32_t s = (start + i * 7) % TINY_STREAMS, rest = length_of(s) - done[s];
            const uint32_t room = t->params.max_cols - n_cols, most = rest < room ? rest : room;
            if (!most || rng_below(&r, 3) == 0) continue;
            const uint32_t n = rng_below(&r, 2) ? 1 : 1 + (uint32_t)rng_below(&r, most);
            piece[n_pieces++] = (struct piece){ s, done[s], n };
            n_cols += n;
            done[s] += n;
            n_left -= done[s] == length_of(s);
        }
        if (n_pieces) tiny_step(t, piece, n_pieces, 1);
    }
}

static inline void check_same(const struct tiny *t, const float *want, const char *how,
                              uint64_t seed)
{
    const size_t n = t->shape->n_vocab;

    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++) {
            const float *got = tiny_logits(t, s, pos);
            const float *alone = want + ((size_t)s * TINY_POSITIONS + pos) * n;
            for (size_t i = 0; i < n; i++)
                if (memcmp(&got[i], &alone[i], sizeof *got))
                    fail_msg("%s, isa=%s, %u threads, %s, seed %u: stream %u position %u logit %zu "
                             "is %.9g, alone %.9g", t->shape->name, t->ops->isa(t->b),
                             t->params.n_threads, how, (unsigned)seed, s, pos, i, (double)got[i],
                                 (double)alone[i]);
        }
}

static inline float *copy_logits(const struct tiny *t)
{
    const size_t n_bytes =
        (size_t)TINY_STREAMS * TINY_POSITIONS * t->shape->n_vocab * sizeof(float);
    float *copy = malloc(n_bytes);
    assert_non_null(copy);
    return memcpy(copy, t->logits, n_bytes);
}

/* Logits that are all finite, and not the same everywhere. */
static inline void check_sound(const struct tiny *t)
{
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++)
            for (uint32_t i = 0; i < t->shape->n_vocab; i++)
                assert_true(isfinite(tiny_logits(t, s, pos)[i]));
    assert_memory_not_equal(tiny_logits(t, 0, 0), tiny_logits(t, 0, 5), 4);
}

/* One stream after another, then all in batches and in random chunks, on 1 .. max_threads
 * threads. */
static inline void check_model(struct tiny *t, uint32_t max_threads)
{
    float *want = NULL;
    uint64_t seed = 1;

    for (uint32_t n_threads = 1; n_threads <= max_threads; n_threads++) {
        t->params.n_threads = n_threads;
        tiny_open(t);
        if (!want) {
            tiny_start(t, seed++, 0);
            run_one_by_one(t);
            check_sound(t);
            want = copy_logits(t);
        }
        tiny_start(t, seed, 0xff);
        run_decode_batches(t);
        check_same(t, want, "decode batches", seed++);
        for (int i = 0; i < N_SCHEDULES; i++) {
            tiny_start(t, seed, i % 2 ? 0x7b : 0xff);
            run_random_chunks(t, seed);
            check_same(t, want, "random chunks", seed++);
        }
        tiny_close(t);
    }
    free(want);
}

/* The first layer on one backend, the rest on another of its kind: as on one alone. */
static inline void check_two_homes(struct tiny *t, struct tiny *heir)
{
    tiny_open(t);
    tiny_start(t, 1, 0xff);
    run_one_by_one(t);
    check_sound(t);
    float *want = copy_logits(t);
    heir->params.n_threads = 2;
    tiny_open(heir);
    tiny_start(heir, 1, 0xff);
    t->heir = heir;
    tiny_start(t, 2, 0xff);
    run_random_chunks(t, 2);
    check_same(t, want, "two homes", 2);
    t->heir = NULL;
    tiny_close(heir);
    tiny_close(t);
    free(want);
}

#endif
