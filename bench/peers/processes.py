"""Decode rate of many llama-server processes, one stream each, while all of them decode."""
import asyncio
import json
import random
import socket
import subprocess
import time


class Failed(Exception):
    pass


def free_ports(n):
    sockets = [socket.socket() for _ in range(n)]
    try:
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]
    finally:
        for s in sockets:
            s.close()


async def http(port, head, body=b""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return reader, writer


async def until_ready(server, port, deadline):
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise Failed(f"a process ended with exit code {server.returncode} while loading")
        try:
            reader, writer = await http(port, "GET /health")
            status = await reader.readline()
            writer.close()
            if b" 200 " in status:
                return
        except OSError:
            pass
        await asyncio.sleep(0.2)
    raise Failed("the processes did not all load in time")


async def generate(port, n_prompt, done, i):
    """Generates without end; done[i] is the number of tokens so far."""
    tokens = [random.Random(i * 100003 + k).randrange(1000, 100000) for k in range(n_prompt)]
    body = json.dumps({"prompt": tokens, "n_predict": -1, "ignore_eos": True, "temperature": 0,
                       "stream": True, "cache_prompt": False, "timings_per_token": True}).encode()
    reader, writer = await http(port, "POST /completion", body)
    try:
        while line := await reader.readline():
            if line.startswith(b"data: {"):
                timings = json.loads(line[6:]).get("timings")
                done[i] = timings["predicted_n"] if timings else done[i] + 1
    finally:
        writer.close()
    raise Failed(f"process {i} ended its reply after {done[i]} tokens")


async def window(servers, ports, n_prompt, window_s, deadline):
    """tok/s of all in a window that opens once every process has generated something."""
    await asyncio.gather(*(until_ready(s, p, deadline) for s, p in zip(servers, ports)))
    done = [0] * len(ports)
    tasks = [asyncio.create_task(generate(p, n_prompt, done, i)) for i, p in enumerate(ports)]

    def check():
        for task in tasks:
            if task.done():
                raise task.exception() or Failed("a process ended its reply")

    try:
        while not all(done):
            check()
            if time.monotonic() > deadline:
                raise Failed(f"only {sum(map(bool, done))} of {len(done)} processes decoded in "
                             "time")
            await asyncio.sleep(0.05)
        begin, at_begin = time.monotonic(), sum(done)
        await asyncio.sleep(window_s)
        check()
        return (sum(done) - at_begin) / (time.monotonic() - begin)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def decode_rate(command, n, n_prompt, window_s, timeout_s):
    deadline = time.monotonic() + timeout_s
    ports = free_ports(n)
    servers = []
    try:
        for port in ports:
            servers.append(subprocess.Popen(
                [*command, "--host", "127.0.0.1", "--port", str(port)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return asyncio.run(window(servers, ports, n_prompt, window_s, deadline))
    except OSError as e:
        raise Failed(str(e)) from None
    finally:
        for server in servers:
            server.kill()
        for server in servers:
            server.wait()
