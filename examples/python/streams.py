#!/usr/bin/env python3
"""Twenty threads and twenty tasks of asyncio, one engine: each submits a prompt of its own and
reads its reply as it comes; tasks wait where the queue is full.

    pip install paceline-*.whl
    python streams.py MODEL [N [N_TOKENS]]
"""

import asyncio
import concurrent.futures
import sys

import paceline


def ride(engine, number, n_tokens):
    with engine.submit(f"Rider {number} says:", max_tokens=n_tokens) as stream:
        return "".join(stream), stream.usage["n_reply"]


async def aride(engine, number, n_tokens):
    stream = await engine.asubmit(f"Rider {number} says:", max_tokens=n_tokens)
    pieces = [piece async for piece in stream]
    return "".join(pieces), stream.usage["n_reply"]


async def all_rides(engine, n, n_tokens):
    return await asyncio.gather(*(aride(engine, i, n_tokens) for i in range(n)))


def main():
    if len(sys.argv) < 2:
        sys.exit("usage: streams.py MODEL [N [N_TOKENS]]")
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    n_tokens = int(sys.argv[3]) if len(sys.argv) > 3 else 32
    with paceline.Engine(sys.argv[1], n_streams=4, queue_requests=n,
                         ctx_tokens=n_tokens + 64) as engine:
        with concurrent.futures.ThreadPoolExecutor(n) as threads:
            by_threads = list(threads.map(lambda i: ride(engine, i, n_tokens), range(n)))
        by_tasks = asyncio.run(all_rides(engine, n, n_tokens))
        for i, (text, n_reply) in enumerate(by_threads):
            sys.stdout.buffer.write(f"{i} done {n_reply} {text}\n".encode())
        stats = engine.stats()
    if by_threads != by_tasks:
        sys.exit("tasks were told otherwise than threads")
    print(f"{stats['n_reply_tokens']} tokens in {stats['n_steps']} steps; "
          f"{stats['reply_tokens_per_s']:.1f} tok/s", file=sys.stderr)


if __name__ == "__main__":
    main()
