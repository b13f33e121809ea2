/* The GPU's own limits: multiply-adds of its matrix unit and plain reads of its memory, as the
 * GPU's clock saw them. Threads: any, one at a time. */
#ifndef BACKEND_METAL_RATES_H
#define BACKEND_METAL_RATES_H

#include "backend/backend.h"

/* n_threads: of the host, only passed through. */
pl_status metal_measure(uint32_t n_threads, struct backend_rates *out, pl_err *err);

#endif
