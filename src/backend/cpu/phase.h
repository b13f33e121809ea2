/* Recording and running of a step's phases: what all operations of the CPU backend share. */
#ifndef BACKEND_CPU_PHASE_H
#define BACKEND_CPU_PHASE_H

#include "backend/cpu/cpu_internal.h"

/* What work takes of one core, roughly: only how finely a phase is cut depends on it. */
#define READ_NS (1 / 20.0)          /* a byte of weights */
#define PRODUCT_NS (1 / 300.0)      /* a multiply-add */
#define FLOAT_PRODUCT_NS (1 / 75.0) /* one of floats */
#define ATTEND_NS (2 / 60.0)        /* a value of a head and position: K and V */
#define NORM_NS 0.3                 /* a float, quantising included */
#define ACTIVATION_NS 0.5
#define ROPE_NS 0.5
#define QUANTISE_NS 0.2
#define SAMPLE_NS 20000.0           /* a row of logits */

/* A part takes a core about so long at least: a shorter one loses more by its ends than it can even
 * out. A team of few threads has less to even out. */
#define PART_NS 15000.0
#define FEW_THREADS_PART_NS 60000.0
enum { MAX_PARTS_A_THREAD = 8, FEW_THREADS = 4, MANY_COLS = 64 };

/* The next phase of the step. It has one part a thread, the thread's own, unless its cost, in
 * nanoseconds of one core, is told and is large. */
struct phase *phase_add(struct cpu_backend *b, phase_fn *run, const char *name);
void phase_set_cost(struct cpu_backend *b, struct phase *p, double ns);

/* The phase that quantises what an operation reads, which wants it in these forms. */
static inline void phase_want_forms(struct cpu_backend *b, uint32_t writer, uint32_t forms)
{
    assert(writer < b->n_phases);
    b->phase[writer].forms |= forms;
}

/* Of the seam. */
pl_status cpu_submit(struct backend *b, pl_err *err);
void cpu_timing(struct backend *b, bool on);
uint32_t cpu_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

#endif
