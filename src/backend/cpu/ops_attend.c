/* Q, K and V of a layer, RoPE, the KV pages, and attention over them. */
#include "backend/cpu/cpu_internal.h"

/* The three products are one range of panels, so that the split is even whatever their sizes. */
static void run_qkv_product(struct cpu_backend *b, const struct phase *p, uint32_t id,
                            uint32_t n_threads)
{
    const struct {
        const struct matrix *m;
        float *out;
        size_t ld;
    } parts[] = {
        { p->qkv->q, b->q, b->ld_q },
        { p->qkv->k, b->k_rows, b->ld_kv },
        { p->qkv->v, b->v_rows, b->ld_kv },
    };
    const uint32_t n_cols = p->has_residuals ? 2 * b->batch.n_cols : b->batch.n_cols;
    const uint32_t n_all = p->qkv->q->n_panels + p->qkv->k->n_panels + p->qkv->v->n_panels;
    const struct share all = share_of(n_all, id, n_threads);
    uint32_t start = 0;
    for (int i = 0; i < 3; i++) {
        const uint32_t end = start + parts[i].m->n_panels;
        const struct share mine = { (all.first > start ? all.first : start) - start,
                                    (all.last < end ? all.last : end) - start };
        if (all.first < end && all.last > start)
            product_panels(b, parts[i].m, &b->h, n_cols, mine, parts[i].out, parts[i].ld);
        start = end;
    }
}

/* head: one head of a column, `ld` floats a column. */
static void add_residual(const struct cpu_backend *b, const struct phase *p, float *head, size_t ld)
{
    if (p->has_residuals) b->k.add(head, head + b->batch.n_cols * ld, b->params.dims.d_head);
}

static void prepare_head(const struct cpu_backend *b, const struct phase *p, float *head, size_t ld,
                         const float *bias, const struct vector *norm, uint32_t pos, float scale)
{
    const uint32_t d_head = b->params.dims.d_head;
    add_residual(b, p, head, ld);
    if (bias) b->k.add(head, bias, d_head);
    if (norm) b->k.rms_norm(head, norm->values, d_head, p->eps, head);
    b->k.rope(head, p->rope->cos_sin + (size_t)pos * d_head, d_head, p->rope->interleaved, scale);
}

static const struct span *span_of(const struct batch *batch, uint32_t col)
{
    const struct span *s = batch->span;
    while (col - s->first_col >= s->n_cols) s++;    /* spans come in any order */
    return s;
}

static void write_kv(struct cpu_backend *b, const struct phase *p, uint32_t head, uint32_t col,
                     const struct span *span)
{
    const uint32_t d_head = b->params.dims.d_head, pos = b->batch.pos[col];
    float *k = b->k_rows + col * b->ld_kv + head * d_head;
    float *v = b->v_rows + col * b->ld_kv + head * d_head;
    const struct vector *bias_k = p->qkv->bias_k, *bias_v = p->qkv->bias_v;

    prepare_head(b, p, k, b->ld_kv, bias_k ? bias_k->values + head * d_head : NULL,
                 p->qkv->norm_k, pos, 1);
    add_residual(b, p, v, b->ld_kv);
    if (bias_v) b->k.add(v, bias_v->values + head * d_head, d_head);
    b->k.kv_write(kv_of(b, span->page[pos / PAGE_TOKENS], p->layer, head), d_head,
                  pos % PAGE_TOKENS, k, v);
}

/* Items are heads, queries first, times columns; the columns of a KV head stay on one thread where
 * the split allows, since neighbouring tokens share cache lines of a page. */
static void run_heads(struct cpu_backend *b, const struct phase *p, uint32_t id, uint32_t n_threads)
{
    const struct dims *d = &b->params.dims;
    const uint32_t n_cols = b->batch.n_cols;
    const struct vector *bias_q = p->qkv->bias_q;
    const struct share items = share_of((d->n_heads + d->n_kv_heads) * n_cols, id, n_threads);
    const struct span *span = NULL;

    for (uint32_t i = items.first; i < items.last; i++) {
        const uint32_t head = i / n_cols, col = i % n_cols;
        if (head < d->n_heads) {
            prepare_head(b, p, b->q + col * b->ld_q + head * d->d_head, b->ld_q,
                         bias_q ? bias_q->values + head * d->d_head : NULL, p->qkv->norm_q,
                         b->batch.pos[col], p->scale);
        } else {
            if (!span || col - span->first_col >= span->n_cols) span = span_of(&b->batch, col);
            write_kv(b, p, head - d->n_heads, col, span);
        }
    }
}

/* Where all three weights are of 32-blocks, as in small models, H comes twice: its columns, then as
 * many columns of what their rounding to 8 bits left over, and the two results are added. In
 * SmolLM2-135M this rounding is a third of the variance of the logits' error and Q, K and V are 8 %
 * of the arithmetic. */
void cpu_qkv(struct backend *base, uint32_t layer, const struct qkv_weights *w,
             const struct rope *rope, float q_scale, float eps)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    const uint32_t forms = act_form(w->q) | act_form(w->k) | act_form(w->v);
    const bool has_residuals = forms == ACT_FORM_X32;
    b->phase[b->last_norm].forms |= forms;
    b->phase[b->last_norm].has_residuals = has_residuals;
    struct phase *p = add_phase(b, run_qkv_product, "qkv");
    p->qkv = w;
    p->has_residuals = has_residuals;
    p = add_phase(b, run_heads, "rope");
    p->qkv = w;
    p->has_residuals = has_residuals;
    p->rope = rope;
    p->scale = q_scale * 1.44269504089f;    /* softmax runs in base 2 */
    p->eps = eps;
    p->layer = layer;
}

/* An item of attention: some columns of a span, some query heads of one KV head. Each column and
 * head has arithmetic of its own, so how items are cut changes no bit. */
struct item {
    const struct span *span;
    uint32_t kv_head;
    struct share heads, cols;
};

/* How a step's attention is cut, the same for all its items. */
struct cut {
    uint32_t cols_per_item, head_parts;
};

static uint32_t n_col_items(const struct span *s, const struct cut *cut)
{
    return (s->n_cols + cut->cols_per_item - 1) / cut->cols_per_item;
}

/* Positions that n columns from `pos` look at: what each head of an item costs. */
static uint64_t cost_of(uint32_t pos, uint32_t n, uint32_t window)
{
    uint64_t seen = (uint64_t)pos + n;
    if (window && seen > window + n) seen = window + n;
    return n * (seen + PAGE_TOKENS);
}

/* Into how many parts a KV head's query heads are cut: one, so that they share all loads, unless
 * there are so few items that threads would idle. Then more parts are taken as long as they save
 * the busiest thread a quarter of its work, since every part reads the KV again. */
static uint32_t head_parts(uint32_t n_items, uint32_t n_group, uint32_t n_threads)
{
    uint32_t best = 1;
    uint64_t least = UINT32_MAX;    /* heads that the busiest thread computes */
    if (n_items >= 4 * n_threads) return 1;
    for (uint32_t parts = 1; parts <= n_group; parts++) {
        const uint32_t items_per_thread = (n_items * parts + n_threads - 1) / n_threads;
        const uint64_t busiest = (uint64_t)items_per_thread * ((n_group + parts - 1) / parts);
        if (4 * busiest <= 3 * least) {
            least = busiest;
            best = parts;
        }
    }
    return best;
}

/* Enough rows (columns times heads) an item to share loads, small enough to split evenly. */
static struct cut cut_of(const struct cpu_backend *b, uint32_t n_threads)
{
    const struct dims *d = &b->params.dims;
    const uint32_t n_group = d->n_heads / d->n_kv_heads;
    struct cut cut = { n_group >= 16 ? 1 : 16 / n_group, 1 };
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++)
        n_items += d->n_kv_heads * n_col_items(&b->batch.span[i], &cut);
    cut.head_parts = head_parts(n_items, n_group, n_threads);
    return cut;
}

/* Item i of a span, KV heads outermost. */
static struct item item_of(const struct dims *d, const struct span *s, const struct cut *cut,
                           uint32_t i)
{
    const uint32_t n_col = n_col_items(s, cut), n_group = d->n_heads / d->n_kv_heads;
    const uint32_t first = i % n_col * cut->cols_per_item, n_left = s->n_cols - first;
    const uint32_t n = n_left < cut->cols_per_item ? n_left : cut->cols_per_item;
    return (struct item){
        s, i / n_col / cut->head_parts,
        share_of(n_group, i / n_col % cut->head_parts, cut->head_parts), { first, first + n },
    };
}

static struct attend_job job_of(const struct cpu_backend *b, const struct phase *p,
                                const struct item *item)
{
    const struct dims *d = &b->params.dims;
    const struct span *s = item->span;
    const uint32_t n_group = d->n_heads / d->n_kv_heads, col = s->first_col + item->cols.first;
    const size_t head_at = (size_t)(item->kv_head * n_group + item->heads.first) * d->d_head;
    return (struct attend_job){
        .d_head = d->d_head, .n_group = item->heads.last - item->heads.first,
        .n_cols = item->cols.last - item->cols.first, .first_pos = s->first_pos + item->cols.first,
        .window = p->window, .kv = kv_of(b, 0, p->layer, item->kv_head),
        .page_stride = b->page_bytes, .page = s->page, .q = b->q + col * b->ld_q + head_at,
        .out = b->attended + col * b->ld_q + head_at, .ld_q = b->ld_q, .ld_out = b->ld_q,
    };
}

static uint64_t job_cost(const struct attend_job *j)
{
    return j->n_group * cost_of(j->first_pos, j->n_cols, j->window);
}

static uint64_t total_cost(const struct cpu_backend *b, const struct phase *p,
                           const struct cut *cut)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        const struct span *s = &b->batch.span[i];
        for (uint32_t c = 0; c < s->n_cols; c += cut->cols_per_item) {
            const uint32_t n_left = s->n_cols - c;
            const uint32_t n = n_left < cut->cols_per_item ? n_left : cut->cols_per_item;
            total += b->params.dims.n_heads * cost_of(s->first_pos + c, n, p->window);
        }
    }
    return total;
}

/* Visits every item in one fixed order and runs those in this thread's part of the total cost, each
 * once its successor is known. */
static void run_attend(struct cpu_backend *b, const struct phase *p, uint32_t id,
                       uint32_t n_threads)
{
    const struct dims *d = &b->params.dims;
    const struct cut cut = cut_of(b, n_threads);
    const uint64_t total = total_cost(b, p, &cut);
    struct attend_job job[2];
    uint64_t before = 0;
    uint32_t n_mine = 0;

    for (uint32_t i = 0; i < b->batch.n_spans; i++) {
        const struct span *s = &b->batch.span[i];
        const uint32_t n_items = d->n_kv_heads * cut.head_parts * n_col_items(s, &cut);
        for (uint32_t k = 0; k < n_items; k++) {
            struct attend_job *mine = &job[n_mine % 2], *pending = &job[(n_mine + 1) % 2];
            const struct item item = item_of(d, s, &cut, k);
            *mine = job_of(b, p, &item);
            const uint64_t cost = job_cost(mine);
            if ((before + cost / 2) * n_threads / total == id) {
                pending->next = mine;
                if (n_mine++) b->k.attend(pending);
            }
            before += cost;
        }
    }
    if (n_mine) b->k.attend(&job[(n_mine + 1) % 2]);
}

static void run_quantise_attended(struct cpu_backend *b, const struct phase *p, uint32_t id,
                                  uint32_t n_threads)
{
    const uint32_t n = b->params.dims.n_heads * b->params.dims.d_head;
    const struct share cols = share_of(b->batch.n_cols, id, n_threads);
    for (uint32_t c = cols.first; c < cols.last; c++)
        act_quantise(b, &b->att, p->forms, c, b->batch.n_cols, b->attended + c * b->ld_q, 0, n);
}

void cpu_attend(struct backend *base, uint32_t layer, uint32_t window)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    struct phase *p = add_phase(b, run_attend, "attend");
    p->layer = layer;
    p->window = window;
    add_phase(b, run_quantise_attended, "quantise");
}
