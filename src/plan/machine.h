/* Machines as data: what plan needs of one that is not at hand. */
#ifndef PLAN_MACHINE_H
#define PLAN_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum machine_kind { MACHINE_CPU, MACHINE_APPLE, MACHINE_NVIDIA };

struct machine {
    const char *name;           /* "m4-pro-64" */
    const char *title;          /* "Apple M4 Pro, 20 GPU cores, 64 GB" */
    enum machine_kind kind;
    double memory_bytes;        /* of the machine, or of the card */
    double usable_bytes;        /* of these, what a model may take without settings of its own */
    double spec_bytes_per_s;    /* as the maker states it */
    double read_bytes_per_s;    /* what reads reach */
    double macs_per_s;          /* what matrix products reach at a batch, not the maker's peak */
    double cpu_macs_per_s;      /* what a GPU machine's CPU multiplies beside it; 0: not known */
    double layer_s;             /* of a step that is neither, a layer: launches, gaps between kernels */
    const char *source;         /* of the rates */
};

extern const struct machine machines[];
extern const size_t n_machines;

/* NULL: there is none of that name. */
const struct machine *machine_find(const char *name);

#endif
