/* Attention over pages, NEON. */
#include "backend/cpu/kernels/arm/lanes_neon.h"

#include "backend/cpu/kernels/lanes_attention.h"

void cpu_attention_neon(struct cpu_kernels *k)
{
    set_attention(k);
}
