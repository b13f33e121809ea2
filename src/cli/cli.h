/* What the commands share. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdio.h>

#include "cli/args.h"
#include "paceline.h"

/* Prints "paceline: <text>" and returns the exit code of a failure: 1, or 2 for PL_E_PARAM. */
int cli_fail(const pl_err *err);

/* Log lines to standard error, none below warnings unless `verbose`. */
void cli_log_to_stderr(bool verbose);

/* Rows of the options that say which model is run and how; `p` receives them. */
#define CLI_MODEL_ARGS(p)                                                                          \
    { "--model", "-m", ARG_STRING, &(p)->model_path, 0, 0, "FILE",                                 \
      "GGUF file, or the first part of a split one, or the name of a pulled model" },                                             \
    { "--backend", NULL, ARG_STRING, &(p)->backend, 0, 0, "NAME",                                  \
      "what computes: auto, cpu, metal, metal-tensors (M5, not run by anybody yet); default: auto" },\
    { "--threads", "-t", ARG_U32, &(p)->n_threads, 0, 1024, "N",                                   \
      "computing threads (default: one per performance core)" },                                   \
    { "--isa", NULL, ARG_STRING, &(p)->isa, 0, 0, "NAME",                                          \
      "most capable instruction set to use: scalar, avx2, avxvnni, avx512vnni, neon, i8mm" },      \
    { "--cache-type-k", "-ctk", ARG_STRING, &(p)->cache_type_k, 0, 0, "TYPE",                      \
      "how keys are stored: f16, bf16, q8_0, f8_e4m3 (default: f16)" },                            \
    { "--cache-type-v", "-ctv", ARG_STRING, &(p)->cache_type_v, 0, 0, "TYPE",                      \
      "how values are stored, likewise" },                                                         \
    { "--mlock", NULL, ARG_FLAG, &(p)->lock_memory, 0, 0, NULL,                                    \
      "keep weights and KV from being swapped out" },                                              \
    { "--pack-cache", NULL, ARG_STRING, &(p)->pack_cache, 0, 0, "DIR",                             \
      "keep packed weights in this folder: later starts map them, processes share them" }

/* The plan as a table for people. */
void cli_print_plan(FILE *to, const pl_plan *plan);

/* Reads all of a stream or file ("-" is standard input); NULL and a message where it cannot.
 * Release with free. */
char *cli_read_all(const char *path, size_t *n_bytes);

#endif
