/* Norms, activations, RoPE and KV writing, NEON. */
#include "backend/cpu/lanes_neon.h"

#include "backend/cpu/lanes_vector.h"

void cpu_vector_neon(struct cpu_kernels *k)
{
    set_vector(k);
}
