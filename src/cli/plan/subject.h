/* What `paceline plan` plans: a model, a machine, and how many streams of what context. */
#ifndef CLI_PLAN_SUBJECT_H
#define CLI_PLAN_SUBJECT_H

#include "paceline.h"
#include "estimate/estimate.h"

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
    char title[128];            /* machine.title of a machine that is no preset as it is */
    struct rates rates;
    bool is_measured;           /* the machine's limits, just now */
    bool is_this_machine;
    bool is_given;              /* some of a preset's figures are the command line's */
    char busy[160];             /* why what was measured is too low; empty: it is not */
    struct plan_load load;
    uint32_t depth;             /* tokens of context of each stream when a step is estimated */
    uint32_t prompt_tokens;     /* of the prompt whose reading is estimated */
};

/* A model file as pl_open would take it under these parameters; sets the load's context. */
void plan_subject_of_plan(struct plan_subject *s, const pl_plan *plan);
pl_status plan_subject_of_file(struct plan_subject *s, const pl_params *params, pl_err *err);

/* A preset. */
void plan_subject_machine(struct plan_subject *s, const struct machine *machine);

/* This machine, its limits measured now (a second) or given. s must not move afterwards. */
pl_status plan_subject_measure(struct plan_subject *s, uint32_t n_threads, pl_err *err);
void plan_subject_limits(struct plan_subject *s, enum estimate_backend backend, const char *title,
                         const char *source, double macs_per_s, double read_bytes_per_s);

/* Figures of the machine from a person; those that are 0 stay. s must not move afterwards. */
struct plan_given {
    double memory_bytes, read_bytes_per_s, macs_per_s;
};
void plan_subject_give(struct plan_subject *s, const struct plan_given *given);

/* Whether the file's plan fits into the memory that is available now. */
bool plan_fits_now(const struct plan_subject *s);

struct plan_memory {
    double weights, kv, scratch, streams, vocabulary, total;
    double kv_per_token;
    double window_kv;           /* of kv: of layers that keep no more than their window */
    double states;              /* of kv: of layers that remember a state */
    bool is_exact;              /* as pl_open allocates it; else modelled */
};

enum { PLAN_MAX_STREAMS = 4096 };

/* The subject under another load; the most streams of its context that fit, 0: not even one. */
bool plan_fits(const struct plan_subject *s, const struct plan_load *load);
uint32_t plan_most_streams(const struct plan_subject *s, struct plan_load load);
struct plan_memory plan_memory_of(const struct plan_subject *s, const struct plan_load *load);
struct work plan_work_of(const struct plan_subject *s, const struct plan_load *load);

/* A step of the load at the subject's depth, or at `depth`. */
struct estimate plan_step_of(const struct plan_subject *s, const struct plan_load *load,
                             uint32_t depth);

/* What this version has for the subject's model on its machine. */
struct estimate_backend_traits plan_backend(const struct plan_subject *s);

/* The name a quantisation goes by: the recipe's, or the file's commonest type. */
const char *plan_quantisation(const struct plan_subject *s, const struct plan_load *load);

#endif
