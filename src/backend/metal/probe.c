/* What Apple does not document of the matrix unit, asked of the unit itself: which elements of a
 * fragment each lane holds, and whether it sums as a chain of fma() by rising k does. */
#include <string.h>

#include "backend/metal/recorder.h"
#include "base/rng.h"
#include "quant/quant.h"

enum { FRAGMENT = 64, N_SUMS = 32 };

/* Buffers of the probes: halves, halves, floats, and two results. */
struct probe {
    struct metal_buffer a, b, c, one, other;
};

static pl_status take(struct metal_backend *b, struct probe *p, pl_err *err)
{
    const struct {
        struct metal_buffer *to;
        uint32_t bytes;
    } all[] = { { &p->a, 2 }, { &p->b, 2 }, { &p->c, 4 }, { &p->one, 4 }, { &p->other, 4 } };
    pl_status st = PL_OK;
    for (size_t i = 0; i < sizeof all / sizeof *all && !st; i++)
        st = metal_buffer_take(b->device, N_SUMS * FRAGMENT * all[i].bytes, "probes", all[i].to,
                               err);
    return st ? st : metal_device_settle(b->device, err);
}

static pl_status run(struct metal_backend *b, const char *kernel,
                     const struct metal_buffer *const *buffer, uint32_t n_buffers,
                     uint32_t n_groups, pl_err *err)
{
    struct metal_pipeline *pipeline;
    const uint32_t unused = 0;
    const pl_status st = metal_pipeline_get(b->device, kernel, NULL, 0, &pipeline, err);
    if (st) return st;
    metal_begin(b->device);
    metal_record(b, pipeline, buffer, n_buffers, &unused, sizeof unused, n_groups, 1,
                 METAL_SIMDGROUP);
    metal_commit(b->device);
    return metal_wait(b->device, NULL, err);
}

/* Values that say where they came from are loaded; p->one and p->other have where they went. */
static bool read_layout(struct metal_backend *b, const struct probe *p)
{
    uint8_t (*lane)[4] = b->lanes.bytes;
    const float *found = p->one.bytes;
    if (memcmp(found, p->other.bytes, FRAGMENT * sizeof *found)) return false;
    for (int i = 0; i < METAL_SIMDGROUP; i++)
        for (int e = 0; e < 2; e++) {
            const float value = found[2 * i + e];
            if (!(value >= 0 && value < FRAGMENT)) return false;
            const uint8_t row = (uint8_t)value / 8, k = (uint8_t)value % 8;
            if (e && row != lane[i][0]) return false;
            b->layout.row[i] = lane[i][0] = row;
            b->layout.k[i][e] = lane[i][1 + e] = k;
        }
    return fragment_layout_is_sound(&b->layout);
}

/* The lanes of each row by rising k. */
static void find_rows(struct metal_backend *b)
{
    uint8_t (*lane)[4] = b->lanes.bytes;
    for (int i = 0; i < METAL_SIMDGROUP; i++)
        lane[METAL_SIMDGROUP + b->layout.row[i]][b->layout.k[i][0] / 2] = (uint8_t)i;
}

/* Random products whose sums differ in their last bits by the order in which they are taken. */
static pl_status probe_order(struct metal_backend *b, struct probe *p, pl_err *err)
{
    struct rng r;
    rng_seed(&r, 8);
    for (int i = 0; i < N_SUMS * FRAGMENT; i++) {
        ((uint16_t *)p->a.bytes)[i] = f16_of_f32((float)(rng_unit(&r) - 0.5));
        ((uint16_t *)p->b.bytes)[i] = f16_of_f32((float)(rng_unit(&r) - 0.5));
        ((float *)p->c.bytes)[i] = (float)(rng_unit(&r) - 0.5);
    }
    const struct metal_buffer *buffers[] = { &p->a, &p->b, &p->c, &p->one, &p->other };
    const pl_status st = run(b, "probe_order", buffers, 5, N_SUMS, err);
    if (st) return st;
    b->has_few = !memcmp(p->one.bytes, p->other.bytes, N_SUMS * FRAGMENT * sizeof(float));
    return PL_OK;
}

pl_status metal_probe(struct metal_backend *b, pl_err *err)
{
    struct probe p;
    pl_status st = take(b, &p, err);
    if (st) return st;
    for (int i = 0; i < FRAGMENT; i++) {
        ((uint16_t *)p.a.bytes)[i] = f16_of_f32((float)i);
        ((float *)p.c.bytes)[i] = (float)i;
    }
    const struct metal_buffer *buffers[] = { &p.a, &p.c, &p.one, &p.other };
    st = run(b, "probe", buffers, 4, 1, err);
    if (st) return st;
    if (!read_layout(b, &p))
        return pl_fail(err, PL_E_UNSUPPORTED,
                       "%s: a lane holds other elements of a matrix fragment than "
                       "two neighbours of one row: use --backend cpu",
                       metal_device_facts(b->device)->name);
    find_rows(b);
    return probe_order(b, &p, err);
}
