/* A product of any number of columns: blocks of 64, two at a time where the second is wide enough
 * to be laid out as a whole one, one pass over the weights after the other. */
#include "backend/cuda/device.cuh"

static uint32_t pass_cols(const product_args *a, uint32_t col)
{
    const uint32_t n_left = a->n_cols - col, one = BLOCK_COLS;
    const bool is_narrow = a->block_rows == 128 && !a->act;
    const bool has_room = a->format == TILE_Q4_K || (a->format != TILE_F16 && is_narrow);
    const bool is_two = has_room && n_left > one &&
                        block_eights(n_left - one < one ? n_left - one : one) == one / 8;
    const uint32_t most = is_two ? PASS_COLS : one;
    return n_left < most ? n_left : most;
}

void launch_product(cuda_device *d, const product_args *a)
{
    for (uint32_t col = 0, n; col < a->n_cols; col += n) {
        product_args p = *a;
        p.n_cols = n = pass_cols(a, col);
        p.x += (size_t)col * TILE_K * a->n_blocks;
        if (p.act) p.act += (size_t)col * p.ld_act;
        for (uint32_t i = 0; i < p.n_parts && !p.act; i++)
            p.part[i].out += (size_t)col * p.part[i].ld_out;
        if (p.n_other) {
            product_mixed(d, &p);
            continue;
        }
        switch (a->format) {
        case TILE_Q4_K: product_q4_k(d, &p); break;
        case TILE_Q6_K: product_q6_k(d, &p); break;
        case TILE_Q8: product_q8(d, &p); break;
        default: product_f16(d, &p); break;
        }
    }
}
