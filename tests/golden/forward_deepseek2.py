"""DeepSeek V2's and V3's exact forward pass, for forward.py: see there. Keys and values are made of
one latent row a token. Written as the paper has it, with keys and values of every head, not as the
engine computes it, which has queries meet latents."""

import numpy as np

import forward as f


def attention(m, i, h, pos):
    p, n = f"blk.{i}.", len(h)
    get = lambda key, default=None: m.meta.get(f"deepseek2.{key}", default)
    d_latent, d_turned = get("attention.kv_lora_rank"), get("rope.dimension_count")
    d_key = get("attention.key_length_mla")
    if p + "attn_q_a.weight" in m.raw:
        narrow = f.rms_norm(h @ m.w(p + "attn_q_a.weight").T, m.w(p + "attn_q_a_norm.weight"),
                            m.eps)
        q = narrow @ m.w(p + "attn_q_b.weight").T
    else:
        q = h @ m.w(p + "attn_q.weight").T
    q = q.reshape(n, m.n_head, d_key)
    row = h @ m.w(p + "attn_kv_a_mqa.weight").T
    latent = f.rms_norm(row[:, :d_latent], m.w(p + "attn_kv_a_norm.weight"), m.eps)
    turn = lambda x: f.rotate(x, pos, m.rope, True)
    turned = np.repeat(turn(row[:, None, d_latent:]), m.n_head, axis=1)
    k = np.einsum("tr,hrn->thn", latent, m.w(p + "attn_k_b.weight"))
    v = np.einsum("tr,hvr->thv", latent, m.w(p + "attn_v_b.weight"))
    q = np.concatenate([q[..., :-d_turned], turn(q[..., -d_turned:])], -1)
    k = np.concatenate([k, turned], -1)
    scale = d_key ** -0.5
    by_log = get("rope.scaling.yarn_log_multiplier", 0)
    if by_log:      # a tenth of what the logarithm of the factor is multiplied by
        scale *= (1 + by_log * np.log(get("rope.scaling.factor"))) ** 2
    s = np.einsum("qhd,khd->hqk", q, k) * np.float32(scale)
    s = np.where(np.triu(np.ones((n, n), bool), 1), -np.inf, s)
    s = np.exp(s - s.max(-1, keepdims=True))
    s /= s.sum(-1, keepdims=True)
    return np.einsum("hqk,khd->qhd", s, v).reshape(n, -1) @ m.w(p + "attn_output.weight").T


def logits(m, ids):
    ids = np.asarray(ids)
    pos = np.arange(len(ids), dtype=np.float64)
    m.rope.magnitude = 1.0
    x = m.rows("token_embd.weight", ids)
    for i in range(m.n_layer):
        p = f"blk.{i}."
        x = x + attention(m, i, f.rms_norm(x, m.w(p + "attn_norm.weight"), m.eps), pos)
        h = f.rms_norm(x, m.w(p + "ffn_norm.weight"), m.eps)
        if p + "ffn_gate_inp.weight" in m.raw:
            x = x + f.mixture(m, p, h)
        else:
            x = x + f.swiglu(h, *(m.w(p + f"ffn_{name}.weight")
                                  for name in ("gate", "up", "down")))
    return f.rms_norm(x, m.w("output_norm.weight"), m.eps) @ m.w("output.weight").T
