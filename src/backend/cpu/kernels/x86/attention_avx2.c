/* Attention over pages, AVX2. */
#include "backend/cpu/kernels/x86/lanes_avx2.h"

#include "backend/cpu/kernels/lanes_attention.h"

void cpu_attention_avx2(struct cpu_kernels *k)
{
    set_attention(k);
}
