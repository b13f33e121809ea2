#include "backend/cuda/product.cuh"

/* Blocks of 256 rows, or gates beside ups, would leave no room for a ring. */
void product_f16(cuda_device *d, const product_args *a)
{
    launch_columns<TILE_F16, TILE_F16, 8, 1, false>(d, a);
}
