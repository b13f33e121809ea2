#!/usr/bin/env python3
"""Checks the installed package with a model, without any other package: check.py MODEL"""

import asyncio
import gc
import math
import sys
import threading

import paceline

MODEL = sys.argv[1]


def engine(**params):
    words = {"n_streams": 2, "n_threads": 1, "ctx_tokens": 4096, **params}
    return paceline.Engine(MODEL, **words)


def endless(e):
    """Words of a request that does not end of itself: it pauses where nobody reads it."""
    return {"bias": {e.tokenize("<|endoftext|>", special=True)[-1]: -math.inf}}


def refused(status, function, *words, **more):
    try:
        function(*words, **more)
    except paceline.Error as error:
        assert error.status == status and str(error), (error.status, str(error))
        return error
    raise AssertionError(f"{status} was expected")


def check_threads_and_tasks_are_told_the_same():
    with engine() as e:
        alone = [e.submit(f"Rider {i}", max_tokens=12).text() for i in range(8)]
        together = [None] * 8

        def ride(i):
            together[i] = e.submit(f"Rider {i}", max_tokens=12).text()
        threads = [threading.Thread(target=ride, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()

        async def aride(i):
            return await (await e.asubmit(f"Rider {i}", max_tokens=12)).text()

        async def ride_all():
            return await asyncio.gather(*(aride(i) for i in range(8)))
        assert alone == together == asyncio.run(ride_all()) and all(alone)


def check_a_stream_says_how_it_went():
    with engine() as e:
        stream = e.submit("the", max_tokens=5, logprobs=True)
        assert stream.finish is None and stream.usage is None
        text = stream.text()
        assert stream.finish == "length" and stream.usage["n_reply"] == 5
        assert len(stream.tokens) == len(stream.logprobs) == 5 and max(stream.logprobs) <= 0
        assert e.detokenize(stream.tokens) == text
        assert list(stream) == []
        stop = e.submit("the", max_tokens=5, stop=[text[2]]).text()
        assert stop == text[:2], (stop, text)


def check_a_full_queue():
    with engine(n_streams=1, queue_requests=1) as e:
        first = e.submit("the", **endless(e))
        next(first)
        second = e.submit("the", **endless(e))
        assert refused("queue_full", e.submit, "the").http == 429

        async def wait_in_line():
            order = []

            async def ride(i):
                stream = await e.asubmit("the", max_tokens=2)
                order.append(i)
                await stream.text()
            tasks = [asyncio.create_task(ride(i)) for i in range(5)]
            await asyncio.sleep(0)
            gives_up = asyncio.create_task(ride(9))
            await asyncio.sleep(0.2)
            assert order == []
            gives_up.cancel()
            first.close()
            second.close()
            await asyncio.gather(*tasks)
            assert order == [0, 1, 2, 3, 4], order
        asyncio.run(wait_in_line())


def check_ends():
    with engine() as e:
        stream = e.submit("the", **endless(e))
        next(stream)
        stream.cancel()
        assert stream.text() is not None and stream.finish == "cancelled"
        unread = e.submit("the", **endless(e))
        del unread
        gc.collect()
        left = e.submit("the", **endless(e))
        next(left)

        async def leave():
            async with await e.asubmit("the", **endless(e)) as stream:
                async for _ in stream:
                    break
        asyncio.run(leave())
        e.drain()
        refused("shutting_down", e.submit, "the")
    assert list(left) == []
    e.close()
    try:
        e.submit("the")
    except ValueError as error:
        assert "closed" in str(error)
    else:
        raise AssertionError("a closed engine took a request")


def check_requests():
    with engine() as e:
        assert e.submit("the", temperature=0, regex="ab{3}").text() == "abbb"
        said = e.submit("the", temperature=0, json_schema={"enum": ["yes"]}).text()
        assert said == '"yes"', said
        refused("invalid_grammar", e.submit, "the", regex="(")
        refused("invalid_parameter", e.submit, "the", temperature=-1)
        refused("context_length_exceeded", e.submit, [1] * 5000)
        for words, kind in [({"temprature": 1}, TypeError), ({"stop": "a\0"}, ValueError),
                            ({"regex": "a", "gbnf": "b"}, ValueError)]:
            try:
                e.submit("the", **words)
            except kind:
                continue
            raise AssertionError(words)


def check_numbers():
    with engine() as e:
        tokens = e.chat_prompt([{"role": "user", "content": "the"}])
        assert "user: the" in e.detokenize(tokens)
        greedy = e.submit(tokens, max_tokens=1, temperature=0)
        greedy.text()
        logits = e.logits(tokens)
        assert len(logits) == e.plan()["n_vocab"]
        assert logits.index(max(logits)) == greedy.tokens[0]
        vectors = e.embed(["the", "theme", "the"], pooling="mean")
        assert len(vectors) == 3 and vectors[0] == vectors[2] != vectors[1]
        assert len(vectors[0]) == e.plan()["d_model"]
        stats = e.stats()
        assert stats["n_requests"] >= 2 and stats["ttft"]["n"] >= 1 and stats["operation"] == []


def check_what_cannot_be_opened():
    assert "/nowhere.gguf" in str(refused("io_error", paceline.Engine, "/nowhere.gguf"))
    try:
        paceline.Engine(MODEL, n_stream=2)
    except TypeError as error:
        assert "n_stream " in str(error) and "n_streams" in str(error)
    else:
        raise AssertionError("an unknown word was taken")


checks = [f for name, f in list(globals().items()) if name.startswith("check_")]
for check in checks:
    check()
    print(check.__name__)
print(f"{len(checks)} checks, paceline {paceline.version()}")
