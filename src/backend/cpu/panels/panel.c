/* Which file type becomes which panel, how large it is, and the way to its packer. */
#include "backend/cpu/panels/panel.h"

#include "backend/cpu/panels/panel_pack.h"
#include "quant/quant.h"

int panel_format_of(uint32_t quant_type, uint32_t n_k)
{
    int format;

    switch (quant_type) {
    case QUANT_Q4_K: format = PANEL_Q4_K; break;
    case QUANT_Q5_K: format = PANEL_Q5_K; break;
    case QUANT_Q3_K:
    case QUANT_Q6_K: format = PANEL_Q6_K; break;
    case QUANT_Q4_0: format = PANEL_Q4_0; break;
    case QUANT_Q4_1: format = PANEL_Q4_1; break;
    case QUANT_Q5_0: format = PANEL_Q5_0; break;
    case QUANT_Q5_1: format = PANEL_Q5_1; break;
    case QUANT_IQ4_NL:
    case QUANT_IQ4_XS: format = PANEL_IQ4_NL; break;
    case QUANT_MXFP4: format = PANEL_MXFP4; break;
    case QUANT_Q8_0:
    case QUANT_Q2_K: format = PANEL_Q8_0; break;
    case QUANT_F16: format = PANEL_F16; break;
    case QUANT_BF16: format = PANEL_BF16; break;
    case QUANT_F32: format = PANEL_F32; break;
    default: return -1;
    }

    const uint32_t own = quant_traits(quant_type)->block_weights, block = own > 32 ? own : 32;
    return n_k == 0 || n_k % block ? -1 : format;
}

enum act_format panel_act(enum panel_format format)
{
    switch (format) {
    case PANEL_Q4_K:
    case PANEL_Q5_K: return ACT_X256;
    case PANEL_Q6_K: return ACT_X256U;
    case PANEL_F16:
    case PANEL_BF16:
    case PANEL_F32: return ACT_F32;
    default: return ACT_X32;
    }
}

size_t panel_bytes(enum panel_format format, uint32_t n_k)
{
    switch (format) {
    case PANEL_Q4_K: return n_k / 256 * sizeof(struct panel_q4_k);
    case PANEL_Q5_K: return n_k / 256 * sizeof(struct panel_q5_k);
    case PANEL_Q6_K: return n_k / 256 * sizeof(struct panel_q6_k);
    case PANEL_F16:
    case PANEL_BF16:
    case PANEL_F32: return (size_t)n_k * PANEL_ROWS * panel_float_bytes(format);
    default:
        return panel32_scales_bytes(format, n_k) +
               n_k / 32 * panel32_n_lines(format) * PANEL_LINE;
    }
}

void panel_pack(enum panel_format format, uint8_t *panel, uint32_t quant_type, const void *rows,
                uint32_t n_rows, uint32_t n_k)
{
    const size_t row_bytes = quant_row_bytes(quant_type, n_k);

    /* Zero bytes are scales of 0: rows that do not exist give exactly 0, padding is defined. */
    memset(panel, 0, panel_bytes(format, n_k));
    switch (format) {
    case PANEL_Q4_K: panel_pack_q4_k(panel, rows, row_bytes, n_rows, n_k); break;
    case PANEL_Q5_K: panel_pack_q5_k(panel, rows, row_bytes, n_rows, n_k); break;
    case PANEL_Q6_K: panel_pack_q6_k(panel, quant_type, rows, row_bytes, n_rows, n_k); break;
    case PANEL_F16:
    case PANEL_BF16:
    case PANEL_F32: panel_pack_floats(format, panel, rows, row_bytes, n_rows, n_k); break;
    default: panel_pack_32(format, panel, quant_type, rows, row_bytes, n_rows, n_k);
    }
}
