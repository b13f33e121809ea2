"""A real server for black-box tests: `paceline serve` on a free port of 127.0.0.1, stopped by its
own process id."""

import contextlib
import http.client
import json
import signal
import socket
import subprocess
import time


class Server:
    def __init__(self, binary, model, *options, port=None):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = port or s.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [binary, "serve", "--model", model, "--host", "127.0.0.1", "--port", str(self.port),
             *map(str, options)], stderr=subprocess.PIPE, text=True)

        self.errors = ""

    def wait(self):
        end = time.monotonic() + 300
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(self.process.stderr.read())
            with contextlib.suppress(OSError):
                if self.request("GET", "/health")[0] == 200:
                    return self
            time.sleep(0.05)
        raise RuntimeError("the server was not ready within 300 s")

    def request(self, method, path, body=None, headers=None, timeout=120):
        """(status, headers, parsed or raw body)"""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        c.request(method, path, body, headers or {})
        reply = c.getresponse()
        raw = reply.read()
        c.close()
        is_json = "application/json" in (reply.getheader("Content-Type") or "")
        return reply.status, dict(reply.getheaders()), json.loads(raw) if is_json and raw else raw

    def post(self, path, body, **more):
        return self.request("POST", path, body, **more)

    def busy_slots(self):
        return sum(s["is_processing"] for s in self.request("GET", "/slots")[2])

    def wait_until(self, condition):
        """Looks until it is so: other programs may keep the machine busy."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if condition():
                return True
            time.sleep(0.02)
        return False

    def metric(self, name):
        text = self.request("GET", "/metrics")[2].decode()
        return float(next(line.split()[-1] for line in text.splitlines()
                          if line.startswith(name + " ")))

    def resident_bytes(self):
        with open(f"/proc/{self.process.pid}/statm") as f:
            return int(f.read().split()[1]) * 4096

    def anonymous_bytes(self):
        """Resident memory that is no file's."""
        with open(f"/proc/{self.process.pid}/status") as f:
            return int(next(line for line in f if line.startswith("RssAnon")).split()[1]) * 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if not self.process.stderr.closed:
            self.errors = self.process.stderr.read()
            self.process.stderr.close()
        return self.process.returncode
