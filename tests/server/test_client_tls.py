"""top and load against a server behind TLS whose certificate no system knows, and keys out of a
file."""

import http.server
import json
import ssl
import subprocess
import threading

import pytest

METRICS = (b'paceline_build_info{model="m",backend="cpu",version="1.2"} 1\n'
           b"paceline_slots 4\npaceline_streams_running 1\n")
REPLY = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"},
                      "finish_reason": "stop"}],
         "usage": {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.headers.get("Authorization") != "Bearer secret":
            self.answer(b'{"error":{"message":"no key"}}', 401)
        elif self.path == "/metrics":
            self.answer(METRICS)
        else:
            self.answer(b'{"data":[{"id":"m"}]}' if self.path == "/v1/models" else b"[]")

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        is_good = self.headers.get("Authorization") == "Bearer secret"
        self.answer(json.dumps(REPLY).encode(), 200 if is_good else 401)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem",
                    "-out", folder / "cert.pem"], check=True, capture_output=True)
    (folder / "keys").write_text("secret\n")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield f"https://localhost:{server.server_address[1]}", folder
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(params=["top", "load"])
def ask(request, build_dir, tls):
    url, folder = tls
    words = {"top": ["top", "--once", "-i", "0.1"],
             "load": ["load", "-n", "2", "--no-stream"]}[request.param]

    def run(*options, key=True):
        more = ["--api-key-file", folder / "keys"] if key else []
        return subprocess.run([build_dir / "paceline", *words, url, *more, *options],
                              capture_output=True, text=True, timeout=120)
    return run


def test_a_certificate_that_nobody_knows_is_refused(ask):
    done = ask()
    assert done.returncode == 1 and "certificate" in done.stdout + done.stderr


@pytest.mark.parametrize("way", ["cacert", "insecure"])
def test_a_way_on(ask, tls, way):
    options = ["--cacert", tls[1] / "cert.pem"] if way == "cacert" else ["--insecure"]
    done = ask(*options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "secret" not in done.stdout + done.stderr
    assert ask(*options, key=False).returncode == 1                     # the key was needed


@pytest.mark.parametrize("options,piece", [
    (["--cacert", "/nowhere.pem"], "--cacert /nowhere.pem"),
    (["--api-key", "x"], "one of them"),
    (["--api-key-file", "/nowhere"], "/nowhere"),
])
def test_what_is_wrong_is_said_at_once(ask, options, piece):
    done = ask(*options)
    assert done.returncode in (1, 2) and piece in done.stderr and not done.stdout
