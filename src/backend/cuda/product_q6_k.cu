#include "backend/cuda/product.cuh"

void product_q6_k(cuda_device *d, const product_args *a)
{
    launch_format<TILE_Q6_K>(d, a);
}
