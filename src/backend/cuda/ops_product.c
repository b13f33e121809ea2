/* The operations that are matrix products, with what follows each. */
#include "backend/cuda/cuda_internal.h"

_Static_assert((int)ACTIVATION_SILU == 0 && (int)ACTIVATION_GELU_TANH == 1 &&
                   (int)ACTIVATION_SWIGLU_CLAMPED == 2 && (int)ACTIVATION_RELU == 3,
               "as vectors.cu has them");

/* ---- products ------------------------------------------------------------------------------- */

static struct product_args product_args_of(const struct cuda_backend *b, const struct matrix *m,
                                           const uint16_t *in, uint32_t n_cols)
{
    return (struct product_args){
        .format = m->format, .block_rows = m->block_rows, .n_blocks = m->n_blocks,
        .n_cols = n_cols, .x = in, .scale = 1, .bias_scale = 1,
        .partial = b->product_partial, .flag = b->product_flag,
    };
}

static void add_part(struct product_args *p, const struct linear *w, float *out)
{
    const struct matrix *m = w->weight;
    p->part[p->n_parts++] = (struct product_part){
        .tiles = m->tiles, .bias = w->bias ? w->bias->values : NULL, .out = out,
        .n_rows = m->n_rows, .n_row_blocks = whole(m->n_rows, m->block_rows) / m->block_rows,
        .ld_out = m->n_rows,
    };
}

void cuda_product_of(struct cuda_backend *b, const struct matrix *m, const uint16_t *in,
                     uint32_t n_cols, float scale, float *out)
{
    struct product_args p = product_args_of(b, m, in, n_cols);
    add_part(&p, &(struct linear){ m, NULL }, out);
    p.scale = scale;
    cuda_launch(b, CUDA_product, &p, sizeof p);
}

/* Products of the same columns by matrices of any kinds: those of one kind together. */
struct several {
    const struct linear *w[MAX_PARTS];
    float *out[MAX_PARTS];
    uint32_t n;
};

static bool is_one_kind(const struct matrix *a, const struct matrix *b)
{
    return a->format == b->format && a->block_rows == b->block_rows && a->n_blocks == b->n_blocks;
}

/* Whether q4_k and q6_k can share a launch. */
static bool can_mix(const struct matrix *a, const struct matrix *b)
{
    return a->format == TILE_Q4_K && b->format == TILE_Q6_K && a->n_blocks == b->n_blocks &&
           a->block_rows == 128 && b->block_rows == 128;
}

static uint64_t part_bytes(const struct product_part *part, enum tile_format format)
{
    return (uint64_t)part->n_row_blocks * tile_bytes(format);
}

/* Workers of the last n_other parts: by bytes, none left out. */
static uint32_t n_workers_of_other(const struct product_args *p)
{
    const uint32_t n_first = p->n_parts - p->n_other;
    uint64_t n_bytes = 0, other = 0;
    for (uint32_t i = 0; i < p->n_parts; i++) {
        const bool is_other = i >= n_first;
        const uint64_t n = part_bytes(&p->part[i], is_other ? p->other_format : p->format);
        n_bytes += n;
        other += is_other ? n : 0;
    }
    const uint32_t n = (uint32_t)((PRODUCT_WORKERS * other + n_bytes / 2) / n_bytes);
    return n < 1 ? 1 : n < PRODUCT_WORKERS ? n : PRODUCT_WORKERS - 1;
}

/* Adds those that are yet to do and of this kind; returns how many. */
static uint32_t take_kind(struct product_args *p, const struct several *s, bool *is_done,
                          const struct matrix *kind)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (is_done[i] || !is_one_kind(kind, s->w[i]->weight)) continue;
        add_part(p, s->w[i], s->out[i]);
        is_done[i] = true;
        n++;
    }
    return n;
}

static void run_several(struct cuda_backend *b, const struct several *s, const uint16_t *in)
{
    bool is_done[MAX_PARTS] = { false };
    for (uint32_t first = 0; first < s->n; first++) {
        if (is_done[first]) continue;
        const struct matrix *kind = s->w[first]->weight;
        struct product_args p = product_args_of(b, kind, in, b->batch.n_cols);
        take_kind(&p, s, is_done, kind);
        for (uint32_t i = first; i < s->n && !p.n_other; i++) {
            if (is_done[i] || !can_mix(kind, s->w[i]->weight)) continue;
            p.other_format = s->w[i]->weight->format;
            p.n_other = take_kind(&p, s, is_done, s->w[i]->weight);
            p.n_other_workers = n_workers_of_other(&p);
        }
        cuda_launch(b, CUDA_product, &p, sizeof p);
    }
}

/* ---- norms of whole rows, residuals --------------------------------------------------------- */

static void norm_rows(struct cuda_backend *b, const struct norm *norm, float *rows)
{
    const struct norm_args args = {
        .x = rows, .weight = norm->weight->values, .n = norm->weight->n,
        .n_cols = b->batch.n_cols, .eps = norm->eps, .is_centred = norm->is_centred,
    };
    cuda_launch(b, CUDA_norm_rows, &args, sizeof args);
    cuda_end_operation(b, "norm");
}

/* X += residual of (in_scale * in) * w + bias; where it is more than a scaled sum, by way of Y. */
static void add_product(struct cuda_backend *b, const struct linear *w, const uint16_t *in,
                        float in_scale, const struct residual *r, const char *name)
{
    const bool is_sum = !r->norm.weight && r->x_scale == 0;
    struct product_args p = product_args_of(b, w->weight, in, b->batch.n_cols);
    add_part(&p, w, is_sum ? b->x : b->y);
    p.part[0].adds = is_sum;
    p.bias_scale = is_sum ? r->scale : 1;
    p.scale = p.bias_scale * in_scale;
    cuda_launch(b, CUDA_product, &p, sizeof p);
    cuda_end_operation(b, name);
    if (is_sum) return;
    if (r->norm.weight) norm_rows(b, &r->norm, b->y);
    const struct join_args join = { b->x, b->y, b->params.dims.d_model, b->batch.n_cols, r->scale,
                                    r->x_scale };
    cuda_launch(b, CUDA_join, &join, sizeof join);
    cuda_end_operation(b, "residual");
}

void cuda_attention_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    add_product(b, w, b->att, 1, r, "attention output");
}

void cuda_down_add(struct backend *base, const struct linear *w, const struct residual *r)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    add_product(b, w, b->act, 1 / ACT_SCALE, r, "down");
}

/* Whether gates and ups can meet in one kernel: blocks of both fill all of ACT. */
static bool meet_in_product(const struct matrix *gate, const struct matrix *up)
{
    return gate->format != TILE_F16 && is_one_kind(gate, up) && gate->n_rows == up->n_rows &&
           whole(gate->n_rows, gate->block_rows) == whole(gate->n_rows, TILE_K);
}

static void gate_up_together(struct cuda_backend *b, const struct linear *gate,
                             const struct linear *up, enum activation activation)
{
    struct product_args p = product_args_of(b, gate->weight, b->h, b->batch.n_cols);
    add_part(&p, gate, NULL);
    add_part(&p, up, NULL);
    for (uint32_t i = 0; i < p.n_parts; i++)    /* 128 gates beside 128 ups */
        p.part[i].n_row_blocks = whole(gate->weight->n_rows, TILE_K) / 128;
    p.act = b->act;
    p.ld_act = whole(gate->weight->n_rows, TILE_K);
    p.activation = activation;
    p.act_scale = ACT_SCALE;
    cuda_launch(b, CUDA_product, &p, sizeof p);
    cuda_end_operation(b, "gate_up");
}

void cuda_gate_up(struct backend *base, const struct linear *gate, const struct linear *up,
                  const struct ffn_params *params)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    if (meet_in_product(gate->weight, up->weight)) {
        gate_up_together(b, gate, up, params->activation);
        return;
    }
    const struct several s = { { gate, up }, { b->gate, b->up }, 2 };
    run_several(b, &s, b->h);
    cuda_end_operation(b, "gate_up");
    const struct activate_args args = {
        .gate = b->gate, .up = b->up, .act = b->act, .n = gate->weight->n_rows,
        .n_cols = b->batch.n_cols, .ld_act = whole(gate->weight->n_rows, TILE_K),
        .activation = params->activation, .scale = ACT_SCALE,
    };
    cuda_launch(b, CUDA_activate, &args, sizeof args);
    cuda_end_operation(b, "activation");
}

/* ---- Q, K and V ----------------------------------------------------------------------------- */

static struct kv_args kv_args_of(const struct cuda_backend *b, const struct attention_params *a)
{
    return (struct kv_args){
        .kv = b->kv + kv_place(&b->places, a, 0), .page_bytes = b->places.page_bytes[a->kv_group],
        .n_kv_heads = b->params.dims.n_kv_heads, .d_head = b->params.dims.d_head,
    };
}

/* Of each head; NULL: there is none, or it was of all heads together. */
static const float *head_norm(const struct cuda_backend *b, const struct norm *norm)
{
    return norm->weight && norm->weight->n == b->params.dims.d_head ? norm->weight->values : NULL;
}

static void norm_all_heads(struct cuda_backend *b, const struct norm *norm, float *rows)
{
    if (norm->weight && norm->weight->n != b->params.dims.d_head) norm_rows(b, norm, rows);
}

static void finish_heads(struct cuda_backend *b, const struct qkv_weights *w,
                         const struct attention_params *a)
{
    const struct cuda_lists *lists = &b->step[b->at].lists;
    const struct heads_args args = {
        .q = b->q, .k = w->k.weight ? b->k : NULL, .v = b->v, .q_half = b->q_half,
        .kv = kv_args_of(b, a), .pos = lists->pos, .page = lists->col_page[a->kv_group],
        .norm_q = head_norm(b, &w->norm_q), .norm_k = head_norm(b, &w->norm_k),
        .norm_v = head_norm(b, &w->norm_v), .cos_sin = a->rope ? a->rope->cos_sin : NULL,
        .q_scales = a->q_scales ? a->q_scales->values : NULL,
        .n_heads = b->params.dims.n_heads, .n_cols = b->batch.n_cols,
        .n_rot = a->rope ? a->rope->n_rot : 0,
        .is_interleaved = a->rope && a->rope->is_interleaved,
        .is_centred = w->norm_q.is_centred, .q_scale = a->q_scale * LOG2_E,
        .eps_q = w->norm_q.eps, .eps_k = w->norm_k.eps, .eps_v = w->norm_v.eps,
    };
    cuda_launch(b, CUDA_finish_heads, &args, sizeof args);
    cuda_end_operation(b, "rope");
}

void cuda_qkv(struct backend *base, const struct qkv_weights *w, const struct attention_params *a)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    struct several s = { { &w->q, &w->k, &w->v }, { b->q, b->k, b->v }, w->k.weight ? 3 : 1 };
    run_several(b, &s, b->h);
    cuda_end_operation(b, "qkv");
    norm_all_heads(b, &w->norm_q, b->q);
    if (w->k.weight) norm_all_heads(b, &w->norm_k, b->k);
    finish_heads(b, w, a);
}

/* ---- attention ------------------------------------------------------------------------------ */

/* The groups from `first` on whose places fit together; sets the most parts that one has. Places
 * are counted whatever the window. */
static uint32_t pass_end(const struct cuda_backend *b, uint32_t first, uint32_t window,
                         uint32_t *n_splits)
{
    const struct cuda_step *step = &b->step[b->at];
    uint32_t end = first, n = 0;
    *n_splits = 0;
    for (; end < step->n_groups; end++) {
        const struct col_group *g = &step->host_lists.group[end];
        const uint32_t last_pos = g->first_pos + g->n_cols - 1;
        const uint32_t of_group = last_pos / SPLIT - window_start(g->first_pos, window) / SPLIT + 1;
        const uint32_t n_places = (last_pos / SPLIT + 1) * g->n_cols;
        if (end > first && n + n_places > ATTEND_PLACES) break;
        n += n_places;
        if (of_group > *n_splits) *n_splits = of_group;
    }
    return end;
}

void cuda_attend(struct backend *base, const struct qkv_weights *w,
                 const struct attention_params *a)
{
    struct cuda_backend *b = (struct cuda_backend *)base;
    const struct dims *d = &b->params.dims;
    const struct cuda_lists *lists = &b->step[b->at].lists;
    struct attend_args args = {
        .kv = kv_args_of(b, a), .q_half = b->q_half, .group = lists->group,
        .pages = lists->pages[a->kv_group], .sinks = w->sinks ? w->sinks->values : NULL,
        .partial = b->attend_partial, .n_done = b->attend_done, .att = b->att,
        .all_cols = b->batch.n_cols, .n_heads = d->n_heads, .n_shared = d->n_heads / d->n_kv_heads,
        .ld_att = b->ld_q, .window = a->window, .score_cap = a->score_cap * LOG2_E,
    };
    const struct cuda_step *step = &b->step[b->at];
    for (uint32_t first = 0, end; first < step->n_groups; first = end) {
        end = pass_end(b, first, a->window, &args.n_splits);
        args.n_splits = whole(args.n_splits, 4);    /* so that more steps are alike */
        args.first_group = first;
        args.n_groups = end - first;
        args.first_place = step->host_lists.group[first].place;
        cuda_launch(b, CUDA_attend, &args, sizeof args);
    }
    cuda_end_operation(b, "attend");
}
