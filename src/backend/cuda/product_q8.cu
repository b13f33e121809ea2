#include "backend/cuda/product.cuh"

void product_q8(cuda_device *d, const product_args *a)
{
    launch_format<TILE_Q8>(d, a);
}
