/* Recording of a step's kernels, running what was recorded, and timing it: what all operations of
 * the Metal backend share. */
#ifndef BACKEND_METAL_RECORDER_H
#define BACKEND_METAL_RECORDER_H

#include "backend/metal/metal_internal.h"

/* Records a kernel over `n_groups` threadgroups of n_threads, its buffers bound from the start of
 * each. */
void metal_record(struct metal_backend *b, const struct metal_pipeline *pipeline,
                  const struct metal_buffer *const *buffer, uint32_t n_buffers, const void *args,
                  uint32_t args_bytes, uint32_t n_x, uint32_t n_y, uint32_t n_threads);

/* Ends an operation: what follows sees what it wrote. `name` is for timing. */
void metal_end_operation(struct metal_backend *b, const char *name);

/* Runs what was recorded, waits, and goes on recording: what the host wrote for it may change now.
 */
uint64_t metal_run_so_far(struct metal_backend *b);

/* Waits for the oldest command buffer, which is this step's. gpu_ns: see metal_wait. */
void metal_wait_for(struct metal_backend *b, struct metal_step *step, uint64_t *gpu_ns);

/* The same where nobody waited for its last one yet. */
void metal_wait_until_over(struct metal_backend *b, struct metal_step *step);

/* Of the seam. */
void metal_timing(struct backend *b, bool on);
uint32_t metal_timings(struct backend *b, const char **name, uint64_t *ns, uint32_t max);

#endif
