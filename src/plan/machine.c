/* Bandwidths are the makers' (apple.com and nvidia.com product pages); what reads reach is 85 % of
 * that where no measurement is known, what a batch of products reaches is named with each.
 * Launches: 45 us a layer is what MLX shows on these chips, 30 us what CUDA graphs do (docs/plan.md
 * has the published measurements that these were checked against). What Apple's CPU cores multiply
 * beside the GPU: i8mm as measured on M4 (1.7 TOPS of 4 threads, KleidiAI in llama.cpp, pull
 * request 16993) and M4 Max (2.6, pull request 18096); M4 Pro by its cores. */
#include "plan/machine.h"

#include <string.h>
#include <strings.h>

#define GB * 1e9
#define GIB * 1073741824.0
#define TFLOPS / 2 * 1e12
#define US * 1e-6

#define APPLE(name, title, gib, usable_gib, spec, reads, tflops, cpu_tops, source)                 \
    { name, title, MACHINE_APPLE, gib GIB, usable_gib GIB, spec GB, reads GB, tflops TFLOPS,       \
      cpu_tops TFLOPS, 45 US, source }
#define NVIDIA(name, title, gib, spec, reads, tflops, source)                                      \
    { name, title, MACHINE_NVIDIA, gib GIB, (gib - 1.0) GIB, spec GB, reads GB, tflops TFLOPS, 0,  \
      30 US, source }

#define BY_CORES "0.28-0.31 TFLOPS a GPU core, as measured on M3 Max and M4 Pro"
#define M4_PRO "reads: 85 % of spec; 6.3 TFLOPS: llama.cpp reads prompts at 5.9 (discussion 4167)"
#define M5 "modelled: 1024 FP16 FLOP a core and cycle, 60 % of it reached; not measured"

const struct machine machines[] = {
    APPLE("m2-pro-32", "Apple M2 Pro, 19 GPU cores, 32 GB", 32, 21.3, 200, 170, 5.2, 0, BY_CORES),
    APPLE("m3-max-64", "Apple M3 Max, 40 GPU cores, 64 GB", 64, 48, 400, 360, 11.1, 0,
          "11.1 TFLOPS: MLX pull request 3863, 32 columns"),
    APPLE("m3-ultra-256", "Apple M3 Ultra, 80 GPU cores, 256 GB", 256, 192, 819, 636, 20, 0,
          "reads: 650-690 GB/s measured (MLX pull request 3266), 95 % of it; " BY_CORES),
    APPLE("m4-16", "Apple M4, 10 GPU cores, 16 GB", 16, 10.67, 120, 101, 3.1, 1.7,
          "101 GB/s and 3.1 TFLOPS measured"),
    APPLE("m4-24", "Apple M4, 10 GPU cores, 24 GB", 24, 16, 120, 101, 3.1, 1.7,
          "101 GB/s and 3.1 TFLOPS measured"),
    APPLE("m4-pro-24", "Apple M4 Pro, 20 GPU cores, 24 GB", 24, 16, 273, 232, 6.3, 2.2, M4_PRO),
    APPLE("m4-pro-48", "Apple M4 Pro, 20 GPU cores, 48 GB", 48, 37.4, 273, 232, 6.3, 2.2, M4_PRO),
    APPLE("m4-pro-64", "Apple M4 Pro, 20 GPU cores, 64 GB", 64, 48, 273, 232, 6.3, 2.2, M4_PRO),
    APPLE("m4-max-128", "Apple M4 Max, 40 GPU cores, 128 GB", 128, 107.5, 546, 464, 12.4, 2.6,
          BY_CORES),
    APPLE("m5-32", "Apple M5, 10 GPU cores, 32 GB", 32, 21.3, 153, 130, 10.5, 0, M5),
    APPLE("m5-pro-64", "Apple M5 Pro, 20 GPU cores, 64 GB", 64, 48, 307, 261, 21, 0, M5),
    APPLE("m5-max-128", "Apple M5 Max, 40 GPU cores, 128 GB", 128, 107.5, 614, 522, 42, 0, M5),
    NVIDIA("rtx-4090", "NVIDIA RTX 4090, 24 GB", 24, 1008, 857, 100,
           "165 TFLOPS FP16 with FP32 sums (Ada whitepaper), 60 % of it reached"),
    NVIDIA("h100", "NVIDIA H100 SXM, 80 GB", 79.6, 3350, 2850, 590,
           "989 TFLOPS FP16 (data sheet), 60 % of it reached"),
    NVIDIA("h200", "NVIDIA H200, 141 GB", 140.4, 4800, 4080, 590,
           "989 TFLOPS FP16 (data sheet), 60 % of it reached"),
};
const size_t n_machines = sizeof machines / sizeof *machines;

const struct machine *machine_find(const char *name)
{
    for (size_t i = 0; i < n_machines; i++)
        if (!strcasecmp(name, machines[i].name)) return &machines[i];
    return NULL;
}
