/* What this processor can do, read once. Any thread. */
#ifndef BASE_CPU_ISA_H
#define BASE_CPU_ISA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cpu_isa {
    bool avx2;          /* with fma, f16c and bmi2 */
    bool avxvnni;       /* 256-bit vpdpbusd */
    bool avx512vnni;    /* with f, bw, vl, dq, vbmi and gfni */
    bool amx;           /* int8 tiles, beside avx512vnni: what reads this asks the system to let the
                         * process use them */
    bool neon;          /* with dotprod and fp16 */
    bool i8mm;
    bool sme;           /* int8 outer products in streaming mode, of vectors of 64 bytes */
};

/* Features that the operating system lets programs use. */
struct cpu_isa cpu_isa_read(void);

/* "AMD EPYC ... (family 26 model 2)"; writes at most n bytes with the zero. */
void cpu_name_read(char *out, size_t n);

/* Performance cores this process may run on (its affinity mask without slow cores, see cpu_cores.h,
 * cgroup quota rounded up; on Apple Silicon the P cores); at least 1. */
uint32_t cpu_performance_cores(void);

#endif
