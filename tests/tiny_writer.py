"""What the small random models are written with. Weights are Q8_0, which is packed exactly, unless
another kind is asked for."""

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize


class TinyWriter(GGUFWriter):
    """keys: what becomes of some keys, by the name behind the architecture's (or the whole name):
    (type, value), a GGUFValueType, or None: left out. kind: of weights."""

    def __init__(self, path, arch, seed, keys=(), kind=GGMLQuantizationType.Q8_0):
        self.kind = kind
        self.rng = np.random.default_rng(seed)
        self.changed = {k if k.startswith(("tokenizer.", "general.")) else f"{arch}.{k}": v
                        for k, v in dict(keys).items()}
        super().__init__(path, arch)

    def add_key_value(self, key, *rest, **more):
        if key not in self.changed:
            super().add_key_value(key, *rest, **more)

    def matrix(self, name, *shape, scale=1.0):
        x = self.rng.standard_normal(shape, dtype=np.float32) * (scale / np.sqrt(shape[-1]))
        self.add_weights(name, x)

    def add_weights(self, name, x):
        self.add_tensor(name, quantize(x.astype(np.float32), self.kind), raw_dtype=self.kind)

    def vector(self, name, shape, centre=1.0, spread=0.1):
        x = centre + spread * self.rng.standard_normal(shape)
        self.add_tensor(name, x.astype(np.float32))

    def finish(self):
        for k, v in self.changed.items():
            if v is not None:
                super().add_key_value(k, v[1], v[0], sub_type=v[2] if len(v) > 2 else None)
        self.write_header_to_file()
        self.write_kv_data_to_file()
        self.write_tensors_to_file()
        self.close()
