"""One reply, as pieces of text: for threads, and for tasks of asyncio."""

import asyncio

from ._calls import dict_of
from ._paceline import ffi, lib

FINISH = {lib.PL_FINISH_STOP: "stop", lib.PL_FINISH_LENGTH: "length",
          lib.PL_FINISH_CANCELLED: "cancelled", lib.PL_FINISH_ERROR: "error"}


class _Reply:
    """What both have. tokens, logprobs: so far. finish: why it ended, or None; usage: then."""

    def __init__(self, engine, raw):
        self._engine = engine       # which stays open as long as it has streams
        self._raw = raw
        self._event = ffi.new("pl_event *")
        self.tokens = []
        self.logprobs = []
        self.finish = None
        self.usage = None

    def _take(self):
        """A piece of text, which may be empty; None: nothing has come."""
        event = self._event
        if self._raw is None or not lib.pl_stream_next(self._raw, event):
            return None
        if event.kind == lib.PL_EVENT_TOKEN:
            self.tokens.append(event.token)
            self.logprobs.append(event.logprob)
        if event.kind == lib.PL_EVENT_END:
            self.finish = FINISH[event.finish]
            self.usage = dict_of(event.usage)
        return bytes(ffi.buffer(event.text, event.n_text_bytes)).decode(errors="replace")

    def cancel(self):
        """Asks the engine to end it within one step; what came until then can be read."""
        if self._raw is not None:
            lib.pl_stream_cancel(self._raw)

    def close(self):
        """Cancels if need be, and gives it back."""
        raw, self._raw = self._raw, None
        if raw is not None:
            lib.pl_stream_close(raw)

    def __del__(self):
        self.close()


class Stream(_Reply):
    """An iterator over pieces of text; other threads go on while it waits. One thread at a
    time."""

    def __iter__(self):
        return self

    def __next__(self):
        while self._raw is not None and self.finish is None:
            piece = self._take()
            if piece is None:
                lib.pl_stream_wait(self._raw, 200)      # so that Ctrl-C is not kept waiting
            elif piece:
                return piece
        self.close()
        raise StopIteration

    def text(self):
        """All of it, to its end."""
        return "".join(self)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class AsyncStream(_Reply):
    """The same for a task: async for. One task at a time."""

    def __init__(self, engine, raw, watcher):
        super().__init__(engine, raw)
        self._watcher = watcher

    def __aiter__(self):
        return self

    async def __anext__(self):
        while self._raw is not None and self.finish is None:
            changed = self._watcher.changed()
            piece = self._take()
            if piece is None:
                await changed
            elif piece:
                return piece
        self.close()
        raise StopAsyncIteration

    async def text(self):
        return "".join([piece async for piece in self])

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.close()

    def close(self):
        super().close()
        self._watcher.tell()


class Watcher:
    """Of one engine and one loop: told by a pipe that some stream has something new. All of the
    loop's thread, but for the pipe's other end."""

    def __init__(self, read_end):
        self.loop = asyncio.get_running_loop()
        self._read = read_end
        self._next = self.loop.create_future()
        self.loop.add_reader(read_end.fileno(), self._drain)

    def _drain(self):
        self._read.read()
        self.tell()

    def tell(self):
        """Whoever waits looks again."""
        if self.loop.is_closed():
            return
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            here = False
        if here:
            self._tell()
        else:
            self.loop.call_soon_threadsafe(self._tell)

    def _tell(self):
        told, self._next = self._next, self.loop.create_future()
        if not told.done():
            told.set_result(None)

    def changed(self):
        """To be had before one looks, and awaited where nothing was there."""
        return asyncio.shield(self._next)

    def close(self):
        if not self.loop.is_closed():
            self.loop.remove_reader(self._read.fileno())
        self._read.close()
