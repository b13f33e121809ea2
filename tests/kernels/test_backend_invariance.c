/* The law of backend.h: what a column gets is the same bytes whatever shares its step, however its
 * prompt was cut, wherever its pages lie, what they held before, and however many threads run. */
#include "tiny_cpu.h"
#include "tiny_schedules.h"

static uint32_t at_most(uint32_t n_threads)
{
    return n_threads < TINY_MOST_THREADS ? n_threads : TINY_MOST_THREADS;
}

static void check_shape(const struct tiny_shape *shape, const char *isa, uint32_t max_threads)
{
    struct tiny *t = tiny_on_cpu(shape);
    t->params.isa = isa;
    t->params.k_type = max_threads == 2 ? KV_Q8_0 : KV_F16;     /* the best set: see also below */
    check_model(t, at_most(max_threads));
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
        for (size_t s = 0; s < TINY_N_SHAPES; s++)
            if (i + 1 == n || !tiny_shapes[s].n_experts)
                check_shape(&tiny_shapes[s], names[i], i + 1 == n ? 3 : i == 0 ? 1 : 2);
    check_shape(&tiny_wide_group, names[n - 1], 1);
    check_shape(&tiny_tracks, names[n - 1], 3);
    for (uint32_t i = 0; i < n; i++)
        check_shape(&tiny_latents[i % COUNT(tiny_latents)], names[i], i + 1 == n ? 3 : 1);
}

/* One stream and many threads: its few heads are shared out among them, in other ways for each
 * number of threads. */
static void a_lone_stream_gets_the_same_bytes_from_many_threads(void **state)
{
    (void)state;
    for (size_t k = 0; k <= TINY_N_SHAPES; k++) {
        struct tiny *t = tiny_on_cpu(k < TINY_N_SHAPES ? &tiny_shapes[k] : &tiny_wide_group);
        const size_t n_bytes = TINY_POSITIONS * t->shape->n_vocab * sizeof(float);
        float *want = NULL;
        for (uint32_t n_threads = 1; n_threads <= TINY_MOST_THREADS; n_threads++) {
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
        for (int g = 0; g < TINY_KV_GROUPS && s != leader; g++)
            memcpy(t->page[g][s], t->page[g][leader], n / PAGE_TOKENS * sizeof t->page[g][s][0]);
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
    struct tiny *t = tiny_on_cpu(shape);
    const size_t n = t->shape->n_vocab;
    float *want = NULL;

    t->params.k_type = k;
    t->params.v_type = v;
    for (uint32_t s = 0; s < TINY_STREAMS; s++)
        memcpy(t->token[s], t->token[leader_of(s)], n_shared_of(s) * sizeof t->token[s][0]);
    for (uint32_t n_threads = 1; n_threads <= at_most(3); n_threads++) {
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
    for (size_t s = 1; s < TINY_N_SHAPES; s++)
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
    for (size_t k = 0; k < TINY_N_SHAPES; k++) {
        struct tiny *t = tiny_on_cpu(&tiny_shapes[k]);
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
static void check_copies(const struct tiny_shape *shape)
{
    enum { N_PROMPT = 41 };
    struct tiny *t = tiny_on_cpu(shape);
    const size_t n_bytes = TINY_POSITIONS * t->shape->n_vocab * sizeof(float);

    tiny_open(t);
    struct cpu_backend *b = (struct cpu_backend *)t->b;
    tiny_start(t, 1, 0xff);
    tiny_step(t, &(struct piece){ 0, 0, TINY_POSITIONS }, 1, 1);
    float *want = copy_logits(t);
    for (int uses_copies = 0; uses_copies < 2; uses_copies++) {
        tiny_start(t, 2, 0xff);
        tiny_step(t, &(struct piece){ 0, 0, N_PROMPT }, 1, 1);
        for (uint32_t i = 0; i < t->params.kv.n * TINY_PAGES; i++) {
            const uint32_t g = i / TINY_PAGES, k = i % TINY_PAGES;
            const uint32_t original = t->page[g][0][k], copy = t->page[g][7][k];
            backend_cpu.copy_page(t->b, g, copy, original);
            memset(b->kv + b->places.first[g] +
                       (uses_copies ? original : copy) * b->places.page_bytes[g], 0xff,
                   b->places.page_bytes[g]);
            if (uses_copies) t->page[g][0][k] = copy;
        }
        tiny_step(t, &(struct piece){ 0, N_PROMPT, TINY_POSITIONS - N_PROMPT }, 1, 1);
        assert_memory_equal(t->logits, want, n_bytes);
    }
    free(want);
    tiny_close(t);
    tiny_free(t);
}

static void copied_pages_serve_as_well(void **state)
{
    (void)state;
    check_copies(&tiny_shapes[0]);
    check_copies(&tiny_shapes[1]);      /* which has two KV groups */
}

static void layers_may_live_on_two_backends(void **state)
{
    (void)state;
    const struct tiny_shape *shape = &tiny_shapes[1];   /* with two KV groups */
    struct tiny *t = tiny_on_cpu(shape), *heir = tiny_on_cpu(shape);
    check_two_homes(t, heir);
    tiny_free(heir);
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
        cmocka_unit_test(layers_may_live_on_two_backends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
