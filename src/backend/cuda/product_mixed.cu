#include "backend/cuda/product.cuh"

/* Q and K beside a V of more bits, as in half the layers of most files of four bits. */
void product_mixed(cuda_device *d, const product_args *a)
{
    if (a->n_cols > BLOCK_COLS) launch_plan<TILE_Q4_K, TILE_Q6_K, plan<8, 2, 8, 1, false>>(d, a);
    else launch_columns<TILE_Q4_K, TILE_Q6_K, 8, 1, false>(d, a);
}
