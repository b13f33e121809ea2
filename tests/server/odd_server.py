"""A small server of chat and text completions that does what the last word of a prompt says: reply
well, cut, refuse, send garbage. It keeps the bodies and heads it was sent."""

import http.server
import json
import socket
import struct
import threading
import time

SLOW_S = 3


def sse(document):
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def chunk(text=None, finish=None, **more):
    delta = {} if text is None else {"content": text}
    return sse({"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})


ROLE = sse({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]})
DONE = b"data: [DONE]\n\n"


def usage(n_output, n_prompt=11):
    return sse({"choices": [], "usage": {"prompt_tokens": n_prompt, "completion_tokens": n_output}})


GOOD = ROLE + chunk("a") + chunk("b") + chunk("c") + chunk(finish="stop") + usage(3) + DONE

# order: (status, content type, further heads, pieces of the body)
REPLIES = {
    "good": (200, "text/event-stream", {}, [GOOD]),
    "pieces": (200, "text/event-stream", {}, [GOOD[i:i + 7] for i in range(0, len(GOOD), 7)]),
    "carriage": (200, "text/event-stream", {}, [GOOD.replace(b"\n", b"\r\n")]),
    "pings": (200, "text/event-stream", {},
              [b": ping\n\n", b": ping\n\n", chunk("a"), b": ping\n\n", chunk("b", "length"),
               usage(2), DONE]),
    "three": (200, "text/event-stream", {},
              [chunk("abc"), chunk("def"), chunk("ghi"), chunk(finish="stop"), usage(9), DONE]),
    "nousage": (200, "text/event-stream", {}, [chunk("a"), chunk("b"), chunk(finish="stop"), DONE]),
    "unfinished": (200, "text/event-stream", {}, [chunk("a")]),
    "garbage": (200, "text/event-stream", {}, [chunk("a"), b'data: {"choices": [}\n\n', DONE]),
    "page": (200, "text/html", {}, [b"<html>It works!</html>"]),
    "sorry": (200, "text/event-stream", {},
              [chunk("a"), sse({"error": {"message": "the engine is gone"}})]),
    "whole": (200, "application/json", {}, [json.dumps(
        {"choices": [{"message": {"content": "a b"}}],
         "usage": {"prompt_tokens": 11, "completion_tokens": 2}}).encode()]),
    "busy": (429, "application/json", {"Retry-After": "7"},
             [b'{"error": {"message": "the queue is full", "code": "queue_full"}}']),
    "broken": (500, "text/html", {}, [b"<h1>Internal\nError</h1>"]),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True      # a head and its body are two writes

    def log_message(self, *_):
        pass

    def send(self, status, content_type, heads, pieces):
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        for name, value in heads.items():
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    def do_GET(self):
        if self.path == "/v1/models" and self.server.model:
            body = json.dumps({"data": [{"id": self.server.model}, {"id": "second"}]}).encode()
            self.send(200, "application/json", {}, [body])
        else:
            self.send(404, "application/json", {}, [b'{"error": {"message": "no such route"}}'])

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        with self.server.lock:
            self.server.seen.append((self.path, body, dict(self.headers)))
        order = prompt.split()[-1]
        if order == "cut":              # within a chunk of the body
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"%x\r\n%s\r\n40\r\ndata: {" % (len(chunk("a")), chunk("a")))
            self.close_connection = True
        elif order == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
        elif order == "silent":
            self.close_connection = True
        elif order == "nothttp":
            self.wfile.write(b"\x15\x03\x01 what is this?\r\n\r\n")
            self.close_connection = True
        elif order == "slow":
            self.server.is_closing.wait(SLOW_S)
            self.close_connection = True
        elif order == "endless":        # a token every hundredth of a second until all closes
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            self.close_connection = True
            try:
                while not self.server.is_closing.wait(0.01):
                    self.wfile.write(chunk("a"))
            except OSError:
                pass
        else:
            self.send(*REPLIES.get(order, REPLIES["good"]))


class OddServer(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, model="odd"):
        super().__init__(("127.0.0.1", 0), Handler)
        self.model = model
        self.lock = threading.Lock()
        self.seen = []
        self.n_connections = 0
        self.is_closing = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request, client_address):
        self.n_connections += 1
        super().process_request(request, client_address)

    def handle_error(self, request, client_address):
        pass                            # a client that went away

    def wait_until_seen(self, n):
        end = time.monotonic() + 60
        while len(self.seen) < n and time.monotonic() < end:
            time.sleep(0.01)
        assert len(self.seen) >= n

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.is_closing.set()
        self.shutdown()
        self.server_close()
