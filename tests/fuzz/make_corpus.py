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


def fuzz_gguf():
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
    for target in [fuzz_gguf, fuzz_request, fuzz_pack, fuzz_top]:
        (folder / target.__name__).mkdir(parents=True, exist_ok=True)
        for name, content in target():
            (folder / target.__name__ / name).write_bytes(content)


if __name__ == "__main__":
    main()
