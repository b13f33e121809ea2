/* Address space whose pages exist once they are touched: what is reserved for the worst case costs
 * nothing in the usual one. Zeroed when first touched. Any thread. */
#ifndef BASE_LAZY_MEMORY_H
#define BASE_LAZY_MEMORY_H

#include <stddef.h>

#include "base/status.h"

/* Release with lazy_memory_close, which allows NULL. */
pl_status lazy_memory_open(void **out, size_t n_bytes, pl_err *err);
void lazy_memory_close(void *memory, size_t n_bytes);

/* The system may take back the whole pages inside these bytes; their content is lost. */
void lazy_memory_forget(void *memory, size_t n_bytes);

/* Rounds up to whole pages of the system. */
size_t lazy_memory_round(size_t n_bytes);

#endif
