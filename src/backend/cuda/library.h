/* Finds and opens libpaceline_cuda.so. Any thread. */
#ifndef BACKEND_CUDA_LIBRARY_H
#define BACKEND_CUDA_LIBRARY_H

#include <stdbool.h>

#include "backend/cuda/plugin.h"
#include "base/status.h"

/* Where it is looked for: beside the program, then in the lib folder beside its folder. Writes the
 * first place that has it; false: none. */
bool cuda_library_find(char *path, size_t n_bytes);

/* The table of the library at `path`, NULL: of that which is found; it stays open until the program
 * ends. What is missing is said in err: the library, a symbol of it, its version. */
pl_status cuda_library_open(const struct cuda_plugin **out, const char *path, pl_err *err);

#endif
