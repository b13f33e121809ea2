/* Norms, activations, RoPE and KV writing, AVX2. */
#include "backend/cpu/kernels/x86/lanes_avx2.h"

#include "backend/cpu/kernels/lanes_vector.h"

void cpu_vector_avx2(struct cpu_kernels *k)
{
    set_vector(k);
}
