/* Attention over latents: what its queries and keys are made of, and what becomes of its sums. A
 * head's slice of a column is a column of products of its own: slice h * n_cols + c is head h's of
 * column c, and meets the rows of head h. */
#include <string.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

static uint32_t n_slices(const struct cpu_backend *b)
{
    return b->params.dims.n_heads * b->batch.n_cols;
}

/* ---- products of heads ----------------------------------------------------------------------- */

/* Slices of rows of p->out, (n_cols, ld_out), p->first_row from one head's to the next, the first
 * n_rows of each: what the phase that follows reads. */
static void run_slices(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_cols = b->batch.n_cols;
    const struct range items = range_of(n_slices(b), part);
    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t head = i / n_cols, c = i % n_cols;
        act_quantise(b, &b->heads, p->forms, i, n_slices(b),
                     p->out + c * p->ld_out + (size_t)head * p->first_row, 0, p->n_rows);
    }
}

/* Rows of slices: p->n_rows of the matrix are a head's. */
static void run_head_product(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_panels = p->n_rows / PANEL_ROWS, n_cols = b->batch.n_cols;
    const struct range mine = range_of(b->params.dims.n_heads * n_panels, part);
    for (uint32_t first = mine.first, end; first < mine.last; first = end) {
        const uint32_t head = first / n_panels, after = (head + 1) * n_panels;
        end = after < mine.last ? after : mine.last;
        const struct range cols = { head * n_cols, (head + 1) * n_cols }, panels = { first, end };
        product_columns(b, p->linear->weight, &b->heads, cols, n_slices(b), panels,
                        b->head_rows + (size_t)(first % n_panels) * PANEL_ROWS, b->ld_head);
    }
}

/* The first n of each head's slice of `from` times its n_rows rows of w, into head_rows. */
static void record_head_product(struct cpu_backend *b, const char *name, const struct linear *w,
                                float *from, size_t ld, uint32_t step, uint32_t n, uint32_t n_rows)
{
    struct phase *p = phase_add(b, run_slices, "quantise");
    p->forms = act_form(w->weight);
    p->out = from;
    p->ld_out = ld;
    p->first_row = step;
    p->n_rows = n;
    phase_set_cost(b, p, QUANTISE_NS * n_slices(b) * (double)n);
    p = phase_add(b, run_head_product, name);
    p->linear = w;
    p->n_rows = n_rows;
    phase_set_cost(b, p, product_cost(w->weight, b->batch.n_cols));
}

/* ---- Q and the latents ----------------------------------------------------------------------- */

static void run_norm_query(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n = b->params.dims.latent.d_query;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *row = b->low + c * b->ld_low;
        norm_values(b, p->norm, row, n, row);
        act_quantise(b, &b->narrow, p->forms, c, b->batch.n_cols, row, 0, n);
    }
}

static void prepare_query(const struct cpu_backend *b, const struct phase *p, uint32_t head,
                          uint32_t c)
{
    const struct dims *d = &b->params.dims;
    const struct latent_dims *l = &d->latent;
    const uint32_t pos = b->batch.pos[c], r = l->d_latent, n_turned = l->d_turned;
    const float *raw = b->q_raw + c * b->ld_raw + (size_t)head * (l->d_plain + n_turned);
    float *q = b->q + c * b->ld_q + (size_t)head * d->d_head;
    memcpy(q, b->head_rows + ((size_t)head * b->batch.n_cols + c) * b->ld_head, r * sizeof *q);
    memcpy(q + r, raw + l->d_plain, n_turned * sizeof *q);
    memset(q + r + n_turned, 0, (d->d_head - r - n_turned) * sizeof *q);
    for (uint32_t i = 0; i < r; i++) q[i] *= scale_at(p, pos);
    turn_head(b, p->attention->rope, q + r, n_turned, pos, scale_at(p, pos));
}

static void write_latent(struct cpu_backend *b, const struct phase *p, uint32_t c)
{
    const struct latent_dims *l = &b->params.dims.latent;
    const struct attention_params *a = p->attention;
    const uint32_t pos = b->batch.pos[c], r = l->d_latent, n = r + l->d_turned;
    const uint32_t page = span_of(&b->batch, c)->page[a->kv_group][pos / PAGE_TOKENS];
    float *row = b->k_rows + c * b->ld_kv;
    norm_values(b, &p->latent->norm_kv, row, r, row);
    turn_head(b, a->rope, row + r, l->d_turned, pos, 1);
    memset(row + n, 0, (b->params.dims.d_head - n) * sizeof *row);
    b->k.kv_write(kv_of(b, a, page, 0), layout_of(b, a), pos % PAGE_TOKENS, row, NULL);
}

/* Items are heads, then the latent, times columns. */
static void run_latent_heads(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n_cols = b->batch.n_cols, n_heads = b->params.dims.n_heads;
    const struct range items = range_of((n_heads + 1) * n_cols, part);
    for (uint32_t i = items.first; i < items.last; i++) {
        if (i / n_cols < n_heads) prepare_query(b, p, i / n_cols, i % n_cols);
        else write_latent(b, p, i % n_cols);
    }
}

static void record_queries(struct cpu_backend *b, const struct latent_weights *w)
{
    if (!w->q_down.weight) {
        product_record(b, "qkv", &w->q, &b->h, b->q_raw, b->ld_raw);
        return;
    }
    product_record(b, "qkv", &w->q_down, &b->h, b->low, b->ld_low);
    struct phase *p = phase_add(b, run_norm_query, "norm");
    p->norm = &w->norm_q;
    p->forms = act_form(w->q.weight);
    product_record(b, "qkv", &w->q, &b->narrow, b->q_raw, b->ld_raw);
}

void cpu_latent_qkv(struct backend *base, const struct latent_weights *w,
                    const struct attention_params *a)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const struct latent_dims *l = &b->params.dims.latent;
    const struct linear *first = w->q_down.weight ? &w->q_down : &w->q;
    phase_want_forms(b, b->writer.h, act_form(first->weight) | act_form(w->kv.weight));
    record_queries(b, w);
    product_record(b, "qkv", &w->kv, &b->h, b->k_rows, b->ld_kv);
    record_head_product(b, "absorb", &w->absorb, b->q_raw, b->ld_raw, l->d_plain + l->d_turned,
                        l->d_plain, l->d_latent);
    struct phase *p = phase_add(b, run_latent_heads, "rope");
    p->latent = w;
    p->attention = a;
    p->scale = a->q_scale * LOG2_E;
    phase_set_cost(b, p, ROPE_NS * b->batch.n_cols * (double)b->ld_q);
}

/* ---- what sums of latents become ------------------------------------------------------------- */

/* ATT = the heads' rows of a column, side by side */
static void run_gather_values(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const uint32_t n = b->params.dims.latent.d_value, n_heads = b->params.dims.n_heads;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *row = b->q_raw + c * b->ld_raw;
        for (uint32_t head = 0; head < n_heads; head++)
            memcpy(row + (size_t)head * n,
                   b->head_rows + ((size_t)head * b->batch.n_cols + c) * b->ld_head,
                   n * sizeof *row);
        act_quantise(b, &b->att, p->forms, c, b->batch.n_cols, row, 0, n_heads * n);
    }
}

void cpu_latent_values(struct backend *base, const struct latent_weights *w)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const struct dims *d = &b->params.dims;
    record_head_product(b, "values", &w->value, b->attended, b->ld_q, d->d_head,
                        d->latent.d_latent, d->latent.d_value);
    b->writer.att = b->n_phases;
    struct phase *p = phase_add(b, run_gather_values, "quantise");
    phase_set_cost(b, p, QUANTISE_NS * b->batch.n_cols * (double)b->ld_raw);
}
