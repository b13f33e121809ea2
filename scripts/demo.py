#!/usr/bin/env python3
"""Twenty streaming chats against a paceline server of its own, shown side by side.

Standard library only. Started by scripts/demo.sh; stops the server it started.
"""
import argparse
import http.client
import json
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time

QUESTIONS = [
    "Why is the sky blue?", "Explain what a paceline is in cycling.", "Write a haiku about rivers.",
    "What makes bread rise?", "How do bees find flowers?", "Tell a short story about a lighthouse.",
    "What is a prime number?", "Why do we dream?", "How does a bicycle stay upright?",
    "Describe the smell of rain.", "What is photosynthesis?", "How do magnets work?",
    "Give three tips for learning a language.", "What causes the tides?", "Why do cats purr?",
    "How is glass made?", "What is the water cycle?", "Explain gravity to a child.",
    "Why do leaves change colour?", "How do volcanoes form?",
]


class Chat(threading.Thread):
    """One streaming chat; `text` grows while it runs."""

    def __init__(self, port, question, max_tokens):
        super().__init__(daemon=True)
        self.port, self.question, self.max_tokens = port, question, max_tokens
        self.text, self.arrivals, self.n_tokens, self.error = "", [], 0, None
        self.started = self.ended = None

    def run(self):
        body = json.dumps({
            "messages": [{"role": "user", "content": self.question}], "stream": True,
            "stream_options": {"include_usage": True}, "max_tokens": self.max_tokens, "seed": 7})
        self.started = time.monotonic()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
            connection.request("POST", "/v1/chat/completions", body,
                               {"Content-Type": "application/json"})
            reply = connection.getresponse()
            if reply.status != 200:
                self.error = f"HTTP {reply.status}: {reply.read().decode()[:200]}"
                return
            for line in reply:
                if line.startswith(b"data: ") and line[6:].strip() != b"[DONE]":
                    self.take(json.loads(line[6:]))
        except (OSError, ValueError, http.client.HTTPException) as e:
            self.error = str(e) or type(e).__name__
        finally:
            self.ended = time.monotonic()

    def take(self, chunk):
        if chunk.get("usage"):
            self.n_tokens = chunk["usage"]["completion_tokens"]
        for choice in chunk.get("choices", []):
            piece = choice.get("delta", {}).get("content")
            if piece:
                self.arrivals.append(time.monotonic())
                self.text += piece


def draw(chats, first):
    """A grid of boxes, each with the end of one reply; drawn over the last one."""
    size = shutil.get_terminal_size()
    n_across = max(1, min(4, size.columns // 30))
    n_down = -(-len(chats) // n_across)
    width = size.columns // n_across - 2
    height = max(1, (size.lines - 2) // n_down - 1)
    lines = []
    for row in range(n_down):
        boxes = []
        for chat in chats[row * n_across:(row + 1) * n_across]:
            body = textwrap.wrap(" ".join(chat.text.split()), width)[-height:]
            state = "\033[2m" if chat.ended else "\033[1m"
            head = f"{state}{chat.question[:width]:<{width}}\033[0m"
            boxes.append([head] + [f"{b:<{width}}" for b in body + [""] * (height - len(body))])
        lines += ["  ".join(parts) for parts in zip(*boxes)]
    sys.stdout.write(("\033[2J" if first else "") + "\033[H" + "\n".join(lines) + "\n")
    sys.stdout.flush()


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def resident_mib(pid):
    out = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True)
    return int(out.stdout or 0) / 1024


def report(chats, pid):
    done = [c for c in chats if not c.error]
    if not done:
        return
    wall = max(c.ended for c in done) - min(c.started for c in done)
    ttft = [c.arrivals[0] - c.started for c in done if c.arrivals]
    gaps = [b - a for c in done for a, b in zip(c.arrivals, c.arrivals[1:])]
    rates = [(len(c.arrivals) - 1) / (c.arrivals[-1] - c.arrivals[0])
             for c in done if len(c.arrivals) > 1]
    rows = [
        ("streams", f"{len(done)} of {len(chats)}"),
        ("aggregate", f"{sum(c.n_tokens for c in done) / wall:.1f} tok/s"),
        ("per stream (median)", f"{percentile(rates, .5):.1f} tok/s"),
        ("time to first token p50 / p95",
         f"{percentile(ttft, .5) * 1e3:.0f} / {percentile(ttft, .95) * 1e3:.0f} ms"),
        ("inter-token latency p50 / p95",
         f"{percentile(gaps, .5) * 1e3:.1f} / {percentile(gaps, .95) * 1e3:.1f} ms"),
        ("resident memory", f"{resident_mib(pid):.0f} MiB"),
    ]
    print()
    for name, value in rows:
        print(f"  {name:<32} {value}")


def wait_for_health(process, port):
    for _ in range(1200):
        if process.poll() is not None:
            sys.exit(f"demo: the server ended with exit code {process.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("demo: the server was not ready within two minutes")


def run_chats(port, n_streams, max_tokens):
    chats = [Chat(port, QUESTIONS[i % len(QUESTIONS)], max_tokens) for i in range(n_streams)]
    for chat in chats:
        chat.start()
    is_terminal, first = sys.stdout.isatty(), True
    shown = set()
    while any(c.is_alive() for c in chats):
        if is_terminal:
            draw(chats, first)
            first = False
        for i, chat in enumerate(chats):
            if not is_terminal and chat.ended and i not in shown:
                shown.add(i)
                print(f"[{i + 1:2}] {chat.question} -> {' '.join(chat.text.split())[:200]}",
                      flush=True)
        time.sleep(0.1)
    if is_terminal:
        draw(chats, first)
    for i, chat in enumerate(chats):
        if not is_terminal and i not in shown and not chat.error:
            print(f"[{i + 1:2}] {chat.question} -> {' '.join(chat.text.split())[:200]}")
        if chat.error:
            print(f"[{i + 1:2}] {chat.question}: {chat.error}", file=sys.stderr)
    return chats


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--max-tokens", type=int, default=128)
    args = parser.parse_args()

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [args.binary, "serve", "--model", args.model, "--parallel", str(args.streams),
               "--ctx-size", "1024", "--host", "127.0.0.1", "--port", str(port)]
    print("$", " ".join(command), flush=True)
    server = subprocess.Popen(command)
    try:
        wait_for_health(server, port)
        chats = run_chats(port, args.streams, args.max_tokens)
        report(chats, server.pid)
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
    failed = sum(bool(c.error) for c in chats)
    sys.exit(f"demo: {failed} of {len(chats)} chats failed" if failed else 0)


if __name__ == "__main__":
    main()
