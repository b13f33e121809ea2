/* The table of this machine: scalar first, then each instruction set present, ascending. */
#include "backend/cpu/kernels.h"

#include <string.h>

#include "base/cpu_isa.h"

static void fill_scalar(struct cpu_kernels *k)
{
    cpu_product_scalar(k);
    cpu_product_floats_scalar(k);
    cpu_vector_scalar(k);
    cpu_attention_scalar(k);
    k->rate_dot = rate_dot_scalar;
    k->rate_read = rate_read_scalar;
}

#if defined(__x86_64__)

static void fill_avx2(struct cpu_kernels *k)
{
    cpu_product_avx2(k);
    cpu_vector_avx2(k);
    cpu_attention_avx2(k);
    k->rate_dot = rate_dot_avx2;
    k->rate_read = rate_read_avx2;
}

static void fill_avxvnni(struct cpu_kernels *k)
{
    cpu_product_avxvnni(k);
    k->rate_dot = rate_dot_avxvnni;
}

static void fill_avx512vnni(struct cpu_kernels *k)
{
    cpu_product_kquant_avx512(k);
    cpu_product_32_avx512(k);
    cpu_product_floats_avx512(k);
    cpu_vector_avx512(k);
    cpu_attention_avx512(k);
    k->rate_dot = rate_dot_avx512;
    k->rate_read = rate_read_avx512;
}

static void fill_amx(struct cpu_kernels *k)
{
    cpu_product_kquant_amx(k);
    k->rate_matrix = rate_tiles_amx;
}

#elif defined(__aarch64__)

static void fill_neon(struct cpu_kernels *k)
{
    cpu_product_neon(k);
    cpu_vector_neon(k);
    cpu_attention_neon(k);
    k->rate_dot = rate_dot_neon;
    k->rate_read = rate_read_neon;
}

static void fill_i8mm(struct cpu_kernels *k)
{
    cpu_product_i8mm(k);
    k->rate_dot = rate_dot_i8mm;
}

#ifdef PACELINE_HAS_SME     /* the compiler has it */
static void fill_sme(struct cpu_kernels *k)
{
    cpu_product_kquant_sme(k);
    cpu_product_32_sme(k);
    k->rate_matrix = rate_outer_sme;
}
#endif

#endif

struct set {
    const char *name;
    bool is_present;
    void (*fill)(struct cpu_kernels *k);
};

enum { MAX_SETS = 5 };

/* The sets of this architecture, ascending; returns how many. */
static uint32_t list_sets(struct set sets[MAX_SETS])
{
    uint32_t n = 0;
    sets[n++] = (struct set){ "scalar", true, fill_scalar };
#if defined(__x86_64__)
    const struct cpu_isa isa = cpu_isa_read();
    sets[n++] = (struct set){ "avx2", isa.avx2, fill_avx2 };
    sets[n++] = (struct set){ "avxvnni", isa.avxvnni, fill_avxvnni };
    sets[n++] = (struct set){ "avx512vnni", isa.avx512vnni, fill_avx512vnni };
    sets[n++] = (struct set){ "amx", isa.amx, fill_amx };
#elif defined(__aarch64__)
    const struct cpu_isa isa = cpu_isa_read();
    sets[n++] = (struct set){ "neon", isa.neon, fill_neon };
    sets[n++] = (struct set){ "i8mm", isa.i8mm, fill_i8mm };
#ifdef PACELINE_HAS_SME
    sets[n++] = (struct set){ "sme", isa.sme, fill_sme };
#endif
#endif
    return n;
}

bool cpu_kernels_get(struct cpu_kernels *out, const char *isa)
{
    struct set sets[MAX_SETS];
    const uint32_t n = list_sets(sets);
    bool is_known = !isa;

    *out = (struct cpu_kernels){ 0 };
    for (uint32_t i = 0; i < n; i++) {
        if (sets[i].is_present) {
            sets[i].fill(out);
            out->isa = sets[i].name;
        }
        if (isa && !strcmp(isa, sets[i].name)) {
            is_known = true;
            break;
        }
    }
    return is_known;
}

uint32_t cpu_kernels_list(const char **names, uint32_t max)
{
    struct set sets[MAX_SETS];
    uint32_t n_present = 0;
    const uint32_t n = list_sets(sets);

    for (uint32_t i = 0; i < n && n_present < max; i++)
        if (sets[i].is_present) names[n_present++] = sets[i].name;
    return n_present;
}
