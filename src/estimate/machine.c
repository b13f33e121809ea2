/* What the makers state (memory, bandwidth, cores) is of the page named with each. What reads
 * reach is 85 % of the stated bandwidth where no measurement is known; what products reach is
 * named with each.
 *
 * Usable memory of a Mac is what macOS 15 and 26 let the GPU wire (recommendedMaxWorkingSetSize)
 * where somebody printed it: 12713 MB of 16 GB, 19070 of 24, 26801 of 32, 40201 of 48, 55663 of 64
 * (llama.cpp's log, in MB of 10^6), 107.52 GiB of 128 (antirez/ds4 pull request 893), 239 GB of
 * 256 (raullenchai/Rapid-MLX pull request 183). Of 32, 48 and 64 GB the size follows from the
 * figure where the log does not say it. That is 74, 78, 81, 84 and 87 % in steps; sizes of
 * which no figure was found get the share of the next smaller one, and say so.
 *
 * Launches: 45 us a layer is what MLX shows on Apple's chips, 30 us what CUDA graphs do
 * (docs/plan.md has the measurements of others that these were checked against). What Apple's CPU
 * cores multiply beside the GPU: i8mm as measured on M4 (1.7 TOPS of 4 threads, KleidiAI in
 * llama.cpp, pull request 16993) and M4 Max (2.6, pull request 18096); M4 Pro by its cores. */
#include "estimate/machine.h"

#include <string.h>
#include <strings.h>

/* Every unit multiplies by a floating-point number, so that no figure is cut off to a whole one. */
#define GB(x) ((x) * 1e9)
#define GIB(x) ((x) * 1073741824.0)
#define TERA_OPS(x) ((x) * 0.5e12)      /* two operations are one multiply-add */
#define US(x) ((x) * 1e-6)
#define LANES(cores, ghz) ((cores) * 128.0 * (ghz) * 1e9)

/* ---- Apple ---------------------------------------------------------------------------------- */

#define PRINTED "as macOS was seen to let the GPU wire"
#define AS_OF(share, gb) "modelled: " share " % of it, as of " gb " GB"
#define WIRED_16 .usable_bytes = 12713e6, .memory_source = PRINTED
#define WIRED_24 .usable_bytes = 19070e6, .memory_source = PRINTED
#define WIRED_32 .usable_bytes = 26801e6, .memory_source = PRINTED
#define WIRED_36 .usable_bytes = GIB(36 * 0.78), .memory_source = AS_OF("78", "32")
#define WIRED_48 .usable_bytes = 40200.9e6, .memory_source = PRINTED
#define WIRED_64 .usable_bytes = 55663e6, .memory_source = PRINTED
#define WIRED_96 .usable_bytes = GIB(96 * 0.81), .memory_source = AS_OF("81", "64")
#define WIRED_128 .usable_bytes = GIB(107.52), .memory_source = PRINTED
#define WIRED_256 .usable_bytes = 239e9, .memory_source = PRINTED
#define WIRED_512 .usable_bytes = GIB(512 * 0.87), .memory_source = AS_OF("87", "256")

/* `wired` is one of these. */
#define APPLE(id, text, gib, wired, spec, reads, cores, ghz, tops, cpu_tops, page, from)           \
    { .name = id, .title = text, .backend = ESTIMATE_METAL, .memory_bytes = GIB(gib), wired,       \
      .spec_bytes_per_s = GB(spec), .read_bytes_per_s = GB(reads),                                 \
      .macs_per_s = TERA_OPS(tops), .alu_macs_per_s = TERA_OPS(tops),                              \
      .lanes_per_s = LANES(cores, ghz), .cpu_macs_per_s = TERA_OPS(cpu_tops),                      \
      .layer_s = MACHINE_METAL_LAYER_S, .spec_source = page, .source = from }

/* The M5's rates are those of its tensor operations. */
#define M5(id, text, gib, wired, spec, reads, cores, page)                                         \
    { .name = id, .title = text, .backend = ESTIMATE_METAL_TENSORS, .memory_bytes = GIB(gib),      \
      wired, .spec_bytes_per_s = GB(spec), .read_bytes_per_s = GB(reads),                          \
      .macs_per_s = TERA_OPS((cores) * 1.05), .alu_macs_per_s = TERA_OPS((cores) * 0.31),          \
      .lanes_per_s = LANES(cores, 1.58), .layer_s = MACHINE_METAL_LAYER_S, .spec_source = page,    \
      .source = TENSORS }

#define M3_CORES "0.2775 TFLOPS a GPU core: 11.1 of 40 (MLX pull request 3863, 32 columns)"
#define M3_ULTRA "reads: 650-690 GB/s measured (MLX pull request 3266), 95 % of it; " M3_CORES
#define M4 "101 GB/s and 3.1 TFLOPS measured"
#define M4_CORES "reads: 85 % of spec; 0.31 TFLOPS a GPU core, as of the M4"
#define M4_PRO                                                                                     \
    "reads: 85 % of spec; 0.315 TFLOPS a GPU core: llama.cpp reads prompts at 5.9 of 20 "          \
    "(discussion 4167)"
#define TENSORS                                                                                    \
    "modelled: reads 85 % of spec; 1024 FP16 FLOP a core and cycle, 60 % of it reached; not "      \
    "measured"

#define PAGE_M2_PRO "apple.com, MacBook Pro (January 2023), technical specifications"
#define PAGE_M3_MAX "apple.com, MacBook Pro (November 2023), technical specifications"
#define PAGE_STUDIO "support.apple.com/122211, Mac Studio (2025), technical specifications"
#define PAGE_MINI "apple.com, Mac mini (2024), technical specifications"
#define PAGE_M4_MAX "apple.com, MacBook Pro (2024), technical specifications"
#define PAGE_M5 "apple.com, MacBook Pro (M5, 2025), technical specifications"
#define PAGE_M5_PRO "apple.com, MacBook Pro (M5 Pro and Max, 2026), technical specifications"

/* ---- NVIDIA and AMD ------------------------------------------------------------------------- */

#define CARD(id, text, kind, gib, spec, tops, page, from)                                          \
    { .name = id, .title = text, .backend = kind, .memory_bytes = GIB(gib),                        \
      .usable_bytes = GIB((gib) - 1.0), .memory_source = "all but 1 GiB of the card's",            \
      .spec_bytes_per_s = GB(spec), .read_bytes_per_s = GB((spec) * 0.85),                         \
      .macs_per_s = TERA_OPS(tops), .layer_s = US(30), .spec_source = page, .source = from }

#define FP16(tflops, where)                                                                        \
    "reads: 85 % of spec; " tflops " TFLOPS FP16 with FP32 sums (" where "), 60 % of it reached"

/* Memory that processor and GPU share, where no figure of what is left was found. */
#define SHARED(id, text, kind, gib, spec, reads, tops, layer_us, page, from)                       \
    { .name = id, .title = text, .backend = kind, .memory_bytes = GIB(gib),                        \
      .usable_bytes = GIB((gib) * 0.875), .memory_source = "modelled: 7/8 of it, the rest is the " \
      "system's", .spec_bytes_per_s = GB(spec), .read_bytes_per_s = GB(reads),                     \
      .macs_per_s = TERA_OPS(tops), .layer_s = US(layer_us), .spec_source = page, .source = from }

/* ---- server processors ---------------------------------------------------------------------- */

/* Of the int8 instructions' limit at the base clock: what this engine was seen to reach of it with
 * 32 threads of a Xeon (25 to 29 %, two rounds; with two threads it is 68 %). */
#define MANY_CORES 0.27
#define CPU(id, text, gib, spec, cores, ghz, macs_a_cycle, page)                                   \
    { .name = id, .title = text, .backend = ESTIMATE_CPU, .memory_bytes = GIB(gib),                \
      .usable_bytes = GIB((gib) * 15 / 16.0), .memory_source = "modelled: 15/16 of it",            \
      .spec_bytes_per_s = GB(spec), .read_bytes_per_s = GB((spec) * 0.85),                         \
      .macs_per_s = MANY_CORES * (cores) * (macs_a_cycle) * (ghz) * 1e9, .layer_s = US(20),        \
      .spec_source = page, .source = "modelled: reads 85 % of spec; int8 multiply-adds at the "    \
      "base clock, 27 % of them reached, as by 32 threads elsewhere; not measured" }

const struct machine machines[] = {
    APPLE("m2-pro-32", "Apple M2 Pro, 19 GPU cores, 32 GB", 32, WIRED_32, 200, 170, 19, 1.4,
          19 * 0.2775, 0, PAGE_M2_PRO, "reads: 85 % of spec; " M3_CORES),
    APPLE("m3-max-64", "Apple M3 Max, 40 GPU cores, 64 GB", 64, WIRED_64, 400, 360, 40, 1.4, 11.1,
          0, PAGE_M3_MAX, "reads: 90 % of spec; " M3_CORES),
    APPLE("m3-ultra-96", "Apple M3 Ultra, 60 GPU cores, 96 GB", 96, WIRED_96, 819, 636, 60, 1.4,
          60 * 0.2775, 0, PAGE_STUDIO, M3_ULTRA),
    APPLE("m3-ultra-60c-256", "Apple M3 Ultra, 60 GPU cores, 256 GB", 256, WIRED_256, 819, 636,
          60, 1.4, 60 * 0.2775, 0, PAGE_STUDIO, M3_ULTRA),
    APPLE("m3-ultra-256", "Apple M3 Ultra, 80 GPU cores, 256 GB", 256, WIRED_256, 819, 636, 80, 1.4,
          80 * 0.2775, 0, PAGE_STUDIO, M3_ULTRA),
    APPLE("m3-ultra-512", "Apple M3 Ultra, 80 GPU cores, 512 GB", 512, WIRED_512, 819, 636, 80, 1.4,
          80 * 0.2775, 0, PAGE_STUDIO, M3_ULTRA),
    APPLE("m4-16", "Apple M4, 10 GPU cores, 16 GB", 16, WIRED_16, 120, 101, 10, 1.58, 3.1, 1.7,
          PAGE_MINI, M4),
    APPLE("m4-24", "Apple M4, 10 GPU cores, 24 GB", 24, WIRED_24, 120, 101, 10, 1.58, 3.1, 1.7,
          PAGE_MINI, M4),
    APPLE("m4-32", "Apple M4, 10 GPU cores, 32 GB", 32, WIRED_32, 120, 101, 10, 1.58, 3.1, 1.7,
          PAGE_MINI, M4),
    APPLE("m4-pro-16c-24", "Apple M4 Pro, 16 GPU cores, 24 GB", 24, WIRED_24, 273, 232, 16, 1.58,
          16 * 0.315, 0, PAGE_MINI, M4_PRO),
    APPLE("m4-pro-16c-48", "Apple M4 Pro, 16 GPU cores, 48 GB", 48, WIRED_48, 273, 232, 16, 1.58,
          16 * 0.315, 0, PAGE_MINI, M4_PRO),
    APPLE("m4-pro-16c-64", "Apple M4 Pro, 16 GPU cores, 64 GB", 64, WIRED_64, 273, 232, 16, 1.58,
          16 * 0.315, 0, PAGE_MINI, M4_PRO),
    APPLE("m4-pro-24", "Apple M4 Pro, 20 GPU cores, 24 GB", 24, WIRED_24, 273, 232, 20, 1.58, 6.3,
          2.2, PAGE_MINI, M4_PRO "; with 16 cores: m4-pro-16c-24"),
    APPLE("m4-pro-48", "Apple M4 Pro, 20 GPU cores, 48 GB", 48, WIRED_48, 273, 232, 20, 1.58, 6.3,
          2.2, PAGE_MINI, M4_PRO "; with 16 cores: m4-pro-16c-48"),
    APPLE("m4-pro-64", "Apple M4 Pro, 20 GPU cores, 64 GB", 64, WIRED_64, 273, 232, 20, 1.58, 6.3,
          2.2, PAGE_MINI, M4_PRO "; with 16 cores: m4-pro-16c-64"),
    APPLE("m4-max-36", "Apple M4 Max, 32 GPU cores, 36 GB", 36, WIRED_36, 410, 348, 32, 1.58,
          32 * 0.31, 0, PAGE_STUDIO, M4_CORES),
    APPLE("m4-max-48", "Apple M4 Max, 40 GPU cores, 48 GB", 48, WIRED_48, 546, 464, 40, 1.58, 12.4,
          2.6, PAGE_M4_MAX, M4_CORES),
    APPLE("m4-max-64", "Apple M4 Max, 40 GPU cores, 64 GB", 64, WIRED_64, 546, 464, 40, 1.58, 12.4,
          2.6, PAGE_STUDIO, M4_CORES),
    APPLE("m4-max-128", "Apple M4 Max, 40 GPU cores, 128 GB", 128, WIRED_128, 546, 464, 40, 1.58,
          12.4, 2.6, PAGE_STUDIO, M4_CORES),
    M5("m5-16", "Apple M5, 10 GPU cores, 16 GB", 16, WIRED_16, 153, 130, 10, PAGE_M5),
    M5("m5-24", "Apple M5, 10 GPU cores, 24 GB", 24, WIRED_24, 153, 130, 10, PAGE_M5),
    M5("m5-32", "Apple M5, 10 GPU cores, 32 GB", 32, WIRED_32, 153, 130, 10, PAGE_M5),
    M5("m5-pro-16c-24", "Apple M5 Pro, 16 GPU cores, 24 GB", 24, WIRED_24, 307, 261, 16,
       PAGE_M5_PRO),
    M5("m5-pro-24", "Apple M5 Pro, 20 GPU cores, 24 GB", 24, WIRED_24, 307, 261, 20, PAGE_M5_PRO),
    M5("m5-pro-48", "Apple M5 Pro, 20 GPU cores, 48 GB", 48, WIRED_48, 307, 261, 20, PAGE_M5_PRO),
    M5("m5-pro-64", "Apple M5 Pro, 20 GPU cores, 64 GB", 64, WIRED_64, 307, 261, 20, PAGE_M5_PRO),
    M5("m5-max-36", "Apple M5 Max, 32 GPU cores, 36 GB", 36, WIRED_36, 460, 391, 32, PAGE_M5_PRO),
    M5("m5-max-48", "Apple M5 Max, 40 GPU cores, 48 GB", 48, WIRED_48, 614, 522, 40, PAGE_M5_PRO),
    M5("m5-max-64", "Apple M5 Max, 40 GPU cores, 64 GB", 64, WIRED_64, 614, 522, 40, PAGE_M5_PRO),
    M5("m5-max-128", "Apple M5 Max, 40 GPU cores, 128 GB", 128, WIRED_128, 614, 522, 40,
       PAGE_M5_PRO),
    CARD("rtx-3090", "NVIDIA RTX 3090, 24 GB", ESTIMATE_CUDA, 24, 936, 42.6,
         "nvidia.com, GeForce RTX 3090, specifications", FP16("71", "GA102 whitepaper")),
    CARD("rtx-4090", "NVIDIA RTX 4090, 24 GB", ESTIMATE_CUDA, 24, 1008, 99.1,
         "nvidia.com, GeForce RTX 4090, specifications", FP16("165.2", "Ada whitepaper")),
    CARD("rtx-5090", "NVIDIA RTX 5090, 32 GB", ESTIMATE_CUDA, 32, 1792, 125.7,
         "nvidia.com, GeForce RTX 5090, specifications", FP16("209.5", "Blackwell whitepaper")),
    CARD("rtx-pro-6000", "NVIDIA RTX PRO 6000 Blackwell, 96 GB", ESTIMATE_CUDA, 96, 1792, 302.3,
         "nvidia.com, RTX PRO 6000 Blackwell, specifications",
         FP16("503.8", "RTX PRO Blackwell whitepaper")),
    SHARED("dgx-spark", "NVIDIA DGX Spark, 128 GB", ESTIMATE_CUDA, 128, 273, 232, 75, 30,
           "nvidia.com, DGX Spark, specifications",
           FP16("125", "an eighth of the 1 PFLOP of sparse FP4 stated")),
    CARD("h100", "NVIDIA H100 SXM, 80 GB", ESTIMATE_CUDA, 79.6, 3350, 590,
         "nvidia.com, H100, specifications", FP16("989", "data sheet")),
    CARD("h200", "NVIDIA H200, 141 GB", ESTIMATE_CUDA, 140.4, 4800, 590,
         "nvidia.com, H200, specifications", FP16("989", "data sheet")),
    SHARED("strix-halo-gpu", "AMD Ryzen AI Max+ 395, its GPU, 128 GB", ESTIMATE_ROCM, 128, 256, 218,
           35.6, 45, "amd.com, Ryzen AI Max+ 395, specifications",
           "reads: 85 % of spec; 59.4 TFLOPS FP16 (40 units x 512 FLOP x 2.9 GHz), 60 % of it "
           "reached; not measured"),
    SHARED("strix-halo", "AMD Ryzen AI Max+ 395, its 16 Zen 5 cores, 128 GB", ESTIMATE_CPU, 128,
           256, 128, MANY_CORES * 16 * 128 * 3.0 / 500, 20,
           "amd.com, Ryzen AI Max+ 395, specifications",
           "modelled: reads half of what processor and GPU share; int8 multiply-adds at the base "
           "clock, 27 % of them reached; not measured"),
    CPU("epyc-9654", "AMD EPYC 9654 (Genoa), 96 cores, 12 x 32 GB", 384, 460.8, 96, 2.4, 64,
        "amd.com, EPYC 9654, specifications"),
    CPU("epyc-9755", "AMD EPYC 9755 (Turin), 128 cores, 12 x 32 GB", 384, 576, 128, 2.7, 128,
        "amd.com, EPYC 9755, specifications; DDR5-6000"),
    CPU("xeon-8480", "Intel Xeon Platinum 8480+, 56 cores, 8 x 32 GB", 256, 307.2, 56, 2.0, 128,
        "ark.intel.com, Xeon Platinum 8480+, specifications; DDR5-4800"),
    CPU("xeon-6980p", "Intel Xeon 6980P, 128 cores, 12 x 32 GB", 384, 614.4, 128, 2.0, 128,
        "ark.intel.com, Xeon 6980P, specifications; DDR5-6400"),
};
const size_t n_machines = sizeof machines / sizeof *machines;

const struct machine *machine_find(const char *name)
{
    for (size_t i = 0; i < n_machines; i++)
        if (!strcasecmp(name, machines[i].name)) return &machines[i];
    return NULL;
}

double machine_sme_macs_per_s(const struct machine *machine)
{
    static const struct {
        const char *begins;
        int n_clusters;         /* of performance cores, which share a unit */
    } known[] = { { "m4-pro-", 2 }, { "m4-max-", 2 }, { "m4-", 1 } };
    /* 4 TOPS of int8 outer products a cluster, measured on an M4 by others:
     * github.com/tzakharko/m4-sme-exploration, its second report */
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (!strncmp(machine->name, known[i].begins, strlen(known[i].begins)))
            return known[i].n_clusters * TERA_OPS(4.0);
    return 0;
}
