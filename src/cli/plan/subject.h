/* What `paceline plan` plans: a model, a machine, and how many streams of what context. */
#ifndef CLI_PLAN_SUBJECT_H
#define CLI_PLAN_SUBJECT_H

#include "paceline.h"
#include "plan/estimate.h"

struct plan_load {
    uint32_t n_streams, ctx_tokens;
    enum kv_type k_type, v_type;
    enum recipe recipe;         /* of a preset; a file is what it is */
};

struct plan_subject {
    bool is_file;
    pl_plan file;               /* is_file: what pl_open would allocate */
    struct shape shape;         /* of the preset, or as far as needed of the file */
    struct machine machine;
    char title[128];            /* machine.title of a machine that is no preset */
    struct rates rates;
    bool is_measured;           /* the machine's limits, just now */
    bool is_this_machine;
    struct plan_load load;
    uint32_t depth;             /* tokens of context of each stream when a step is estimated */
    uint32_t prompt_tokens;     /* of the prompt whose reading is estimated */
};

/* A model file as pl_open would take it under these parameters; sets the load's context. */
void plan_subject_of_plan(struct plan_subject *s, const pl_plan *plan);
pl_status plan_subject_of_file(struct plan_subject *s, const pl_params *params, pl_err *err);

/* This machine, its limits measured now (half a second) or given. s must not move afterwards. */
pl_status plan_subject_measure(struct plan_subject *s, uint32_t n_threads, pl_err *err);
void plan_subject_limits(struct plan_subject *s, const char *title, const char *source,
                         double macs_per_s, double read_bytes_per_s);

/* Whether the file's plan fits into the memory that is available now. */
bool plan_fits_now(const struct plan_subject *s);

struct plan_memory {
    double weights, kv, scratch, streams, vocabulary, total;
    double kv_per_token;
    bool is_exact;              /* as pl_open allocates it; else modelled */
};

/* The subject under another load. */
struct plan_memory plan_memory_of(const struct plan_subject *s, const struct plan_load *load);
struct work plan_work_of(const struct plan_subject *s, const struct plan_load *load);

/* A step of the load at the subject's depth, or at `depth`. */
struct estimate plan_step_of(const struct plan_subject *s, const struct plan_load *load,
                             uint32_t depth);

/* The name a quantisation goes by: the recipe's, or the file's commonest type. */
const char *plan_quantisation(const struct plan_subject *s, const struct plan_load *load);

#endif
