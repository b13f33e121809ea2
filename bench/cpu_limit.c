/* What this machine can do at most: int8 multiply-adds and memory reads a second. One JSON object,
 * the denominator of every "share of the limit" figure. Run: cpu_limit [threads] */
#include <stdio.h>
#include <stdlib.h>

#include "backend/cpu/rates.h"
#include "base/cpu_isa.h"

int main(int argc, char **argv)
{
    const long n_threads = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    struct backend_rates rates;
    char name[96];
    pl_err err;

    if (argc > 2 || n_threads < 0 || n_threads > 1024) {
        fprintf(stderr, "usage: cpu_limit [threads, 1 .. 1024; 0: one per performance core]\n");
        return 2;
    }
    if (cpu_measure((uint32_t)n_threads, &rates, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    cpu_name_read(name, sizeof name);
    printf("{\"cpu\": \"%s\", \"isa\": \"%s\", \"threads\": %u, \"int8_gmac_per_s\": %.0f, "
           "\"read_gb_per_s\": %.1f}\n",
           name, rates.isa, rates.n_threads, rates.macs_per_s * 1e-9,
           rates.read_bytes_per_s * 1e-9);
    return 0;
}
