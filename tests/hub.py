"""A hub of models on a free port of 127.0.0.1 that misbehaves as it is told to.

Each path has a script: what happens to the next request for it, and the one after that; past its
end the hub behaves. Every request is remembered."""

import contextlib
import hashlib
import http.server
import json
import re
import socket
import threading
import urllib.parse

SOME_TIME = 300          # seconds after which a stalled reply ends by itself


def sha256(content):
    return hashlib.sha256(content).hexdigest()


class Request:
    def __init__(self, path, headers):
        self.path = path
        self.headers = headers
        self.range = headers.get("Range")
        self.token = headers.get("Authorization")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # a head and its body are two writes

    def log_message(self, *_):
        pass

    def do_GET(self):
        hub = self.server.hub
        path, _, query = self.path.partition("?")
        request = Request(self.path, dict(self.headers))
        with hub.lock:
            hub.requests.append(request)
            script = hub.scripts.get(path, [])
            step = script.pop(0) if script else hub.always.get(path)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if step and step[0] == "status":
                self.answer(step[1], b"no", step[2] if len(step) > 2 else {})
            elif step and step[0] == "redirect":
                self.answer(step[2] if len(step) > 2 else 302, b"", {"Location": step[1]})
            elif path.startswith("/api/models/"):
                self.listing(hub, path, query)
            elif path in hub.files:
                self.file(hub, path, request, step)
            else:
                self.answer(404, b"none")

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in dict(headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def listing(self, hub, path, query):
        listed = hub.listed.get(path)
        if listed is None:
            return self.answer(404, b'{"error":"Repository not found"}')
        if isinstance(listed, bytes):
            return self.answer(200, listed)
        at = int(urllib.parse.parse_qs(query).get("cursor", ["0"])[0])
        end = at + (hub.page_size or len(listed))
        headers = {"Content-Type": "application/json"}
        if end < len(listed):
            base = hub.next_base if hub.next_base is not None else hub.url
            headers["Link"] = f'<{base}{path}?recursive=true&cursor={end}>; rel="next"'
        self.answer(200, json.dumps(listed[at:end]).encode(), headers)

    def file(self, hub, path, request, step):
        content = hub.files[path]
        etag = hub.etags.get(path, f'"{sha256(content)[:16]}"')
        kind = step[0] if step else ""
        start, status = 0, 200
        match = re.fullmatch(r"bytes=(\d+)-", request.range or "")
        if_range = request.headers.get("If-Range")
        if match and kind != "ignore_range" and if_range in (None, etag):
            start, status = int(match[1]), 206
            if start >= len(content):
                return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        body = content[start:]
        if kind == "corrupt":
            body = body[:-1] + bytes([body[-1] ^ 1])
        if kind == "shift":             # a rest that is not the one that was asked for
            start += step[1]
            body = content[start:]
        length = len(body) + (step[1] if kind == "length" else 0)
        self.send_response(status)
        if etag:
            self.send_header("ETag", step[1] if kind == "etag" else etag)
        if status == 206:
            total = len(content) + (step[1] if kind == "total" else 0)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{total}")
        if kind == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for at in range(0, len(body), 50000):
                piece = body[at:at + 50000]
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
            return
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body[:step[1]] if kind in ("cut", "stall") else body)
        self.wfile.flush()
        if kind == "stall":
            hub.stalled.set()
            hub.release.wait(SOME_TIME)
        if kind in ("cut", "stall") or length != len(body):
            self.close_connection = True
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)


class Hub:
    """files, listed and scripts by the path of a URL; `with` stops it."""

    def __init__(self):
        self.lock = threading.Lock()
        self.requests, self.scripts, self.always = [], {}, {}
        self.files, self.etags, self.listed = {}, {}, {}
        self.page_size = self.next_base = None
        self.stalled, self.release = threading.Event(), threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.hub = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def add(self, repo, files, revision="main"):
        """A repository of {path: content}; what is listed is true until it is changed."""
        quoted = urllib.parse.quote(revision, safe="")
        entries = [{"type": "directory", "path": "folder", "oid": "0" * 40, "size": 0}]
        for path, content in files.items():
            self.files[f"/{repo}/resolve/{quoted}/{urllib.parse.quote(path)}"] = content
            entries.append({"type": "file", "path": path, "oid": "0" * 40, "size": len(content),
                            "lfs": {"oid": sha256(content), "size": len(content),
                                    "pointerSize": 135}})
        self.listed[f"/api/models/{repo}/tree/{quoted}"] = entries
        return entries

    def of(self, path):
        """The requests for a path, in order."""
        with self.lock:
            return [r for r in self.requests if r.path.partition("?")[0] == path]
