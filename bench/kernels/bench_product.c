/* Panel products from cache and from memory, 1 to 256 columns, and the packing of panels. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "bench.h"
#include "quant/quant.h"

enum { MAX_COLS = 256, CACHE_BYTES = 256 << 10 };

struct subject {
    const char *name;           /* of the product; NULL: packed as another format */
    const char *pack_name;
    uint32_t quant_type;
    uint32_t half_at[2];        /* where a block's f16 numbers lie (twice the same: one) */
};

static const struct subject subjects[] = {
    { "product Q4_K", "pack Q4_K", QUANT_Q4_K, { 0, 2 } },
    { "product Q5_K", "pack Q5_K", QUANT_Q5_K, { 0, 2 } },
    { "product Q6_K", "pack Q6_K", QUANT_Q6_K, { 208, 208 } },
    { "product Q8_0", "pack Q8_0", QUANT_Q8_0, { 0, 0 } },
    { "product Q4_0", "pack Q4_0", QUANT_Q4_0, { 0, 0 } },
    { "product Q4_1", "pack Q4_1", QUANT_Q4_1, { 0, 2 } },
    { "product Q5_0", "pack Q5_0", QUANT_Q5_0, { 0, 0 } },
    { "product Q5_1", "pack Q5_1", QUANT_Q5_1, { 0, 2 } },
    { "product IQ4_NL", "pack IQ4_NL", QUANT_IQ4_NL, { 0, 0 } },
    { "product MXFP4", "pack MXFP4", QUANT_MXFP4, { 0, 0 } },
    { NULL, "pack Q2_K", QUANT_Q2_K, { 80, 82 } },
    { NULL, "pack Q3_K", QUANT_Q3_K, { 108, 108 } },
    { NULL, "pack IQ4_XS", QUANT_IQ4_XS, { 0, 0 } },
    { "product F16", "pack F16", QUANT_F16, { 0, 0 } },
    { "product BF16", "pack BF16", QUANT_BF16, { 0, 0 } },
};

/* One matrix and its columns. Each thread has panels of its own. */
struct product_job {
    const struct cpu_kernels *kernels;
    enum panel_format format;
    uint32_t quant_type, n_k, n_panels, n_cols, n_sweeps;
    size_t panel_bytes, file_bytes;     /* of 16 rows */
    uint8_t *panels;
    uint8_t *rows;                      /* 16 rows as in a file */
    void *act;                          /* (blocks, MAX_COLS) */
    float *out;                         /* (MAX_COLS, 16 * n_panels) */
};

static size_t act_block_bytes(enum act_format format)
{
    return format == ACT_X256    ? sizeof(struct act_x256)
           : format == ACT_X256U ? sizeof(struct act_x256u)
           : format == ACT_X32   ? sizeof(struct act_x32)
                                 : sizeof(struct act_f32);
}

/* Panels outside, groups of columns inside; the first group fetches the next panel. */
static void narrow_product(const struct product_job *j, uint32_t first, uint32_t last)
{
    const uint32_t n_groups = (j->n_cols + MAX_PRODUCT_COLS - 1) / MAX_PRODUCT_COLS;
    const size_t ld_out = (size_t)j->n_panels * PANEL_ROWS;
    const size_t col_bytes = act_block_bytes(panel_act(j->format));

    for (uint32_t p = first; p < last; p++)
        for (uint32_t g = 0; g < n_groups; g++) {
            const uint32_t c = j->n_cols * g / n_groups, end = j->n_cols * (g + 1) / n_groups;
            j->kernels->product[j->format](
                j->panels + p * j->panel_bytes, j->n_k, (const uint8_t *)j->act + c * col_bytes,
                j->n_cols, j->out + c * ld_out + (size_t)p * PANEL_ROWS, ld_out, end - c,
                g == 0 ? j->panel_bytes : 0);
        }
}

/* The wide kernel is used where there are columns enough for it, as the backend does. */
static bool is_wide(const struct product_job *j)
{
    const struct wide_kernel *wide = &j->kernels->wide[j->format];
    return wide->run && j->n_cols >= wide->from_cols;
}

static void run_product(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct product_job *j = arg;
    const uint32_t first = (uint32_t)((uint64_t)j->n_panels * id / n_threads);
    const uint32_t last = (uint32_t)((uint64_t)j->n_panels * (id + 1) / n_threads);
    const struct wide_product all = {
        .panel = j->panels + first * j->panel_bytes, .n_panels = last - first, .n_k = j->n_k,
        .x = j->act, .ld = j->n_cols, .n_cols = j->n_cols,
        .out = j->out + (size_t)first * PANEL_ROWS, .ld_out = (size_t)j->n_panels * PANEL_ROWS,
    };

    for (uint32_t sweep = 0; sweep < j->n_sweeps; sweep++)
        if (is_wide(j)) j->kernels->wide[j->format].run(&all);
        else narrow_product(j, first, last);
}

static void run_pack(void *arg, uint32_t id, uint32_t n_threads)
{
    const struct product_job *j = arg;
    const uint32_t first = (uint32_t)((uint64_t)j->n_panels * id / n_threads);
    const uint32_t last = (uint32_t)((uint64_t)j->n_panels * (id + 1) / n_threads);

    for (uint32_t p = first; p < last; p++)
        panel_pack(j->format, j->panels + p * j->panel_bytes, j->quant_type, j->rows, PANEL_ROWS,
                   j->n_k);
}

static void fill_rows(struct product_job *j, const struct subject *s, struct rng *r)
{
    const uint32_t block_bytes = quant_traits(s->quant_type)->block_bytes;

    for (size_t i = 0; i < j->file_bytes; i++) j->rows[i] = (uint8_t)rng_u64(r);
    for (size_t i = 1; i < j->file_bytes && panel_act(j->format) == ACT_F32; i += 2)
        j->rows[i] = 0x1c | (j->rows[i] & 0x83);    /* numbers, none of them tiny */
    if (panel_act(j->format) == ACT_F32) return;
    for (size_t at = 0; at < j->file_bytes; at += block_bytes) {
        if (s->quant_type == QUANT_MXFP4) j->rows[at] = 120;    /* 2^-7 */
        for (int i = 0; i < 2 && s->quant_type != QUANT_MXFP4; i++) {
            const uint16_t half = 0x1c00;       /* 2^-8 */
            memcpy(j->rows + at + s->half_at[i], &half, sizeof half);
        }
    }
}

/* Columns lie as closely as in a step that has so many. */
static bool fill_columns(struct product_job *j, struct rng *r)
{
    const uint32_t ld = j->n_cols;
    float *x = malloc(j->n_k * sizeof *x);

    if (!x) return false;
    for (uint32_t c = 0; c < ld; c++) {
        for (uint32_t k = 0; k < j->n_k; k++) x[k] = (float)rng_unit(r) - 0.5f;
        switch (panel_act(j->format)) {
        case ACT_X256:
            j->kernels->quantise_x256(x, j->n_k, (struct act_x256 *)j->act + c, NULL, ld);
            break;
        case ACT_X256U:
            j->kernels->quantise_x256(x, j->n_k, NULL, (struct act_x256u *)j->act + c, ld);
            break;
        case ACT_F32:
            for (uint32_t k = 0; k < j->n_k; k += 32)
                memcpy(((struct act_f32 *)j->act + k / 32 * ld + c)->v, x + k,
                       32 * sizeof *x);
            break;
        default: j->kernels->quantise_x32(x, j->n_k, (struct act_x32 *)j->act + c, ld);
        }
    }
    free(x);
    return true;
}

static bool measure_products(const struct bench *b, struct product_job *j, const char *name,
                             bool from_memory, struct rng *r)
{
    static const uint32_t column_counts[] = { 1, 2, 5, 10, 12, 16, 20, 32, 64, 256 };
    const uint32_t all = j->n_panels, n_threads = thread_pool_n(b->pool);

    if (!from_memory) {
        const uint32_t few = (uint32_t)(CACHE_BYTES / j->panel_bytes);
        j->n_panels = n_threads * (few ? few : 1);
        if (j->n_panels > all) j->n_panels = all;
    }
    /* Short runs are repeated inside, so that waking the threads is not what is measured. */
    j->n_sweeps = from_memory ? 1 : all / j->n_panels / 4 + 1;
    for (size_t i = 0; i < sizeof column_counts / sizeof *column_counts; i++) {
        j->n_cols = column_counts[i];
        if (!fill_columns(j, r)) return false;
        const double macs = (double)j->n_panels * PANEL_ROWS * j->n_k * j->n_cols * j->n_sweeps;
        const double bytes = (double)j->n_panels * (double)j->panel_bytes * j->n_sweeps;
        const struct bench_result result = {
            .kernel = name, .place = from_memory ? "memory" : "cache", .n_k = j->n_k,
            .n_cols = j->n_cols, .is_wide = is_wide(j), .macs = macs, .bytes = bytes,
            .s = bench_time(b, run_product, j),
        };
        bench_report(b, &result);
    }
    j->n_panels = all;
    return true;
}

static bool measure_subject(const struct bench *b, const struct subject *s)
{
    const enum panel_format format = (enum panel_format)panel_format_of(s->quant_type, b->n_k);
    struct product_job j = {
        .kernels = b->kernels, .format = format, .quant_type = s->quant_type, .n_k = b->n_k,
        .panel_bytes = panel_bytes(format, b->n_k),
        .file_bytes = PANEL_ROWS * quant_row_bytes(s->quant_type, b->n_k),
    };
    struct rng r;

    rng_seed(&r, 1);
    j.n_panels = (uint32_t)(((size_t)b->memory_mib << 20) / j.panel_bytes);
    j.panels = bench_alloc((j.n_panels + 1) * j.panel_bytes);
    j.rows = malloc(j.file_bytes);
    j.act = bench_alloc(j.n_k / 32 * MAX_COLS * sizeof(struct act_x256));
    j.out = bench_alloc((size_t)j.n_panels * PANEL_ROWS * MAX_COLS * sizeof *j.out);
    bool ok = j.panels && j.rows && j.act && j.out;
    if (ok) {
        fill_rows(&j, s, &r);
        const struct bench_result packing = {
            .kernel = s->pack_name, .place = "memory", .n_k = j.n_k, .n_cols = 0,
            .bytes = (double)j.n_panels * (double)j.file_bytes, .s = bench_time(b, run_pack, &j),
        };
        if (bench_wants(b, s->pack_name)) bench_report(b, &packing);
        if (s->name && bench_wants(b, s->name))
            ok = measure_products(b, &j, s->name, false, &r) &&
                 measure_products(b, &j, s->name, true, &r);
    }
    free(j.panels);
    free(j.rows);
    free(j.act);
    free(j.out);
    return ok;
}

bool bench_products(const struct bench *b)
{
    for (size_t i = 0; i < sizeof subjects / sizeof *subjects; i++) {
        const struct subject *s = &subjects[i];
        if (!bench_wants(b, s->pack_name) && !(s->name && bench_wants(b, s->name))) continue;
        if (!measure_subject(b, s)) return false;
    }
    return true;
}
