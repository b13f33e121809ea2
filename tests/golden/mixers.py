"""What stands in attention's place in some layers, in numpy float32, for forward.py: token by
token, as the papers write them."""
import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.log1p(np.exp(x))


def convolve(x, taps):
    """x: [n, channels]; taps: [channels, n_taps], the last for the row itself."""
    n_taps = taps.shape[1]
    padded = np.concatenate([np.zeros((n_taps - 1, x.shape[1]), np.float32), x])
    return sum(padded[t:t + len(x)] * taps[:, t] for t in range(n_taps))


def delta_net(m, p, h):
    """Yang, Kautz and Hatamizadeh, 2024. h: [n, n_embd]; p: the layer's prefix."""
    get = lambda key: m.meta[f"{m.arch}.ssm.{key}"]
    d_key, n_key_heads, n_heads = get("state_size"), get("group_count"), get("time_step_rank")
    d_value = get("inner_size") // n_heads
    n, n_qk = len(h), n_key_heads * d_key
    c = silu(convolve(h @ m.w(p + "attn_qkv.weight").T, m.w(p + "ssm_conv1d.weight")))
    unit = lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)
    q = unit(c[:, :n_qk].reshape(n, n_key_heads, d_key)) / np.sqrt(np.float32(d_key))
    k = unit(c[:, n_qk:2 * n_qk].reshape(n, n_key_heads, d_key))
    v = c[:, 2 * n_qk:].reshape(n, n_heads, d_value)
    if m.arch == "qwen3next":   # of each key head beta's rows, then decay's; neighbours share one
        ba = (h @ m.w(p + "ssm_ba.weight").T).reshape(n, n_key_heads, 2, n_heads // n_key_heads)
        beta, decay = ba[:, :, 0].reshape(n, n_heads), ba[:, :, 1].reshape(n, n_heads)
        key_head = np.arange(n_heads) // (n_heads // n_key_heads)
    else:
        beta, decay = (h @ m.w(p + f"ssm_{name}.weight").T for name in ("beta", "alpha"))
        key_head = np.arange(n_heads) % n_key_heads
    shrink = np.exp(m.w(p + "ssm_a") * softplus(decay + m.w(p + "ssm_dt.bias")))
    memory = np.zeros((n_heads, d_key, d_value), np.float32)
    out = np.empty_like(v)
    for t in range(n):
        key, query = k[t][key_head], q[t][key_head]
        memory *= shrink[t][:, None, None]
        wrong = v[t] - np.einsum("hkv,hk->hv", memory, key)
        memory += np.einsum("hk,hv->hkv", key, sigmoid(beta[t])[:, None] * wrong)
        out[t] = np.einsum("hkv,hk->hv", memory, query)
    out = out / np.sqrt(np.mean(out * out, -1, keepdims=True) + m.eps) * m.w(p + "ssm_norm.weight")
    gate = (h @ m.w(p + "attn_gate.weight").T).reshape(out.shape)
    return (out * silu(gate)).reshape(n, -1) @ m.w(p + "ssm_out.weight").T


def state_space(m, p, h):
    """Mamba-2: Dao and Gu, 2024."""
    get = lambda key: m.meta[f"{m.arch}.ssm.{key}"]
    width, d_key, n_groups = get("inner_size"), get("state_size"), get("group_count")
    n_heads, n = get("time_step_rank"), len(h)
    n_channels = width + 2 * n_groups * d_key
    gate, inputs, dt = np.split(h @ m.w(p + "ssm_in.weight").T, [width, width + n_channels], -1)
    bias = m.w(p + "ssm_conv1d.bias", optional=True)
    c = silu(convolve(inputs, m.w(p + "ssm_conv1d.weight")) + (0 if bias is None else bias))
    v = c[:, :width].reshape(n, n_heads, -1)
    group = np.arange(n_heads) // (n_heads // n_groups)
    k, q = (x.reshape(n, n_groups, d_key)[:, group] for x in np.split(c[:, width:], 2, -1))
    dt = softplus(dt + m.w(p + "ssm_dt.bias"))
    shrink = np.exp(dt * m.w(p + "ssm_a").ravel())
    skip = m.w(p + "ssm_d").ravel()[:, None]
    memory = np.zeros((n_heads, d_key, v.shape[-1]), np.float32)
    out = np.empty_like(v)
    for t in range(n):
        memory *= shrink[t][:, None, None]
        memory += np.einsum("hk,hv->hkv", k[t], dt[t][:, None] * v[t])
        out[t] = np.einsum("hkv,hk->hv", memory, q[t]) + skip * v[t]
    out = out.reshape(n, width) * silu(gate)
    norm = m.w(p + "ssm_norm.weight", optional=True)
    if norm is not None:        # each group's part on its own
        parts = out.reshape(n, n_groups, -1)
        parts = parts / np.sqrt(np.mean(parts * parts, -1, keepdims=True) + m.eps)
        out = (parts * norm.reshape(n_groups, -1)).reshape(n, width)
    return out @ m.w(p + "ssm_out.weight").T


def short_convolution(m, p, h):
    """LFM2's."""
    before, gate, inputs = np.split(h @ m.w(p + "shortconv.in_proj.weight").T, 3, -1)
    c = convolve(before * inputs, m.w(p + "shortconv.conv.weight"))
    return (gate * c) @ m.w(p + "shortconv.out_proj.weight").T
