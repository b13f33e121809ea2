/* What the matrix unit of SME can do at most: outer products of bytes into four tiles. */
#include "backend/cpu/kernels/arm/enter_sme.h"
#include "backend/cpu/rates.h"

enum { A_ROUND = 4 * 16 * 16 * 4 };

static void multiply(void *arg) SME_STREAMING
{
    const uint64_t n = *(const uint64_t *)arg;
    const svbool_t all = svptrue_b8();
    const svint8_t a = svdup_n_s8(3), b = svdup_n_s8(5);
    svzero_za();
    for (uint64_t i = 0; i < n; i++) {
        svmopa_za32_s8_m(0, all, all, a, b);
        svmopa_za32_s8_m(1, all, all, a, b);
        svmopa_za32_s8_m(2, all, all, a, b);
        svmopa_za32_s8_m(3, all, all, a, b);
    }
}

uint64_t rate_outer_sme(uint64_t n_rounds)
{
    sme_run(multiply, &n_rounds);
    return n_rounds * A_ROUND;
}
