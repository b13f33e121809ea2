/* The law of backend.h: what a column gets is the same bytes whatever shares its step, however its
 * prompt was cut, wherever its pages lie, what they held before, and however many threads run. */
#include "tiny_backend.h"

enum { N_DECODED = 5, N_SCHEDULES = 2 };

/* 6 .. 63 positions: within a page, at its edges, over several. */
static uint32_t length_of(uint32_t stream)
{
    return 6 + stream * 7 % 58;
}

/* Each position of each stream in a step of its own: what all else is compared with. */
static void run_one_by_one(struct tiny *t)
{
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++)
            tiny_step(t, &(struct piece){ s, pos, 1 }, 1, 1);
}

/* Prompts whole, then all streams a token at a time. */
static void run_decode_batches(struct tiny *t)
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
static void run_random_chunks(struct tiny *t, uint64_t seed)
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

static void check_same(const struct tiny *t, const float *want, const char *how, uint64_t seed)
{
    const size_t n = t->shape->n_vocab;
    const struct cpu_backend *b = (const struct cpu_backend *)t->b;

    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++) {
            const float *got = tiny_logits(t, s, pos);
            const float *alone = want + ((size_t)s * TINY_POSITIONS + pos) * n;
            for (size_t i = 0; i < n; i++)
                if (memcmp(&got[i], &alone[i], sizeof *got))
                    fail_msg("%s, isa=%s, %u threads, %s, seed %u: stream %u position %u logit %zu "
                             "is %.9g, alone %.9g", t->shape->name, b->k.isa, t->params.n_threads,
                             how, (unsigned)seed, s, pos, i, (double)got[i], (double)alone[i]);
        }
}

static float *copy_logits(const struct tiny *t)
{
    const size_t n_bytes =
        (size_t)TINY_STREAMS * TINY_POSITIONS * t->shape->n_vocab * sizeof(float);
    float *copy = malloc(n_bytes);
    assert_non_null(copy);
    return memcpy(copy, t->logits, n_bytes);
}

/* Logits that are all finite, and not the same everywhere. */
static void check_sound(const struct tiny *t)
{
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        for (uint32_t pos = 0; pos < length_of(s); pos++)
            for (uint32_t i = 0; i < t->shape->n_vocab; i++)
                assert_true(isfinite(tiny_logits(t, s, pos)[i]));
    assert_memory_not_equal(tiny_logits(t, 0, 0), tiny_logits(t, 0, 5), 4);
}

static void check_shape(const struct tiny_shape *shape, const char *isa, uint32_t max_threads)
{
    struct tiny *t = tiny_make(shape);
    float *want = NULL;
    uint64_t seed = 1;

    t->params.isa = isa;
    t->params.k_type = max_threads == 2 ? KV_Q8_0 : KV_F16;     /* the best set: see also below */
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
    tiny_free(t);
}

/* The best set with one to three threads, whatever the cores; the others with two at most, and
 * without the shapes that have experts: an emulator takes minutes for them. */
static void a_column_gets_the_same_bytes(void **state)
{
    (void)state;
    const char *names[8];
    const uint32_t n = cpu_kernels_list(names, 8);

    for (uint32_t i = 0; i < n; i++)
        for (size_t s = 0; s < COUNT(tiny_shapes); s++)
            if (i + 1 == n || !tiny_shapes[s].n_experts)
                check_shape(&tiny_shapes[s], names[i], i + 1 == n ? 3 : i == 0 ? 1 : 2);
}

/* One stream and many threads: its few heads are shared out among them, in other ways for each
 * number of threads. */
static void a_lone_stream_gets_the_same_bytes_from_many_threads(void **state)
{
    (void)state;
    for (size_t k = 0; k < COUNT(tiny_shapes); k++) {
        struct tiny *t = tiny_make(&tiny_shapes[k]);
        const size_t n_bytes = TINY_POSITIONS * t->shape->n_vocab * sizeof(float);
        float *want = NULL;
        for (uint32_t n_threads = 1; n_threads <= 8; n_threads++) {
            t->params.n_threads = n_threads;
            tiny_open(t);
            tiny_start(t, n_threads, 0xff);
            tiny_step(t, &(struct piece){ 0, 0, 40 }, 1, 1);
            for (uint32_t pos = 40; pos < 48; pos++)
                tiny_step(t, &(struct piece){ 0, pos, 1 }, 1, 1);
            if (!want) want = copy_logits(t);
            if (memcmp(t->logits, want, n_bytes))
                fail_msg("%s: %u threads differ from one", t->shape->name, n_threads);
            tiny_close(t);
        }
        free(want);
        tiny_free(t);
    }
}

/* Streams 0 .. 7 begin with the same tokens, 8 .. 11 with others of their own; the rest shares
 * nothing. */
static uint32_t leader_of(uint32_t stream)
{
    return stream < 8 ? 0 : stream < 12 ? 8 : stream;
}

static uint32_t n_shared_of(uint32_t stream)
{
    return leader_of(stream) == 0 ? 3 * PAGE_TOKENS : 2 * PAGE_TOKENS;
}

/* The leader alone reads what is shared, into pages that all its followers have. */
static void share_pages(struct tiny *t)
{
    for (uint32_t s = 0; s < TINY_STREAMS; s++) {
        const uint32_t leader = leader_of(s), n = n_shared_of(s);
        if (s == leader) tiny_step(t, &(struct piece){ s, 0, n }, 1, 1);
        else memcpy(t->page[s], t->page[leader], n / PAGE_TOKENS * sizeof t->page[s][0]);
    }
}

/* What follows the shared part, every stream: pieces of several columns, then single ones. */
static void run_followers(struct tiny *t)
{
    struct piece piece[TINY_STREAMS];
    for (uint32_t i = 0; i < 8; i++) {
        for (uint32_t s = 0; s < TINY_STREAMS; s++) {
            const uint32_t at = i ? s % 4 + 1 + i : 0;
            piece[s] = (struct piece){ s, n_shared_of(s) + at, i ? 1 : s % 4 + 2 };
        }
        tiny_step(t, piece, TINY_STREAMS, 1);
    }
}

static void check_shared(const struct tiny_shape *shape, enum kv_type k, enum kv_type v)
{
    struct tiny *t = tiny_make(shape);
    const size_t n = t->shape->n_vocab;
    float *want = NULL;

    t->params.k_type = k;
    t->params.v_type = v;
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        memcpy(t->token[s], t->token[leader_of(s)], n_shared_of(s) * sizeof t->token[s][0]);
    for (uint32_t n_threads = 1; n_threads <= 3; n_threads++) {
        t->params.n_threads = n_threads;
        tiny_open(t);
        if (!want) {
            tiny_start(t, 1, 0xff);
            for (uint32_t s = 0; s < TINY_STREAMS; s++)
                for (uint32_t pos = 0; pos < n_shared_of(s) + 12; pos++)
                    tiny_step(t, &(struct piece){ s, pos, 1 }, 1, 1);
            check_sound(t);
            want = copy_logits(t);
        }
        tiny_start(t, 1 + n_threads, 0xff);
        share_pages(t);
        run_followers(t);
        for (uint32_t s = 0; s < TINY_STREAMS; s++)
            for (uint32_t pos = n_shared_of(s); pos < n_shared_of(s) + s % 4 + 9; pos++)
                if (memcmp(tiny_logits(t, s, pos), want + (tiny_logits(t, s, pos) - t->logits),
                           n * sizeof *want))
                    fail_msg("%s, K %s V %s, %u threads: stream %u position %u differs from itself "
                             "alone", shape->name, kv_type_name(k), kv_type_name(v), n_threads, s,
                             pos);
        tiny_close(t);
    }
    free(want);
    tiny_free(t);
}

static void shared_pages_give_the_same_bytes(void **state)
{
    (void)state;
    for (int type = 0; type < N_KV_TYPES; type++)       /* with biases, and each shape once */
        check_shared(&tiny_shapes[0], (enum kv_type)type, (enum kv_type)(N_KV_TYPES - 1 - type));
    for (size_t s = 1; s < COUNT(tiny_shapes); s++)
        check_shared(&tiny_shapes[s], (enum kv_type)(s % N_KV_TYPES), KV_F16);
}

/* Prompts that leave no logits behind, and steps with logits for some columns only. */
static void check_outputs(struct tiny *t, const float *want)
{
    const size_t n = t->shape->n_vocab;
    for (uint32_t every = 0; every <= 49; every += 7) {
        tiny_start(t, 2 + every, 0xff);
        tiny_step(t, &(struct piece){ 3, 0, 49 }, 1, every);
        tiny_step(t, &(struct piece){ 3, 49, 1 }, 1, 1);
        for (uint32_t pos = 0; pos < 50; pos++) {
            const bool is_out = pos == 49 || (every && (48 - pos) % every == 0);
            if (is_out)
                assert_memory_equal(tiny_logits(t, 3, pos), want + pos * n, n * sizeof *want);
            else
                assert_true(tiny_logits(t, 3, pos)[0] == 0);
        }
    }
}

/* Rows of logits held at once: all outputs, all but one, few, one. */
static void outputs_and_their_turns_do_not_matter(void **state)
{
    (void)state;
    static const uint32_t max_outs[] = { 128, 50, 49, 30, 7, 1 };
    for (size_t k = 0; k < COUNT(tiny_shapes); k++) {
        struct tiny *t = tiny_make(&tiny_shapes[k]);
        float *want = NULL;
        t->params.n_threads = 2;
        for (size_t i = 0; i < COUNT(max_outs); i++) {
            t->params.max_outs = max_outs[i];
            tiny_open(t);
            tiny_start(t, 1, 0xff);
            tiny_step(t, &(struct piece){ 3, 0, 50 }, 1, 1);
            if (!want) want = copy_logits(t);
            assert_memory_equal(tiny_logits(t, 3, 0), want + (tiny_logits(t, 3, 0) - t->logits),
                                50 * t->shape->n_vocab * sizeof *want);
            check_outputs(t, want + (tiny_logits(t, 3, 0) - t->logits));
            tiny_close(t);
        }
        free(want);
        tiny_free(t);
    }
}

/* A stream goes on in copies of its pages as in the originals, and writing to one leaves the other
 * alone: first the copies are filled with garbage, then the originals. */
static void copied_pages_serve_as_well(void **state)
{
    (void)state;
    enum { N_PROMPT = 41 };
    struct tiny *t = tiny_make(&tiny_shapes[0]);
    const size_t n_bytes = TINY_POSITIONS * t->shape->n_vocab * sizeof(float);

    tiny_open(t);
    struct cpu_backend *b = (struct cpu_backend *)t->b;
    tiny_start(t, 1, 0xff);
    tiny_step(t, &(struct piece){ 0, 0, TINY_POSITIONS }, 1, 1);
    float *want = copy_logits(t);
    for (int uses_copies = 0; uses_copies < 2; uses_copies++) {
        tiny_start(t, 2, 0xff);
        tiny_step(t, &(struct piece){ 0, 0, N_PROMPT }, 1, 1);
        for (uint32_t i = 0; i < TINY_PAGES; i++) {
            const uint32_t original = t->page[0][i], copy = t->page[7][i];
            backend_cpu.copy_page(t->b, copy, original);
            memset(b->kv + (uses_copies ? original : copy) * b->page_bytes, 0xff, b->page_bytes);
            if (uses_copies) t->page[0][i] = copy;
        }
        tiny_step(t, &(struct piece){ 0, N_PROMPT, TINY_POSITIONS - N_PROMPT }, 1, 1);
        assert_memory_equal(t->logits, want, n_bytes);
    }
    free(want);
    tiny_close(t);
    tiny_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_column_gets_the_same_bytes),
        cmocka_unit_test(a_lone_stream_gets_the_same_bytes_from_many_threads),
        cmocka_unit_test(shared_pages_give_the_same_bytes),
        cmocka_unit_test(outputs_and_their_turns_do_not_matter),
        cmocka_unit_test(copied_pages_serve_as_well),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
