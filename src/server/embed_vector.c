#include "server/embed_vector.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* llama-server's: what stands for the largest, in numbers of 16 bits. */
#define LARGEST 32760.0

double embed_vector_scale(const float *x, uint32_t n, int norm)
{
    double sum = 0;
    if (norm < 0) return 1;
    for (uint32_t i = 0; i < n; i++) {
        const double size = fabs((double)x[i]);
        if (norm == 0) sum = size > sum ? size : sum;
        else sum += norm == 1 ? size : norm == 2 ? size * size : pow(size, norm);
    }
    if (!(sum > 0)) return 0;
    if (norm == 0) return LARGEST / sum;
    return 1 / (norm == 1 ? sum : norm == 2 ? sqrt(sum) : pow(sum, 1.0 / norm));
}

static void write_numbers(struct strbuf *to, const float *x, uint32_t n, double scale)
{
    strbuf_add(to, "[", 1);
    for (uint32_t i = 0; i < n; i++) {
        char text[24];
        const double value = (double)(float)((double)x[i] * scale);
        const int n_text = isfinite(value) ? snprintf(text, sizeof text, "%.9g", value)
                                           : snprintf(text, sizeof text, "null");
        if (i) strbuf_add(to, ",", 1);
        strbuf_add(to, text, (size_t)n_text);
    }
    strbuf_add(to, "]", 1);
}

/* Byte `at` of the little-endian floats. */
static uint32_t byte_of(const float *x, double scale, size_t at)
{
    uint32_t bits;
    const float value = (float)((double)x[at / 4] * scale);
    memcpy(&bits, &value, sizeof bits);
    return bits >> at % 4 * 8 & 0xff;
}

static void write_base64(struct strbuf *to, const float *x, uint32_t n, double scale)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const size_t n_bytes = (size_t)n * 4;
    strbuf_add(to, "\"", 1);
    for (size_t at = 0; at < n_bytes; at += 3) {
        const size_t n_here = n_bytes - at < 3 ? n_bytes - at : 3;
        uint32_t bits = 0;
        char text[4];
        for (size_t i = 0; i < n_here; i++) bits |= byte_of(x, scale, at + i) << (16 - 8 * i);
        for (size_t i = 0; i < 4; i++)
            text[i] = i > n_here ? '=' : digits[bits >> (18 - 6 * i) & 63];
        strbuf_add(to, text, 4);
    }
    strbuf_add(to, "\"", 1);
}

void embed_vector_write(struct strbuf *to, const float *x, const struct embed_form *form)
{
    const double scale = embed_vector_scale(x, form->n_dims, form->norm);
    if (form->is_base64) write_base64(to, x, form->n_dims, scale);
    else write_numbers(to, x, form->n_dims, scale);
}
