/* Words of 32 bits that the host's compiler and a GPU's lay out alike, for what both read. */
#ifndef BACKEND_KERNEL_WORDS_H
#define BACKEND_KERNEL_WORDS_H

#ifdef __METAL_VERSION__
#include <metal_stdlib>
#define U32 uint
#define I32 int
#define F32 float
#else
#include <stdint.h>
#define U32 uint32_t
#define I32 int32_t
#define F32 float
#endif

#endif
