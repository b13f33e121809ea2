/* Attention over latents out of a file's keys: key_length and value_length are of the latent head
 * there, key_length_mla and value_length_mla of the heads that are computed. */
#include <inttypes.h>

#include "model/hparams_read.h"

enum { HEAD_MULTIPLE = 32 };

static pl_status check_latents(const struct hparams *h, const struct gguf *g, uint32_t d_key,
                               pl_err *err)
{
    const struct dims *d = &h->dims;
    const struct latent_dims *l = &d->latent;
    if (d->n_kv_heads != 1)
        return pl_fail(err, PL_E_UNSUPPORTED, "%s: attention.head_count_kv is %" PRIu32 "; 1 is "
                       "wanted, which files have that were converted for latents",
                       g->part[0].path, d->n_kv_heads);
    if (!l->d_turned || l->d_turned % 2 || l->d_turned >= d_key)
        return pl_fail(err, PL_E_FORMAT, "%s: rope.dimension_count is %" PRIu32 " of heads of %"
                       PRIu32 "; pairs, fewer than a head has, are wanted", g->part[0].path,
                       l->d_turned, d_key);
    if (d->d_head != l->d_latent + l->d_turned)
        return pl_fail(err, PL_E_FORMAT, "%s: attention.key_length is %" PRIu32 "; %" PRIu32
                       " and %" PRIu32 ", a latent and what turns, are wanted", g->part[0].path,
                       d->d_head, l->d_latent, l->d_turned);
    return PL_OK;
}

pl_status latents_read(struct hparams *h, const struct gguf *g, pl_err *err)
{
    struct dims *d = &h->dims;
    struct latent_dims *l = &d->latent;
    uint32_t d_key = 0;
    pl_status st = read_u32(h, g, "attention.kv_lora_rank", &l->d_latent, err);
    if (!st) st = read_u32_or(h, g, "attention.q_lora_rank", 0, &l->d_query, err);
    if (!st) st = read_u32(h, g, "attention.key_length_mla", &d_key, err);
    if (!st) st = read_u32(h, g, "attention.value_length_mla", &l->d_value, err);
    if (!st) st = read_u32(h, g, "rope.dimension_count", &l->d_turned, err);
    if (!st) st = check_latents(h, g, d_key, err);
    if (st) return st;
    l->d_plain = d_key - l->d_turned;
    d->d_head = (d->d_head + HEAD_MULTIPLE - 1) / HEAD_MULTIPLE * HEAD_MULTIPLE;
    return PL_OK;
}
