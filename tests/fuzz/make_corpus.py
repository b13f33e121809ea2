"""Seeds for the fuzz targets: python3 make_corpus.py FOLDER fills FOLDER/<target>/. A target's
inputs are a function here that yields (name, bytes)."""

import pathlib
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
FORMATS = {U8: "B", I8: "b", U16: "H", I16: "h", U32: "I", I32: "i", F32: "f", BOOL: "B", U64: "Q",
           I64: "q", F64: "d"}
# number of a tensor type -> weights and bytes of a block
TYPES = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
         10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
         20: (32, 18), 23: (256, 136), 30: (1, 2)}


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def value(kind, v):
    return string(v) if kind == STRING else struct.pack("<" + FORMATS[kind], v)


def key(name, kind, v):
    return string(name) + struct.pack("<I", kind) + value(kind, v)


def array(name, kind, values):
    head = string(name) + struct.pack("<IIQ", ARRAY, kind, len(values))
    return head + b"".join(value(kind, v) for v in values)


def gguf(keys, tensors=(), version=3, alignment=32):
    """tensors: (name, type number, dimensions)"""
    heads, data = b"", b""
    for name, number, dims in tensors:
        data += bytes(-len(data) % alignment)
        heads += string(name) + struct.pack("<I", len(dims)) + struct.pack(f"<{len(dims)}Q", *dims)
        heads += struct.pack("<IQ", number, len(data))
        weights, n_bytes = TYPES[number]
        n = n_bytes * dims[0] // weights
        for d in dims[1:]:
            n *= d
        data += bytes(i % 251 for i in range(n))
    file = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(keys)) + b"".join(keys) + heads
    return file + bytes(-len(file) % alignment) + data


def vocabulary(n=40):
    """Names of single bytes, a merge, a control token at the end."""
    tokens = [chr(c) for c in range(33, 33 + n - 2)] + ["!\"", "<|end|>"]
    return [key("tokenizer.ggml.model", STRING, "gpt2"), key("tokenizer.ggml.pre", STRING, "gpt-2"),
            array("tokenizer.ggml.tokens", STRING, tokens),
            array("tokenizer.ggml.token_type", I32, [1] * (n - 1) + [3]),
            array("tokenizer.ggml.merges", STRING, ["! \""]),
            key("tokenizer.ggml.eos_token_id", U32, n - 1)]


def model(arch, n_heads=2, n_kv=1, n_rows=40, template=None):
    """A model of one layer, as small as its architecture goes."""
    d, ff, dh, experts, used, dx = 32, 32, 32, 3, 2, 32
    number = 8      # Q8_0
    keys = [key("general.architecture", STRING, arch)]
    numbers = {"block_count": 1, "context_length": 64, "embedding_length": d,
               "feed_forward_length": ff, "attention.head_count": n_heads,
               "attention.head_count_kv": n_kv, "attention.key_length": dh,
               "attention.value_length": dh, "rope.dimension_count": dh}
    if arch in ("gemma2", "gemma3"):
        numbers |= {"attention.sliding_window": 16, "attention.sliding_window_pattern": 6}
    if arch.endswith("moe"):
        numbers |= {"expert_count": experts, "expert_used_count": used,
                    "expert_feed_forward_length": dx}
    if arch in ("qwen2moe", "granitemoe"):
        numbers["expert_shared_feed_forward_length"] = ff
    keys += [key(f"{arch}.{k}", U32, v) for k, v in numbers.items()]
    keys += [key(f"{arch}.attention.layer_norm_rms_epsilon", F32, 1e-5),
             key(f"{arch}.rope.freq_base", F32, 1e4), key(f"{arch}.rope.scaling.factor", F32, 1.0)]
    scales = {"gemma2": ["attn_logit_softcapping", "final_logit_softcapping"],
              "granitemoe": ["embedding_scale", "residual_scale", "logit_scale", "attention.scale"]}
    keys += [key(f"{arch}.{k}", F32, 2.0) for k in scales.get(arch, [])]
    keys += vocabulary()
    if template:
        keys.append(key("tokenizer.chat_template", STRING, template))
    p = "blk.0."
    tensors = [("token_embd.weight", number, (d, n_rows)), ("output_norm.weight", 0, (d,)),
               (p + "attn_norm.weight", 0, (d,)), (p + "ffn_norm.weight", 0, (d,)),
               (p + "attn_output.weight", number, (n_heads * dh, d))]
    for name, heads in (("q", n_heads), ("k", n_kv), ("v", n_kv)):
        tensors.append((p + f"attn_{name}.weight", number, (d, heads * dh)))
        if arch in ("qwen2", "qwen2moe"):
            tensors.append((p + f"attn_{name}.bias", 0, (heads * dh,)))
    if arch in ("qwen3", "qwen3moe", "gemma3"):
        tensors += [(p + "attn_q_norm.weight", 0, (dh,)), (p + "attn_k_norm.weight", 0, (dh,))]
    if arch in ("gemma2", "gemma3"):
        tensors += [(p + "post_attention_norm.weight", 0, (d,)),
                    (p + "post_ffw_norm.weight", 0, (d,))]
    if arch.endswith("moe"):
        tensors += [(p + "ffn_gate_inp.weight", 0, (d, experts)),
                    (p + "ffn_gate_exps.weight", number, (d, dx, experts)),
                    (p + "ffn_up_exps.weight", number, (d, dx, experts)),
                    (p + "ffn_down_exps.weight", number, (dx, d, experts))]
    else:
        tensors += [(p + "ffn_gate.weight", number, (d, ff)),
                    (p + "ffn_up.weight", number, (d, ff)),
                    (p + "ffn_down.weight", number, (ff, d))]
    if arch == "qwen2moe":
        tensors += [(p + "ffn_gate_inp_shexp.weight", 0, (d,))]
    if arch in ("qwen2moe", "granitemoe"):
        tensors += [(p + "ffn_gate_shexp.weight", number, (d, ff)),
                    (p + "ffn_up_shexp.weight", number, (d, ff)),
                    (p + "ffn_down_shexp.weight", number, (ff, d))]
    return gguf(keys, tensors)


ARCHITECTURES = ["llama", "granitemoe", "qwen2", "qwen3", "gemma2", "gemma3", "qwen2moe",
                 "qwen3moe"]
CHATML = ("{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def fuzz_gguf():
    for arch in ARCHITECTURES:
        yield f"model_{arch}", model(arch)
    yield "model_many_heads", model("llama", n_heads=260)
    yield "model_padded_head", model("llama", n_rows=300)
    yield "model_template", model("llama", template=CHATML)
    scalars = [key(f"k{kind}", kind, 1) for kind in FORMATS] + [key("s", STRING, "text")]
    arrays = [array(f"a{kind}", kind, [1, 0]) for kind in FORMATS]
    arrays.append(array("strings", STRING, ["a", "", "bc"]))
    yield "empty", b""
    yield "no_keys", gguf([])
    yield "version2", gguf([key("general.architecture", STRING, "llama")], version=2)
    yield "scalars", gguf(scalars)
    yield "arrays", gguf(arrays)
    for number, (weights, _) in TYPES.items():
        yield f"type{number}", gguf([], [("a", number, (weights, 2)), ("b", number, (weights,))])
    yield "aligned", gguf([key("general.alignment", U32, 64)],
                          [("x", 0, (3, 1, 2, 1)), ("y", 8, (32,))], alignment=64)
    split = [key("split.no", U16, 0), key("split.count", U16, 2),
             key("split.tensors.count", I32, 1)]
    yield "split", gguf(split, [("x", 0, (4,))])


def fuzz_template():
    chat = (b'{"messages":[{"role":"system","content":"s"},{"role":"user","content":"[INST] '
            b'<|im_end|>"},'
            b'{"role":"assistant","content":null,"tool_calls":[{"type":"function","id":"1",'
            b'"function":'
            b'{"name":"f","arguments":{"a":[1,2.5,"x"]}}}]},{"role":"tool","content":"9"}],'
            b'"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],'
            b'"add_generation_prompt":true,"x":-1e400}')
    sources = {
        "chatml": CHATML,
        "macro": "{% macro f(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}{% set ns = "
                 "namespace(i=0) %}{% for m in messages %}{% set ns.i = ns.i + loop.index0 %}{% "
                 "endfor %}{{ ns.i }}",
        "tools": "{{ bos_token }}{% if tools is defined and tools %}{{ tools | tojson(indent=2) }}"
                 "{% endif %}{%- for m in messages -%}{% if m['tool_calls'] %}{{ m.tool_calls[0]"
                 ".function.arguments | items | list }}{% endif %}{%- endfor -%}",
        "filters": "{{ messages[0]['content'] | trim | upper | replace('S', 't') }}"
                   "{{ messages[1:] | map(attribute='role') | join(', ') }}{{ 'a b'.split() }}"
                   "{{ messages[-1].content.startswith('x') or raise_exception('no') }}",
        "loop": "{% for i in range(100000) %}{% for k in range(100000) %}{% endfor %}{% endfor %}",
        "broken": "{% for m in messages %}{{ m.role",
        "strftime": "{{ strftime_now('%d %b %Y') }}{{ 1 // 0 }}",
    }
    for name, source in sources.items():
        yield name, source.encode()
        yield name + "_chat", source.encode() + b"\0" + chat


def fuzz_request():
    messages = '"messages":[{"role":"user","content":"hi"}]'
    yield "chat", ("{%s}" % messages).encode()
    yield "parts", b'{"messages":[{"role":"user","content":[{"type":"text","text":"a"}]}]}'
    yield "all", ("{%s,%s}" % (messages, """"model":"m","stream":true,"stream_options":
        {"include_usage":true},"n":2,"max_tokens":5,"max_completion_tokens":6,"temperature":0.5,
        "top_p":0.9,"top_k":4,"min_p":0.1,"typical_p":0.9,"repeat_penalty":1.1,"repeat_last_n":64,
        "frequency_penalty":0.1,"presence_penalty":0.1,"seed":7,"stop":["a","b"],
        "logit_bias":{"5":1.5,"6":-100},"logprobs":true,"top_logprobs":3,"ignore_eos":true,
        "tools":[{"type":"function"}],"tool_choice":"auto","response_format":{"type":"text"},
        "chat_template_kwargs":{"x":1},"add_generation_prompt":false""")).encode()
    yield "prompt", b'{"prompt":"once","echo":true,"logprobs":2,"stop":"x"}'
    yield "ids", b'{"prompt":[[1,2],[3]],"n":3,"best_of":1,"suffix":null}'
    yield "ollama_chat", ("{%s}" % """"model":"m","messages":[{"role":"user","content":"a"},
        {"role":"assistant","thinking":"b","images":[],"tool_calls":[{"function":{"name":"f",
        "arguments":{"a":1}}}]},{"role":"tool","tool_name":"f","content":"c"}],"think":"low",
        "format":{"type":"object"},"keep_alive":"5m","options":{"num_predict":-1,"seed":1,
        "num_ctx":8,"mirostat":0},"logprobs":true,"top_logprobs":2""").encode()
    yield "ollama_generate", (b'{"prompt":"a","system":"s","raw":true,"context":[],"suffix":"",'
                              b'"format":"json","think":false,"options":{"stop":["x"]}}')


def fuzz_pack():
    """Header and tables; the target fills in hashes and sizes."""
    for sizes in [(), (64,), (64, 128), (100, 60, 1)]:
        payload = sum(-(-n // 64) * 64 for n in sizes)
        head = b"plpacked" + struct.pack("<IIII", 0x01020304, 1, 1, len(sizes)) + bytes(32)
        head += struct.pack("<4Q", 4 << 20, min(payload, 1), 2 << 20, payload) + bytes(16)
        entries, offset = b"", 0
        for n in sizes:
            entries += struct.pack("<QIIIIQQ", 7, 8, 16, 32, 3, offset, n)
            offset += -(-n // 64) * 64
        tables = entries + bytes(8 * min(payload, 1))
        whole = head + tables
        yield f"n{len(sizes)}", whole + bytes((payload - len(whole)) % 300)


def fuzz_top():
    slots = (b'\xff[{"id":0,"is_processing":true,"state":"decode","id_task":5,"n_prompt_tokens":9,'
             b'"n_decoded":30,"age_ms":1000},{"id":1,"next_token":[{"n_decoded":1}]}]')
    own = (b'# HELP paceline_slots Slots.\npaceline_build_info{model="a\\"b\\n",backend="c"} 1\n'
           b'paceline_slots 2\npaceline_streams_running 1\npaceline_kv_pages 9\n'
           b'paceline_rejected_total{reason="x"} 3\npaceline_reply_tokens_total 1e3\n'
           b'paceline_resident_memory_bytes 5\npaceline_memory_planned_bytes{pool="kv"} 4\n'
           b'paceline_queue_seconds_bucket{le="0.5"} 3\n'
           b'paceline_time_to_first_token_seconds_bucket{le="0.5"} 3\n'
           b'paceline_time_to_first_token_seconds_bucket{le="+Inf"} 4 1700000000000\n')
    yield "own", own + slots
    yield "vllm", b'vllm:num_requests_running{engine="0",model_name="m"} 3.0 # {a="b"} 1\n'
    yield "llama", b"llamacpp:requests_processing 2\nllamacpp:requests_deferred NaN\n"


def main():
    folder = pathlib.Path(sys.argv[1])
    for target in [fuzz_gguf, fuzz_template, fuzz_request, fuzz_pack, fuzz_top]:
        (folder / target.__name__).mkdir(parents=True, exist_ok=True)
        for name, content in target():
            (folder / target.__name__ / name).write_bytes(content)


if __name__ == "__main__":
    main()
