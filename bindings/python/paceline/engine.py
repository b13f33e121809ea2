"""A loaded model."""

import array
import asyncio
import json
import os
import threading
import weakref

from ._calls import check, dict_of, fill
from ._paceline import ffi, lib
from ._request import build
from .stream import AsyncStream, Stream, Watcher


class Engine:
    """Engine(model_path, n_streams=20, ctx_tokens=2048, ...): words as in pl_params of paceline.h.
    Takes all the memory that it will ever use. To be closed, or used in a `with`."""

    def __init__(self, model_path, **params):
        self._raw = None
        kept, out = [], ffi.new("pl_engine **")
        c = ffi.new("pl_params *")
        fill(c, {"model_path": model_path, **params}, kept)
        check(lib.pl_open, out, c)
        self._raw = out[0]
        self._open = weakref.WeakSet()
        self._lock = threading.Lock()
        self._watchers = {}         # loop: (Watcher, the pipe's writing end, asyncio.Lock)

    # ---- text ------------------------------------------------------------------------------------

    def tokenize(self, text, special=False):
        """Ids, the begin token first where the model wants one. special: names of control tokens
        become control tokens."""
        data, out = text.encode(errors="surrogatepass"), ffi.new("pl_tokens *")
        flags = lib.PL_TOKENIZE_BOS | (lib.PL_TOKENIZE_SPECIAL if special else 0)
        check(lib.pl_tokenize, self._engine(), data, len(data), flags, out)
        return self._take_tokens(out)

    def chat_prompt(self, messages, **variables):
        """Ids of a conversation, with the model's own chat template: messages as OpenAI has them,
        and what else the template may know (tools=...)."""
        conversation = {"messages": messages, "add_generation_prompt": True, **variables}
        data, out = json.dumps(conversation).encode(), ffi.new("pl_tokens *")
        check(lib.pl_chat_prompt, self._engine(), data, len(data), ffi.NULL, out)
        return self._take_tokens(out)

    def detokenize(self, tokens, special=False):
        out = ffi.new("pl_text *")
        check(lib.pl_detokenize, self._engine(), ffi.new("int32_t[]", tokens), len(tokens), special,
              out)
        text = bytes(ffi.buffer(out.bytes, out.n)).decode(errors="replace")
        lib.pl_text_free(out)
        return text

    def _take_tokens(self, out):
        tokens = ffi.unpack(out.ids, out.n) if out.n else []
        lib.pl_tokens_free(out)
        return tokens

    def _tokens_of(self, prompt):
        if isinstance(prompt, str):
            return self.tokenize(prompt)
        prompt = list(prompt)
        return self.chat_prompt(prompt) if prompt and isinstance(prompt[0], dict) else prompt

    # ---- replies ---------------------------------------------------------------------------------

    def submit(self, prompt, **request):
        """A Stream. prompt: a text, token ids, or messages of a chat. request: max_tokens,
        temperature, top_k, top_p, min_p, seed, ..., stop, bias, logprobs, and one of json_schema,
        regex, gbnf and lark. Error with status "queue_full" where the queue is."""
        return self._keep(Stream(self, self._submit(prompt, request, ffi.NULL, ffi.NULL)))

    async def asubmit(self, prompt, **request):
        """An AsyncStream, as soon as the queue has room, in order of arrival."""
        watcher, pipe, line = self._watcher()
        tokens = self._tokens_of(prompt)
        where = ffi.cast("void *", pipe.fileno())
        async with line:
            while True:
                changed = watcher.changed()
                try:
                    raw = self._submit(tokens, request, lib.wake_function(), where)
                    return self._keep(AsyncStream(self, raw, watcher))
                except Exception as error:
                    if getattr(error, "status", None) != "queue_full":
                        raise
                # streams of other threads and loops tell nobody here
                await asyncio.wait([changed], timeout=0.05)

    def _submit(self, prompt, words, on_event, arg):
        request, _kept = build(self._tokens_of(prompt), words)
        request.on_event, request.arg = on_event, arg
        out = ffi.new("pl_stream **")
        check(lib.pl_submit, self._engine(), request, out)
        return out[0]

    def _keep(self, stream):
        with self._lock:
            self._open.add(stream)
        return stream

    def _watcher(self):
        loop = asyncio.get_running_loop()
        if loop not in self._watchers:
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            os.set_blocking(write_end, False)
            self._watchers[loop] = (Watcher(os.fdopen(read_end, "rb", 0)),
                                    os.fdopen(write_end, "wb", 0), asyncio.Lock())
        return self._watchers[loop]

    # ---- numbers ---------------------------------------------------------------------------------

    def logits(self, tokens):
        """After the tokens: an array of floats, one for each of the vocabulary."""
        out = array.array("f", bytes(4 * self.plan()["n_vocab"]))
        check(lib.pl_logits, self._engine(), ffi.new("int32_t[]", tokens), len(tokens),
              ffi.from_buffer("float[]", out), len(out))
        return out

    def embed(self, texts, pooling="default"):
        """A list of vectors, one for each text (or list of ids): default (the model's), mean, cls,
        last."""
        tokens = [ffi.new("int32_t[]", self._tokens_of(text)) for text in texts]
        c = ffi.new("pl_embed_text[]", [(ids, len(ids)) for ids in tokens])
        out = ffi.new("pl_embed_result *")
        if pooling not in ("default", "mean", "cls", "last"):
            raise ValueError(f"pooling is {pooling!r}; default, mean, cls or last is wanted")
        kind = getattr(lib, "PL_POOLING_" + pooling.upper())
        check(lib.pl_embed, self._engine(), c, len(c), kind, out)
        n, flat = out.d_model, ffi.unpack(out.vector, out.n_rows * out.d_model)
        lib.pl_embed_free(out)
        return [flat[at:at + n] for at in range(0, len(flat), n)]

    def plan(self):
        """Memory to the byte, and all limits, as a dict."""
        return dict_of(lib.pl_engine_plan(self._engine())[0])

    def stats(self):
        """Counters and histograms, as a dict."""
        out = ffi.new("pl_stats *")
        lib.pl_stats_read(self._engine(), out)
        said = dict_of(out[0])
        said["operation"] = said["operation"][:said.pop("n_operations")]
        return said

    # ---- the end ---------------------------------------------------------------------------------

    def _engine(self):
        if self._raw is None:
            raise ValueError("the engine is closed")
        return self._raw

    def drain(self):
        """Refuses new requests; running and queued ones go on."""
        lib.pl_drain(self._engine())

    def close(self):
        """Ends every stream and gives all memory back. Not while other threads use it."""
        raw, self._raw = self._raw, None
        if raw is None:
            return
        for stream in list(self._open):
            stream.close()
        for watcher, pipe, _ in self._watchers.values():
            watcher.close()
            pipe.close()
        lib.pl_close(raw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        self.close()
