"""Gemma 3n's exact forward pass, for forward.py: see there. Four residuals side by side (AltUp), of
which a layer computes the first; a narrow product beside attention (LAuReL); gates that are cut at
their mean and some deviations. Attention and the layers' inputs are Gemma 4's."""

import numpy as np

import forward as f
from forward_gemma4 import Gemma4, gelu


def length(x):
    return np.sqrt((x * x).sum(-1, keepdims=True))


class Gemma3n(Gemma4):
    def router(self, p, x):
        """[n_tokens, n_tracks]"""
        h = self.norm(p + "altup_router_norm.weight", x) / np.float32(self.m.n_embd)
        return np.tanh(h @ self.m.w(p + "altup_router.weight").T)

    def feed_forward(self, i, x):
        m, p = self.m, f"blk.{i}."
        h = self.norm(p + "ffn_norm.weight", x)
        gate = h @ m.w(p + "ffn_gate.weight").T
        cut = m.meta["gemma3n.activation_sparsity_scale"][i]
        if np.isfinite(cut):
            start = gate.mean(-1, keepdims=True) + np.float32(cut) * gate.std(-1, keepdims=True)
            gate = np.maximum(gate - start, 0)
        y = gelu(gate) * (h @ m.w(p + "ffn_up.weight").T)
        return y @ m.w(p + "ffn_down.weight").T

    def layer(self, i, tracks, layer_input):
        m, p = self.m, f"blk.{i}."
        n = len(tracks)
        share = self.router(p, tracks[0]) @ m.w(p + "altup_predict_coef.weight").T
        share = share.reshape(-1, n, n)
        tracks = tracks + np.einsum("tji,itd->jtd", share, tracks)
        a = tracks[0]
        h = self.norm(p + "attn_norm.weight", a)
        narrow = h @ m.w(p + "laurel_l.weight").T @ m.w(p + "laurel_r.weight").T
        beside = h + self.norm(p + "laurel_post_norm.weight", narrow)
        x = a + self.norm(p + "post_attention_norm.weight", self.attention(i, h))
        x = (x + beside) / np.float32(np.sqrt(2))
        x = x + self.norm(p + "post_ffw_norm.weight", self.feed_forward(i, x))
        share = 1 + self.router(p, x) @ m.w(p + "altup_correct_coef.weight").T
        tracks = tracks + (x - a) * share.T[:, :, None]
        y = tracks[0] * m.w(p + "altup_correct_scale.weight")
        y = gelu(y @ m.w(p + "inp_gate.weight").T) * layer_input
        tracks[1:] += self.norm(p + "post_norm.weight", y @ m.w(p + "proj.weight").T)
        return tracks

    def logits(self):
        m = self.m
        x = m.rows("token_embd.weight", self.ids) * np.float32(np.sqrt(m.n_embd))
        inputs = self.inputs(x)
        more = [x @ w.T for w in m.w("altup_proj.weight")]
        tracks = np.stack([x] + [y * length(x) / length(y) for y in more]).astype(np.float32)
        for i in range(m.n_layer):
            tracks = self.layer(i, tracks, inputs[i])
        x = tracks[0]
        more = [y @ w.T for y, w in zip(tracks[1:], m.w("altup_unembd_proj.weight"))]
        x = (x + sum(y * length(x) / length(y) for y in more)) / len(tracks)
        x = self.norm("output_norm.weight", x)
        return f.capped(x @ m.w("token_embd.weight").T, m.logit_cap)
