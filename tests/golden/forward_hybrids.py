"""The forward pass of models whose layers look back by a state space or a short convolution, in
numpy float32, for forward.py: granitehybrid, nemotron_h, falcon-h1, lfm2, lfm2moe."""
import numpy as np

import forward
import mixers

ARCHITECTURES = ("granitehybrid", "nemotron_h", "falcon-h1", "lfm2", "lfm2moe")


def feed_forward(m, p, h):
    if p + "ffn_gate_inp.weight" in m.raw:
        return forward.mixture(m, p, h)
    up = h @ m.w(p + "ffn_up.weight").T
    if m.arch == "nemotron_h":
        act = np.maximum(up, 0) ** 2
    else:
        act = mixers.silu(h @ m.w(p + "ffn_gate.weight").T) * up
    return act @ m.w(p + "ffn_down.weight").T


def logits(m, ids):
    """[n_tokens, n_vocab] for one sequence of token ids."""
    ids = np.asarray(ids)
    pos = np.arange(len(ids), dtype=np.float64)
    x = m.rows("token_embd.weight", ids) * np.float32(m.embed_scale)
    residual = np.float32(m.residual_scale)
    for i in range(m.n_layer):
        p = f"blk.{i}."
        h = forward.normed(m, p + "attn_norm.weight", x)
        if p + "ssm_in.weight" in m.raw:
            x = x + residual * mixers.state_space(m, p, h)
        if p + "shortconv.conv.weight" in m.raw:
            x = x + residual * mixers.short_convolution(m, p, h)
        if p + "attn_q.weight" in m.raw:
            x = x + residual * forward.attend(m, i, h, pos)
        if p + "ffn_norm.weight" in m.raw or p + "ffn_norm" in m.raw:
            name = "ffn_norm" if p + "ffn_norm" in m.raw else "ffn_norm.weight"
            h = forward.normed(m, p + name, x)
        if p + "ffn_down.weight" in m.raw or p + "ffn_gate_inp.weight" in m.raw:
            x = x + residual * feed_forward(m, p, h)
    last = "token_embd_norm.weight" if m.arch in ("lfm2", "lfm2moe") else "output_norm.weight"
    head = m.w("output.weight", optional=True)
    x = forward.normed(m, last, x) @ (m.w("token_embd.weight") if head is None else head).T
    return x / np.float32(m.logit_scale)
