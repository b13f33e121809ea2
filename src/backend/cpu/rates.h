/* What this processor can do at most: int8 multiply-adds and reads a second. Nothing in here
 * serves a model; it is the limit that benchmarks are held against. */
#ifndef BACKEND_CPU_RATES_H
#define BACKEND_CPU_RATES_H

#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"

/* Runs n_rounds of independent dot-product instructions, or of a matrix unit's; returns the
 * multiply-adds done. */
typedef uint64_t rate_dot_fn(uint64_t n_rounds);

/* Reads n bytes (a multiple of 256) once; returns something that depends on all of them. */
typedef uint64_t rate_read_fn(const uint8_t *from, size_t n_bytes);

rate_dot_fn rate_dot_scalar, rate_dot_avx2, rate_dot_avxvnni, rate_dot_avx512, rate_dot_neon,
    rate_dot_i8mm, rate_tiles_amx, rate_outer_sme;
rate_read_fn rate_read_scalar, rate_read_avx2, rate_read_avx512, rate_read_neon;

pl_status cpu_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err);

#endif
