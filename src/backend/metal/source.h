/* The kernels' source, joined and embedded by the build: what the GPU's compiler is given. */
#ifndef BACKEND_METAL_SOURCE_H
#define BACKEND_METAL_SOURCE_H

extern const char metal_source[];
extern const char metal_tensor_source[];    /* of Metal 4, a library of its own */

#endif
