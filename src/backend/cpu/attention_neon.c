/* Attention over pages, NEON. */
#include "backend/cpu/lanes_neon.h"

#include "backend/cpu/lanes_attention.h"

void cpu_attention_neon(struct cpu_kernels *k)
{
    set_attention(k);
}
