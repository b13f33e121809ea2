/* A vector as an answer tells it. Any thread. */
#ifndef SERVER_EMBED_VECTOR_H
#define SERVER_EMBED_VECTOR_H

#include "base/strbuf.h"
#include "server/embed_request.h"

/* What the first n numbers are multiplied by (embed_form has the norms); 0 where all are 0. Summed
 * in double, in their order. */
double embed_vector_scale(const float *x, uint32_t n, int norm);

/* Appends a vector: an array of numbers, each with the digits that make it the same again, or a
 * string of base64, of little-endian floats of 32 bits. What is no finite number is null. */
void embed_vector_write(struct strbuf *to, const float *x, const struct embed_form *form);

#endif
