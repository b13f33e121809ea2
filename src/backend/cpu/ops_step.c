/* Begin and submit, and the operations on whole columns: embed, norm, logits, sample. */
#include <string.h>

#include "backend/cpu/cpu_internal.h"
#include "base/clock.h"

struct phase *add_phase(struct cpu_backend *b, phase_fn *run, const char *name)
{
    struct phase *p = &b->phase[b->n_phases];
    *p = (struct phase){ .run = run, .name = name, .n_parts = b->params.n_threads };
    atomic_store_explicit(&b->n_taken[b->n_phases++], 0, memory_order_relaxed);
    return p;
}

void set_cost(struct cpu_backend *b, struct phase *p, double ns)
{
    const uint32_t n_threads = b->params.n_threads;
    const double parts_a_thread = ns / n_threads / PART_NS;
    if (n_threads == 1 || b->batch.n_cols < MANY_COLS || parts_a_thread < 2) return;
    p->n_parts = n_threads * (parts_a_thread < MAX_PARTS_A_THREAD ? (uint32_t)parts_a_thread
                                                                   : MAX_PARTS_A_THREAD);
}

double product_cost(const struct matrix *m, uint32_t n_cols)
{
    const double read_ns = READ_NS * (double)m->panel_bytes;
    const double compute_ns = PRODUCT_NS * PANEL_ROWS * m->n_k * n_cols;
    return m->n_panels * (read_ns > compute_ns ? read_ns : compute_ns);
}

void cpu_begin(struct backend *base, const struct batch *batch)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->batch = *batch;
    b->n_phases = 0;
    prefix_groups_find(&b->groups, batch);
}

static void run_embed(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct matrix *m = p->matrix;
    const struct share cols = share_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        const uint32_t row = (uint32_t)b->batch.token[c];
        float *x = b->x + c * b->ld_model;
        panel_unpack_row(m->format, m->panel + row / PANEL_ROWS * m->panel_bytes, row % PANEL_ROWS,
                         m->n_k, x);
        if (p->scale != 1)
            for (uint32_t i = 0; i < m->n_k; i++) x[i] *= p->scale;
    }
}

void cpu_embed(struct backend *base, const struct matrix *embedding, float scale)
{
    struct phase *p = add_phase((struct cpu_backend *)base, run_embed, "embed");
    p->matrix = embedding;
    p->scale = scale;
}

static void run_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model, n_cols = b->batch.n_cols;
    const uint32_t ld = p->has_residuals ? 2 * n_cols : n_cols;
    const struct share cols = share_of(n_cols, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t c = cols.first; c < cols.last; c++) {
        b->k.rms_norm(b->x + c * b->ld_model, p->vector->values, d_model, p->eps, row);
        act_quantise(b, &b->h, p->forms, c, ld, row, 0, d_model);
        if (!p->has_residuals) continue;
        b->k.take_off(b->h.x32 + c, ld, row, d_model);
        act_quantise(b, &b->h, p->forms, n_cols + c, ld, row, 0, d_model);
    }
}

/* Which forms H takes is added by the operations that read it. */
void cpu_norm(struct backend *base, const struct vector *weight, float eps)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->last_norm = b->n_phases;
    struct phase *p = add_phase(b, run_norm, "norm");
    p->vector = weight;
    p->eps = eps;
    set_cost(b, p, NORM_NS * b->batch.n_cols * b->params.dims.d_model);
}

/* Outputs are served in turns of at most max_outs rows of logits. */
static void run_head_norm(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t d_model = b->params.dims.d_model;
    const struct share outs = share_of(p->n_outs, part);
    float *row = b->norm_row + part.thread * b->ld_model;
    for (uint32_t o = outs.first; o < outs.last; o++) {
        const uint32_t col = b->batch.out_col[p->first_out + o];
        b->k.rms_norm(b->x + col * b->ld_model, p->vector->values, d_model, p->eps, row);
        act_quantise(b, &b->head, p->forms, o, p->n_outs, row, 0, d_model);
    }
}

/* Block by block of logits: the largest of each is taken while they are in the cache, so that a
 * sampler need not read whole rows again. */
static void run_head(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_vocab = b->params.dims.n_vocab, n_panels = p->matrix->n_panels;
    const struct share blocks = share_of(b->n_logit_blocks, part);
    for (uint32_t i = blocks.first; i < blocks.last; i++) {
        const uint32_t first = i * LOGIT_BLOCK, n_left = n_vocab - first;
        const uint32_t panel = first / PANEL_ROWS, n = LOGIT_BLOCK / PANEL_ROWS;
        const struct share panels = { panel, n < n_panels - panel ? panel + n : n_panels };
        product_panels(b, p->matrix, &b->head, p->n_outs, panels, b->logit_rows, b->ld_vocab);
        for (uint32_t o = 0; o < p->n_outs; o++)
            b->logit_largest[o * b->n_logit_blocks + i] =
                b->k.largest(b->logit_rows + o * b->ld_vocab + first,
                             n_left < LOGIT_BLOCK ? n_left : LOGIT_BLOCK);
    }
}

static void run_sample(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct share outs = share_of(p->n_outs, part);
    for (uint32_t o = outs.first; o < outs.last; o++)
        p->sample(p->sample_arg, p->first_out + o, b->logit_rows + o * b->ld_vocab,
                  b->logit_largest + o * b->n_logit_blocks);
}

void cpu_logits(struct backend *base, const struct vector *norm, float eps,
                const struct matrix *weight)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    b->head_norm = norm;
    b->head_eps = eps;
    b->head_weight = weight;
}

void cpu_sample(struct backend *base, sample_fn *fn, void *arg)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t n_turns = (b->batch.n_outs + b->params.max_outs - 1) / b->params.max_outs;
    for (uint32_t turn = 0; turn < n_turns; turn++) {
        const struct share outs = even_share(b->batch.n_outs, turn, n_turns);
        struct phase *p = add_phase(b, run_head_norm, "norm");
        p->vector = b->head_norm;
        p->eps = b->head_eps;
        p->forms = act_form(b->head_weight);
        p->first_out = outs.first;
        p->n_outs = outs.last - outs.first;
        struct phase *head = add_phase(b, run_head, "output head");
        head->matrix = b->head_weight;
        head->n_outs = p->n_outs;
        set_cost(b, head, product_cost(b->head_weight, p->n_outs));
        struct phase *sample = add_phase(b, run_sample, "sample");
        sample->first_out = p->first_out;
        sample->n_outs = p->n_outs;
        set_cost(b, sample, SAMPLE_NS * p->n_outs);
        sample->sample = fn;
        sample->sample_arg = arg;
    }
}

/* This thread's parts of a phase: the one that is its own, or as many as it comes to. What a part
 * reads was written before the last barrier, so taking one orders nothing. */
static void run_parts(struct cpu_backend *b, uint32_t phase, uint32_t id)
{
    const struct phase *p = &b->phase[phase];
    if (p->n_parts == b->params.n_threads) {
        p->run(b, p, (struct part){ id, p->n_parts, id });
        return;
    }
    for (;;) {
        const unsigned next =
            atomic_fetch_add_explicit(&b->n_taken[phase], 1, memory_order_relaxed);
        if (next >= p->n_parts) return;
        p->run(b, p, (struct part){ next, p->n_parts, id });
    }
}

static void run_phases(void *arg, uint32_t id, uint32_t n_threads)
{
    struct cpu_backend *b = arg;
    (void)n_threads;
    uint64_t start_ns = id == 0 && b->timings.is_on ? clock_ns() : 0;
    for (uint32_t i = 0; i < b->n_phases; i++) {
        run_parts(b, i, id);
        thread_pool_barrier(b->pool, id);
        if (id == 0 && b->timings.is_on) {
            const uint64_t now_ns = clock_ns();
            op_timings_add(&b->timings, b->phase[i].name, now_ns - start_ns);
            start_ns = now_ns;
        }
    }
}

pl_status cpu_submit(struct backend *base, pl_err *err)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    (void)err;
    thread_pool_run(b->pool, run_phases, b);
    return PL_OK;
}

void cpu_copy_page(struct backend *base, uint32_t to, uint32_t from)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    memcpy(b->kv + to * b->page_bytes, b->kv + from * b->page_bytes, b->page_bytes);
}

void cpu_timing(struct backend *base, bool on)
{
    op_timings_set(&((struct cpu_backend *)base)->timings, on);
}

uint32_t cpu_timings(struct backend *base, const char **name, uint64_t *ns, uint32_t max)
{
    return op_timings_take(&((struct cpu_backend *)base)->timings, name, ns, max);
}
