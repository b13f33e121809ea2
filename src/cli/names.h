/* Names that options take, each typed once: help, refusals and shells say the same. `between`
 * stands between them: BACKEND_NAMES(", "). Those of KV types are KV_TYPE_NAMES (quant/kv_type.h).
 *
 * The command line knows the engine through paceline.h alone, so these lists stand beside the
 * engine's; tests/unit/cli/test_names.c holds them to it. */
#ifndef CLI_NAMES_H
#define CLI_NAMES_H

/* Of every build: one that has no such backend says so. */
#define BACKEND_NAMES(between)                                                                     \
    "auto" between "cpu" between "exact" between "cuda" between "metal" between "metal-tensors"

/* Of both processors, ascending. */
#define ISA_NAMES(between)                                                                         \
    "scalar" between "avx2" between "avxvnni" between "avx512vnni" between "amx" between "neon"    \
        between "i8mm" between "sme"

#endif
