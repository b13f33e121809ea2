/* The exact backend: what the operations of backend/backend.h mean, in plain C. The numeric
 * specification that the others are held against, never chosen by itself: it is slow.
 *
 * Weights are what quant/quant.h says of the file's blocks. Everything that passes from one
 * operation to the next is f32 and nothing is rounded further, keys and values included. Within an
 * operation all is double: products of two floats are exact there, sums run in an order that shapes
 * alone give (exact_dot), and the result is rounded once. No instruction set, thread count or
 * number of columns changes a bit. */
#ifndef BACKEND_EXACT_BACKEND_EXACT_H
#define BACKEND_EXACT_BACKEND_EXACT_H

#include "backend/backend.h"

extern const struct backend_ops backend_exact;

#endif
