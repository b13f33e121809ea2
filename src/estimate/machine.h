/* Machines as data: what plan needs of one that is not at hand. */
#ifndef ESTIMATE_MACHINE_H
#define ESTIMATE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "estimate/backends.h"

/* Of a layer on an Apple GPU, beside arithmetic and reads: what MLX shows (docs/plan.md). */
#define MACHINE_METAL_LAYER_S 45e-6

struct machine {
    const char *name;           /* "m4-pro-64" */
    const char *title;          /* "Apple M4 Pro, 20 GPU cores, 64 GB" */
    enum estimate_backend backend;  /* whose figures these are */
    double memory_bytes;        /* of the machine, or of the card */
    double usable_bytes;        /* of these, what a model may take without settings of its own */
    double spec_bytes_per_s;    /* as the maker states it */
    double read_bytes_per_s;    /* what reads reach */
    double macs_per_s;          /* what the unit of matrix products reaches, not the maker's peak */
    double alu_macs_per_s;      /* Apple: the same without tensor operations; else 0 */
    double lanes_per_s;         /* Apple: other instructions, by lane; else 0: not counted */
    double cpu_macs_per_s;      /* what a GPU machine's CPU multiplies beside it; 0: not known */
    double layer_s;             /* of a step that is neither, a layer: launches, gaps */
    const char *spec_source;    /* the maker's page of memory, bandwidth and cores */
    const char *source;         /* of the rates */
    const char *memory_source;  /* of the usable memory */
};

extern const struct machine machines[];
extern const size_t n_machines;

/* Multiply-adds of int8 a second of the matrix units (SME) that the CPU's performance clusters
 * have; 0: none are known. */
double machine_sme_macs_per_s(const struct machine *machine);

/* NULL: there is none of that name. */
const struct machine *machine_find(const char *name);

#endif
