/* What a step launches, run at once; time by operation; waiting.
 *
 * Hundreds of launches a step cost the host more than it has. A step of decoding launches what the
 * one before did, byte for byte: what differs lies in lists that kernels read. So launches wait in
 * a queue, and a queue that came before is run as a graph, made when it comes the third time. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/cuda_internal.h"
#include "base/hash.h"
#include "base/log.h"

enum { QUEUE_BYTES = 4 << 20, N_GRAPHS = 64, SEEN_BEFORE_GRAPH = 2 };

struct known_queue {
    struct hash128 hash;
    uint32_t n_seen;                /* 0: the entry is empty */
    uint64_t last_used;
    struct cuda_graph *graph;       /* NULL: not yet, or it cannot be made */
};

struct cuda_recorder {
    struct known_queue known[N_GRAPHS];
    uint64_t n_flushed;
    bool is_without_graphs;         /* one could not be made */
    uint32_t n_bytes;
    uint64_t queue[QUEUE_BYTES / sizeof(uint64_t)];     /* struct launch_head, args, ... */
};

/* Before the args of a launch. */
struct launch_head {
    uint32_t kernel, n_bytes;
};

#define GAPLESS(type, n_pointers, n_words)                                                         \
    _Static_assert(sizeof(struct type) == (n_pointers) * 8 + (n_words) * 4, "no gaps: " #type)
GAPLESS(embed_args, 4, 6);
GAPLESS(norm_args, 4, 6);
GAPLESS(join_args, 2, 4);
GAPLESS(activate_args, 3, 6);
GAPLESS(product_part, 3, 4);
GAPLESS(product_args, 4 + MAX_PARTS * 5, 13 + 1);
GAPLESS(kv_args, 2, 2);
GAPLESS(heads_args, 4 + 3 + 7, 10);
GAPLESS(attend_args, 3 + 7, 10);
GAPLESS(logits_args, 2, 6);
GAPLESS(sampling_args, 8, 6);

pl_status cuda_recorder_open(struct cuda_backend *b, pl_err *err)
{
    b->recorder = calloc(1, sizeof *b->recorder);
    return b->recorder ? PL_OK : pl_fail(err, PL_E_MEMORY, "no memory for what a step launches");
}

void cuda_recorder_close(struct cuda_backend *b)
{
    struct cuda_recorder *r = b->recorder;
    char text[CUDA_TEXT_BYTES];
    if (!r) return;
    b->api->wait(b->device, text);
    for (struct known_queue *k = r->known; k < r->known + N_GRAPHS; k++)
        b->api->graph_free(b->device, k->graph);
    free(r);
    b->recorder = NULL;
}

/* ---- the queue ------------------------------------------------------------------------------ */

static void launch_queue(struct cuda_backend *b)
{
    const struct cuda_recorder *r = b->recorder;
    const uint8_t *at = (const uint8_t *)r->queue, *end = at + r->n_bytes;
    while (at < end) {
        struct launch_head head;
        memcpy(&head, at, sizeof head);
        at += sizeof head;
        b->api->launch(b->device, (enum cuda_kernel)head.kernel, at);
        at += head.n_bytes;
    }
}

/* The entry of the queue, or the one that was used longest ago, made its own. */
static struct known_queue *find_known(struct cuda_backend *b)
{
    struct cuda_recorder *r = b->recorder;
    const struct hash128 hash = hash128(r->queue, r->n_bytes);
    struct known_queue *oldest = r->known;
    char text[CUDA_TEXT_BYTES];
    for (struct known_queue *k = r->known; k < r->known + N_GRAPHS; k++) {
        if (k->n_seen && hash128_equal(k->hash, hash)) return k;
        if (k->last_used < oldest->last_used) oldest = k;
    }
    if (oldest->graph) {
        if (b->api->wait(b->device, text)) r->is_without_graphs = true;
        b->api->graph_free(b->device, oldest->graph);
    }
    *oldest = (struct known_queue){ .hash = hash };
    return oldest;
}

static void make_graph(struct cuda_backend *b, struct known_queue *k)
{
    char text[CUDA_TEXT_BYTES];
    b->api->graph_begin(b->device);
    launch_queue(b);
    if (!b->api->graph_end(b->device, &k->graph, text)) return;
    PL_LOG(WARN, "cuda", "%s: kernels are launched one by one", text);
    b->recorder->is_without_graphs = true;
}

void cuda_flush(struct cuda_backend *b)
{
    struct cuda_recorder *r = b->recorder;
    if (!r->n_bytes) return;
    struct known_queue *k = find_known(b);
    k->last_used = ++r->n_flushed;
    if (k->n_seen++ == SEEN_BEFORE_GRAPH && !r->is_without_graphs) make_graph(b, k);
    if (k->graph) b->api->graph_run(b->device, k->graph);
    else launch_queue(b);
    r->n_bytes = 0;
}

/* Timed, an operation begins when it is launched. */
void cuda_launch(struct cuda_backend *b, enum cuda_kernel kernel, const void *args, size_t n_bytes)
{
    struct cuda_recorder *r = b->recorder;
    const struct launch_head head = { kernel, (uint32_t)n_bytes };
    if (b->timings.is_on) {
        b->api->launch(b->device, kernel, args);
        return;
    }
    if (r->n_bytes + sizeof head + n_bytes > QUEUE_BYTES) cuda_flush(b);
    uint8_t *to = (uint8_t *)r->queue + r->n_bytes;
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, args, n_bytes);
    r->n_bytes += (uint32_t)(sizeof head + n_bytes);
}

/* ---- time ----------------------------------------------------------------------------------- */

/* Times are between marks on the stream: mark i ends operation i, the first mark begins. */
static void take_times(struct cuda_backend *b)
{
    for (uint32_t i = 1; i < b->n_marks; i++) {
        const float ms = b->api->ms_between(b->device, i - 1, i);
        if (b->mark_name[i])
            op_timings_add(&b->timings, b->mark_name[i], (uint64_t)llround((double)ms * 1e6));
    }
    b->n_marks = 0;
}

void cuda_end_operation(struct cuda_backend *b, const char *name)
{
    char text[CUDA_TEXT_BYTES];
    if (!b->timings.is_on) return;
    if (b->n_marks == CUDA_TIMED_MARKS) {
        if (!b->api->wait_mark(b->device, b->n_marks - 1, text)) take_times(b);
        else b->n_marks = 0;
    }
    b->mark_name[b->n_marks] = b->n_marks ? name : NULL;
    b->api->mark(b->device, b->n_marks++);
}

pl_status cuda_wait(struct cuda_backend *b, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    cuda_flush(b);
    if (b->api->wait(b->device, text)) {
        b->n_marks = 0;
        return pl_fail(err, PL_E_INTERNAL, "%s", text);
    }
    take_times(b);
    return PL_OK;
}

pl_status cuda_wait_step(struct cuda_backend *b, uint32_t step, pl_err *err)
{
    char text[CUDA_TEXT_BYTES];
    if (!b->api->wait_mark(b->device, STEP_MARK + step, text)) return PL_OK;
    return pl_fail(err, PL_E_INTERNAL, "%s", text);
}

void cuda_timing(struct backend *base, bool on)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    op_timings_set(&b->timings, on);
    b->n_marks = 0;
}

uint32_t cuda_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct cuda_backend *)base)->timings, name, ns, max);
}
