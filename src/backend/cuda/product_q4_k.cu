#include "backend/cuda/product.cuh"

void product_q4_k(cuda_device *d, const product_args *a)
{
    launch_format<TILE_Q4_K>(d, a);
}
