/* A product of any number of columns: blocks of 64, one after the other. */
#include "backend/cuda/device.cuh"

void launch_product(cuda_device *d, const product_args *a)
{
    for (uint32_t col = 0; col < a->n_cols; col += BLOCK_COLS) {
        product_args p = *a;
        p.n_cols = a->n_cols - col < BLOCK_COLS ? a->n_cols - col : BLOCK_COLS;
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
