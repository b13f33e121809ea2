/* Streaming mode, in which the matrix unit of SME works. Include it only from *_sme.c.
 *
 * What is called there has SME_STREAMING behind its arguments: it is compiled for streaming mode
 * and finds the matrix ready. It calls nothing that is not inlined, for the C library is compiled
 * for the other mode. The switch is written by hand (enter_sme.c): a compiler that switches by
 * itself asks for SVE outside of streaming mode, which Apple's cores do not have, or wants a
 * run-time library that macOS does not. */
#ifndef BACKEND_CPU_KERNELS_ARM_ENTER_SME_H
#define BACKEND_CPU_KERNELS_ARM_ENTER_SME_H

/* Emulated, tests/kernels/sme_plain.h is put in front of the source. */
#ifdef SME_EMULATED
#define SME_STREAMING
#define sme_run(fn, arg) fn(arg)
#else
#include <arm_sme.h>

#define SME_STREAMING __arm_streaming __arm_inout("za")
#define sme_run(fn, arg) sme_enter((void (*)(void *))(fn), arg)

/* Runs fn(arg) in streaming mode. */
void sme_enter(void (*fn)(void *), void *arg);
#endif

#define SME_INLINE static inline __attribute__((always_inline))

#endif
