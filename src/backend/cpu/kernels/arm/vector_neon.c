/* Norms, activations, RoPE and KV writing, NEON. */
#include "backend/cpu/kernels/arm/lanes_neon.h"

#include "backend/cpu/kernels/lanes_vector.h"

void cpu_vector_neon(struct cpu_kernels *k)
{
    set_vector(k);
}
