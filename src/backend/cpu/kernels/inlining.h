/* Kernel bodies are written once and inlined with constant counts, so that arrays of accumulators
 * become registers. */
#ifndef BACKEND_CPU_KERNELS_INLINING_H
#define BACKEND_CPU_KERNELS_INLINING_H

#define INLINE static inline __attribute__((always_inline))

#ifdef __clang__
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#endif
