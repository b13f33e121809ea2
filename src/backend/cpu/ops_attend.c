/* Attention of a step: how its work is cut into jobs and shared out among threads. */
#include "backend/cpu/attend.h"

#include <assert.h>

#include "backend/cpu/phase.h"
#include "backend/cpu/product.h"

/* An item of attention: some columns of a span, some query heads of one KV head. Each column and
 * head has arithmetic of its own, so how items are cut changes no bit. */
struct item {
    const struct span *span;
    uint32_t kv_head;
    struct range heads, cols;
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

/* Into how many parts a KV head's query heads are cut: as few as there is room for, so that they
 * share all loads, unless there are so few items that threads would idle. Then more parts are taken
 * as long as they save the busiest thread a quarter of its work, since every part reads the KV
 * again. */
static uint32_t head_parts(uint32_t n_items, uint32_t n_group, uint32_t n_threads)
{
    const uint32_t fewest = (n_group + MAX_JOB_ROWS - 1) / MAX_JOB_ROWS;
    uint32_t best = fewest;
    uint64_t least = UINT32_MAX;    /* heads that the busiest thread computes */
    if (n_items >= 4 * n_threads) return fewest;
    for (uint32_t parts = fewest; parts <= n_group; parts++) {
        const uint32_t items_per_thread = (n_items * parts + n_threads - 1) / n_threads;
        const uint64_t busiest = (uint64_t)items_per_thread * ((n_group + parts - 1) / parts);
        if (4 * busiest <= 3 * least) {
            least = busiest;
            best = parts;
        }
    }
    return best;
}

/* Enough rows (columns times heads) an item to share loads, small enough to split evenly; never
 * more than MAX_JOB_ROWS: 16, or the heads of one column's part. */
static struct cut cut_of(const struct cpu_backend *b, struct heads d, uint32_t n_threads)
{
    const uint32_t n_group = d.n_heads / d.n_kv_heads;
    struct cut cut = { n_group >= 16 ? 1 : 16 / n_group, 1 };
    uint32_t n_items = 0;
    for (uint32_t i = 0; i < b->batch.n_spans; i++)
        n_items += d.n_kv_heads * n_col_items(&b->batch.span[i], &cut);
    cut.head_parts = head_parts(n_items, n_group, n_threads);
    return cut;
}

/* Item c of a span's columns, for one of a layer's n_kv_heads * head_parts parts of query heads. */
static struct item item_of(struct heads d, const struct span *s, const struct cut *cut,
                           uint32_t part, uint32_t c)
{
    const uint32_t n_group = d.n_heads / d.n_kv_heads;
    const uint32_t first = c * cut->cols_per_item, n_left = s->n_cols - first;
    const uint32_t n = n_left < cut->cols_per_item ? n_left : cut->cols_per_item;
    return (struct item){
        s, part / cut->head_parts, even_range(n_group, part % cut->head_parts, cut->head_parts),
        { first, first + n },
    };
}

/* The first of an item's query heads, of all. */
static uint32_t first_head(struct heads d, const struct item *item)
{
    return item->kv_head * (d.n_heads / d.n_kv_heads) + item->heads.first;
}

static struct key_bias key_bias_of(const struct cpu_backend *b, const struct phase *p,
                                   uint32_t kv_head)
{
    const struct rope *rope = p->attention->rope;
    if (!keeps_bias_out(b, p->qkv)) return (struct key_bias){ 0 };
    struct key_bias bias = { .bias = p->qkv->k.bias->values +
                                     kv_head * layout_of(b, p->attention)->d_head };
    if (!rope) return bias;
    bias.cos_sin = rope->cos_sin;
    bias.turn = rope->turn;
    bias.n_rot = rope->n_rot;
    bias.is_interleaved = rope->is_interleaved;
    return bias;
}

/* A job without columns yet, for the items of one group, KV head and share of its query heads. */
static void begin_job(const struct cpu_backend *b, const struct phase *p,
                      const struct prefix_group *group, const struct item *item,
                      struct attend_job *job)
{
    job->layout = layout_of(b, p->attention);
    job->key_bias = key_bias_of(b, p, item->kv_head);
    job->kv = kv_of(b, p->attention, 0, item->kv_head);
    job->page_stride = b->places.page_bytes[p->attention->kv_group];
    job->ld = b->ld_q;
    job->window = attention_window(p->attention);
    job->score_cap = p->attention->score_cap * LOG2_E;
    job->sinks = p->qkv->sinks ? p->qkv->sinks->values + first_head(heads_of(b, p->attention),
                                                                         item) : NULL;
    job->n_heads = item->heads.last - item->heads.first;
    job->n_shared = group->n_shared;
    job->n_parts = 0;
}

/* Columns that follow the last part's belong to it. */
static void add_item(const struct cpu_backend *b, const struct phase *p, const struct item *item,
                     struct attend_job *job)
{
    const struct span *s = item->span;
    const uint32_t *page = s->page[p->attention->kv_group];
    const uint32_t col = s->first_col + item->cols.first;
    const struct heads d = heads_of(b, p->attention);
    const size_t at = col * b->ld_q + (size_t)first_head(d, item) * d.d_head;
    struct attend_part *last = job->n_parts ? &job->part[job->n_parts - 1] : NULL;

    if (last && last->q + last->n_cols * b->ld_q == b->q + at && last->page == page)
        last->n_cols += item->cols.last - item->cols.first;
    else
        job->part[job->n_parts++] = (struct attend_part){
            .page = page, .first_pos = s->first_pos + item->cols.first,
            .n_cols = item->cols.last - item->cols.first, .q = b->q + at, .out = b->attended + at,
        };
}

static uint64_t item_cost(const struct item *item, uint32_t window)
{
    return (uint64_t)(item->heads.last - item->heads.first) *
           cost_of(item->span->first_pos + item->cols.first, item->cols.last - item->cols.first,
                   window);
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
            total += heads_of(b, p->attention).n_heads *
                     cost_of(s->first_pos + c, n, p->attention->window);
        }
    }
    return total;
}

/* A part's pass over the items of a step, which all parts visit in one order. */
struct attend_pass {
    struct attend_runner runner;
    struct attend_job job;
    const struct prefix_group *job_group;   /* of the job being gathered */
    uint32_t job_rows, job_part;            /* job_part: KV head and share of its query heads */
    uint64_t total, before;                 /* cost of all items, of those visited */
};

static void flush(struct attend_pass *pass)
{
    if (pass->job_rows) attend_run(&pass->runner, &pass->job);
    pass->job_rows = 0;
}

/* Runs the item if its middle lies in this part of the total cost: with the ones before it
 * where they share pages and there is room. */
static void visit(const struct cpu_backend *b, const struct phase *p, struct attend_pass *pass,
                  const struct prefix_group *group, uint32_t part, const struct item *item,
                  struct part mine)
{
    const uint64_t cost = item_cost(item, p->attention->window);
    const bool is_mine = (pass->before + cost / 2) * mine.n / pass->total == mine.index;
    const uint32_t n_rows = (item->cols.last - item->cols.first) *
                            (item->heads.last - item->heads.first);
    pass->before += cost;
    if (!is_mine) return;
    assert(n_rows <= MAX_JOB_ROWS);
    if (pass->job_group != group || pass->job_part != part || !pass->job_rows ||
        pass->job_rows + n_rows > MAX_JOB_ROWS || pass->job.n_parts == MAX_JOB_PARTS) {
        flush(pass);
        begin_job(b, p, group, item, &pass->job);
        pass->job_group = group;
        pass->job_part = part;
    }
    add_item(b, p, item, &pass->job);
    pass->job_rows += n_rows;
}

static void run_attend(struct cpu_backend *b, const struct phase *p, struct part mine)
{
    const struct heads d = heads_of(b, p->attention);
    const struct prefix_groups *groups = &b->groups[p->attention->kv_group];
    const struct cut cut = cut_of(b, d, b->params.n_threads);
    struct attend_pass pass = {
        .runner = attend_begin(&b->k, b->attend_state + (size_t)mine.thread * MAX_JOB_ROWS),
        .total = total_cost(b, p, &cut),
    };

    for (uint32_t i = 0; i < groups->n_groups; i++) {
        const struct prefix_group *group = &groups->group[i];
        for (uint32_t part = 0; part < d.n_kv_heads * cut.head_parts; part++)
            for (uint32_t k = 0; k < group->n; k++) {
                const struct span *s = &b->batch.span[groups->order[group->first + k]];
                const uint32_t n_col = n_col_items(s, &cut);
                for (uint32_t c = 0; c < n_col; c++) {
                    const struct item item = item_of(d, s, &cut, part, c);
                    visit(b, p, &pass, group, part, &item, mine);
                }
            }
    }
    flush(&pass);
    attend_end(&pass.runner);
}

static void run_quantise_attended(struct cpu_backend *b, const struct phase *p, struct part part)
{
    const struct heads d = heads_of(b, p->attention);
    const uint32_t n = d.n_heads * d.d_head;
    const struct range cols = range_of(b->batch.n_cols, part);
    for (uint32_t c = cols.first; c < cols.last; c++) {
        float *row = b->attended + c * b->ld_q;
        if (p->qkv->gate.weight) b->k.times_sigmoid(row, b->gates + c * b->ld_q, n);
        act_quantise(b, &b->att, p->forms, c, b->batch.n_cols, row, 0, n);
    }
}

void cpu_attend(struct backend *base, const struct qkv_weights *w, const struct attention_params *a)
{
    struct cpu_backend *b = (struct cpu_backend *)base;
    struct phase *p = phase_add(b, run_attend, "attend");
    p->qkv = w;
    p->attention = a;
    const struct cut cut = cut_of(b, heads_of(b, a), b->params.n_threads);
    phase_set_cost(b, p, ATTEND_NS * (double)total_cost(b, p, &cut) * heads_of(b, a).d_head);
    b->writer.att = b->n_phases;
    p = phase_add(b, run_quantise_attended, "quantise");
    p->qkv = w;
    p->attention = a;
    phase_set_cost(b, p, QUANTISE_NS * b->batch.n_cols * b->ld_q);
}
