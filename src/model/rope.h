/* RoPE tables: cosine and sine of every pair at every position. */
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "model/model.h"

/* Fills cos_sin (n_positions, n_rot / 2, 2). factors: (n_rot / 2) what each pair's frequency is
 * divided by (Llama-3 scaling, tensor rope_freqs.weight), or NULL. Angles are computed in double.
 */
void rope_table(const struct rope_params *r, const float *factors, uint32_t n_positions,
                float *cos_sin);

#endif
