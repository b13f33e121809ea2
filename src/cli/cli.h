/* What the commands share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "cli/args.h"
#include "cli/names.h"
#include "paceline.h"
#include "quant/kv_type.h"

/* Prints "paceline: <text>" and returns the exit code of a failure: 1, or 2 for PL_E_PARAM. */
int cli_fail(const pl_err *err);

/* Log lines to standard error, none below warnings unless `verbose`. */
void cli_log_to_stderr(bool verbose);

/* The same lines, from now on, to this file as well; it stays open. */
void cli_log_also_to(FILE *file);

/* Rows of the options that say what a model file is to mean, in place of what it says; spelled as
 * llama-server spells them. */
#define CLI_OVERRIDE_ARG(p)                                                                        \
    { "--override-kv", NULL, ARG_JOINED, &(p)->override_kv, 0, 0, "KEY=TYPE:VALUE,...",            \
      "a key of the model file is this instead; TYPE: int, float, bool, str; may be given several "\
      "times" }
#define CLI_ROPE_ARGS(p)                                                                           \
    CLI_OVERRIDE_ARG(p),                                                                           \
    { "--rope-scaling", NULL, ARG_STRING, &(p)->rope.scaling, 0, 0, "NAME",                        \
      "how a longer context turns: none, linear, yarn (the file's)" },                             \
    { "--rope-scale", NULL, ARG_F32, &(p)->rope.scale, 0, 1e6, "N",                                \
      "the context becomes N times the original one (the file's)" },                               \
    { "--rope-freq-base", NULL, ARG_F32, &(p)->rope.freq_base, 0, 1e12, "N",                       \
      "base of the frequencies (the file's)" },                                                    \
    { "--rope-freq-scale", NULL, ARG_F32, &(p)->rope.freq_scale, 0, 1e6, "N",                      \
      "the context becomes 1/N times the original one" },                                          \
    { "--yarn-orig-ctx", NULL, ARG_U32, &(p)->rope.yarn_orig_ctx, 0, 1 << 24, "N",                 \
      "original context of yarn (the file's, or the model's context)" },                           \
    { "--yarn-ext-factor", NULL, ARG_STRING, &(p)->rope.yarn_ext_factor, 0, 0, "N",                \
      "of yarn: 1, fast pairs are not stretched; 0, all are (1)" },                                \
    { "--yarn-attn-factor", NULL, ARG_F32, &(p)->rope.yarn_attn_factor, -1, 1e6, "N",              \
      "of yarn: on queries and keys, times yarn's own (1)" },                                      \
    { "--yarn-beta-slow", NULL, ARG_F32, &(p)->rope.yarn_beta_slow, -1, 1e6, "N",                  \
      "of yarn: pairs that turn less often in the original context are slow (1)" },                \
    { "--yarn-beta-fast", NULL, ARG_F32, &(p)->rope.yarn_beta_fast, -1, 1e6, "N",                  \
      "of yarn: pairs that turn more often are fast (32)" }

/* Rows of the options that say which model is run and how; `p` receives them. */
#define CLI_MODEL_ARGS(p)                                                                          \
    { "--model", "-m", ARG_STRING, &(p)->model_path, 0, 0, "FILE",                                 \
      "GGUF file, or the first part of a split one, or the name of a pulled model" },              \
    { "--backend", NULL, ARG_STRING, &(p)->backend, 0, 0, "NAME",                                  \
      "what computes: " BACKEND_NAMES(", ") " (exact: in f32, slow, what others are held "         \
      "against; metal-tensors: M5, not run by anybody yet; default: auto)" },                      \
    { "--threads", "-t", ARG_U32, &(p)->n_threads, 0, 1024, "N",                                   \
      "computing threads (default: one per performance core)" },                                   \
    { "--isa", NULL, ARG_STRING, &(p)->isa, 0, 0, "NAME",                                          \
      "most capable instruction set to use: " ISA_NAMES(", ") },                                   \
    { "--cache-type-k", "-ctk", ARG_STRING, &(p)->cache_type_k, 0, 0, "TYPE",                      \
      "how keys are stored: " KV_TYPE_NAMES(", ") " (default: f16)" },                             \
    { "--cache-type-v", "-ctv", ARG_STRING, &(p)->cache_type_v, 0, 0, "TYPE",                      \
      "how values are stored, likewise" },                                                         \
    { "--mlock", NULL, ARG_FLAG, &(p)->lock_memory, 0, 0, NULL,                                    \
      "keep weights and KV from being swapped out" },                                              \
    { "--pack-cache", NULL, ARG_STRING, &(p)->pack_cache, 0, 0, "DIR",                             \
      "keep packed weights in this folder: later starts map them, processes share them" },         \
    CLI_ROPE_ARGS(p)

/* For who asks for a backend by name; serve has its own, of llama-server's words. */
#define GPU_LAYERS_ARG(p)                                                                          \
    { "--n-gpu-layers", "-ngl --gpu-layers", ARG_U32, &(p)->n_gpu_layers, 1, 1 << 16, "N",         \
      "the last N layers are the backend's, those before them the CPU's (all)" }

/* The plan as a table for people. */
void cli_print_plan(FILE *to, const pl_plan *plan);

/* Reads all of a stream or file ("-" is standard input); NULL and a message where it cannot.
 * Release with free. */
char *cli_read_all(const char *path, size_t *n_bytes);

#endif
