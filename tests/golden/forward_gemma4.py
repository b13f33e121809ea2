"""Gemma 4's exact forward pass, for forward.py: see there.

What sets it apart: heads of two sizes, norms of Q, K and V instead of a scale of scores, values
that are the keys' product where there is no attn_v, layers that read the keys and values of the
last one of their kind before them, a dense part beside the experts, and an input of every layer
that is made of the token itself."""

import numpy as np

import forward as f


def gelu(x):
    return 0.5 * x * (1 + np.tanh(np.float32(np.sqrt(2 / np.pi)) * (x + 0.044715 * x**3)))


class Gemma4:
    def __init__(self, m, ids):
        self.m, self.ids = m, np.asarray(ids)
        self.pos = np.arange(len(ids), dtype=np.float64)
        get = lambda key, default=None: m.meta.get(f"{m.arch}.{key}", default)
        self.n_own = m.n_layer - get("attention.shared_kv_layers", 0)
        self.d_local = get("attention.key_length_swa", m.head_dim)
        self.d_input = get("embedding_length_per_layer_input", 0)
        self.local = f.Rope(get("rope.dimension_count_swa", self.d_local),
                            get("rope.freq_base_swa", 10000.0))
        self.kept = {}          # keys and values, by kind of layer

    def norm(self, name, x):
        return f.rms_norm(x, self.m.w(name), self.m.eps)

    def inputs(self, x):
        """[n_layers, n_tokens, d_input]"""
        m = self.m
        shape = len(self.ids), m.n_layer, self.d_input
        made = (x @ m.w("per_layer_model_proj.weight").T / np.sqrt(np.float32(m.n_embd)))
        made = self.norm("per_layer_proj_norm.weight", made.reshape(shape))
        own = m.rows("per_layer_token_embd.weight", self.ids).reshape(shape)
        sum_of_both = made + np.float32(np.sqrt(self.d_input)) * own
        return (sum_of_both / np.float32(np.sqrt(2))).transpose(1, 0, 2)

    def attention(self, i, h):
        m, p, n = self.m, f"blk.{i}.", len(self.ids)
        is_local = m.is_local(i)
        d, rope = (self.d_local, self.local) if is_local else (m.head_dim, m.rope)
        heads = lambda y: y.reshape(n, -1, d)
        q = self.norm(p + "attn_q_norm.weight", heads(h @ m.w(p + "attn_q.weight").T))
        if i < self.n_own:
            k = h @ m.w(p + "attn_k.weight").T
            v = m.w(p + "attn_v.weight", optional=True)
            v = heads(k if v is None else h @ v.T)
            k = f.rotate(self.norm(p + "attn_k_norm.weight", heads(k)), self.pos, rope, False)
            self.kept[is_local] = k, f.rms_norm(v, np.float32(1), m.eps)
        k, v = self.kept[is_local]
        a = f.attention(f.rotate(q, self.pos, rope, False), k, v, np.float32(1),
                        m.window if is_local else 0)
        return a @ m.w(p + "attn_output.weight").T

    def experts(self, p, x, h):
        m = self.m
        r = f.rms_norm(x, m.w(p + "ffn_gate_inp.scale"), m.eps) / np.float32(np.sqrt(m.n_embd))
        score = r @ m.w(p + "ffn_gate_inp.weight").T
        prob = np.exp(score - score.max(-1, keepdims=True))
        chosen = np.argsort(-prob, axis=-1, kind="stable")[:, : m.n_expert_used]
        weight = np.take_along_axis(prob, chosen, axis=-1)
        weight = weight / weight.sum(-1, keepdims=True) * m.w(p + "ffn_down_exps.scale")[chosen]
        gate_up, down = m.w(p + "ffn_gate_up_exps.weight"), m.w(p + "ffn_down_exps.weight")
        out = np.zeros_like(h)
        for t in range(len(h)):
            for e, w in zip(chosen[t], weight[t]):
                gate, up = np.split(gate_up[e] @ h[t], 2)
                out[t] += w * (down[e] @ (gelu(gate) * up))
        return out

    def feed_forward(self, i, x):
        m, p = self.m, f"blk.{i}."
        h = self.norm(p + "ffn_norm.weight", x)
        y = gelu(h @ m.w(p + "ffn_gate.weight").T) * (h @ m.w(p + "ffn_up.weight").T)
        y = y @ m.w(p + "ffn_down.weight").T
        if p + "ffn_gate_inp.weight" not in m.raw:
            return y
        e = self.experts(p, x, self.norm(p + "pre_ffw_norm_2.weight", x))
        return (self.norm(p + "post_ffw_norm_1.weight", y) +
                self.norm(p + "post_ffw_norm_2.weight", e))

    def logits(self):
        m = self.m
        x = m.rows("token_embd.weight", self.ids) * np.float32(np.sqrt(m.n_embd))
        inputs = self.inputs(x) if self.d_input else None
        for i in range(m.n_layer):
            p = f"blk.{i}."
            a = self.attention(i, self.norm(p + "attn_norm.weight", x))
            x = x + self.norm(p + "post_attention_norm.weight", a)
            x = x + self.norm(p + "post_ffw_norm.weight", self.feed_forward(i, x))
            if inputs is not None:
                y = gelu(x @ m.w(p + "inp_gate.weight").T) * inputs[i]
                x = x + self.norm(p + "post_norm.weight", y @ m.w(p + "proj.weight").T)
            x = x * m.w(p + "layer_output_scale.weight")
        x = self.norm("output_norm.weight", x)
        return f.capped(x @ m.w("token_embd.weight").T, m.logit_cap)
