#include "backend/cuda/product.cuh"

/* Q and K beside a V of more bits, as in half the layers of most files of four bits. */
void product_mixed(cuda_device *d, const product_args *a)
{
    launch_columns<TILE_Q4_K, TILE_Q6_K, 8, 1>(d, a);
}
