/* Sliding windows out of a file's keys. A window is honoured in every architecture; which layers
 * have it is a period, or an array of a boolean a layer. */
#include "model/hparams_read.h"

#include <inttypes.h>

#include "base/log.h"

/* An array of booleans: which layers are local. */
static pl_status set_listed(struct hparams *h, const struct gguf *g, const char *key,
                            uint32_t window, pl_err *err)
{
    const uint32_t n = h->n_blocks;
    struct gguf_array is_local;
    const pl_status st = gguf_integers(g, key, &is_local, err);
    if (st) return st;
    if (is_local.n != n)
        return pl_fail(err, PL_E_FORMAT, "%s: key %s is an array of %" PRIu64 "; one boolean for "
                       "each of %" PRIu32 " layers is wanted", g->part[0].path, key, is_local.n, n);
    for (uint32_t i = 0; i < h->dims.n_layers; i++)
        h->layer[i].attention.window = gguf_array_integer(&is_local, i) ? window : 0;
    return PL_OK;
}

/* All layers are local but every period-th; of period 0 all. */
static pl_status set_layers(struct hparams *h, const struct gguf *g, uint32_t window, pl_err *err)
{
    const struct key key = key_of(h, "attention.sliding_window_pattern");
    if (gguf_has_array(g, key.text)) return set_listed(h, g, key.text, window, err);
    uint32_t period;
    const pl_status st = gguf_u32_or(g, key.text, h->arch->window_period, &period, err);
    for (uint32_t i = 0; i < h->dims.n_layers && !st; i++)
        h->layer[i].attention.window = period && (i + 1) % period == 0 ? 0 : window;
    return st;
}

pl_status window_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    const struct key key = key_of(h, "attention.sliding_window");
    uint32_t window = h->arch->window;
    if (gguf_has(g, key.text)) {
        const pl_status st = gguf_u32_of_layers(g, key.text, h->n_blocks, &window, err);
        if (st) return st;
    } else if (h->arch->window_period && !window && !h->arch->may_lack_window) {
        PL_LOG(WARN, "model", "the file names no sliding window: all layers see all positions");
    }
    if (window > MAX_CTX_TOKENS) window = MAX_CTX_TOKENS;   /* so much looks back at all */
    if (window >= h->ctx_tokens && !h->arch->window_period) window = 0;
    return window ? set_layers(h, g, window, err) : PL_OK;
}
