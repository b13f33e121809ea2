/* Panel products, NEON with sdot. */
#include "backend/cpu/kernels/arm/product_arm.h"
#include "backend/cpu/kernels/quantise.h"

enum { PRODUCT_GROUP = 5 };

#include "backend/cpu/kernels/product_rows.h"

void cpu_product_neon(struct cpu_kernels *k)
{
    set_products(k);
    k->quantise_x256 = quantise_x256_neon;
    k->quantise_x32 = quantise_x32_neon;
}
