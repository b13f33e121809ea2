"""The real Prometheus, as tests run it: on ports of 127.0.0.1, stopped by its own process id."""

import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request

DEPLOY = pathlib.Path(__file__).resolve().parents[2] / "deploy/prometheus"


def find(program):
    """From the PATH, or where scripts/setup.sh --tests unpacks Debian's packages."""
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    unpacked = (cache / "paceline").glob(f"prometheus*/usr/bin/{program}")
    path = shutil.which(program) or next(unpacked, None)
    assert path, f"{program} is missing: scripts/setup.sh --tests"
    return path


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Program:
    """One that serves HTTP on `port`, with its output in a file of `folder`."""

    def __init__(self, folder, port, argv):
        self.port = port
        self.log = open(folder / "log", "w+")
        self.process = subprocess.Popen(argv, stdout=self.log, stderr=subprocess.STDOUT)

    def ask(self, path, body=None, **query):
        url = f"http://127.0.0.1:{self.port}{path}?{urllib.parse.urlencode(query)}"
        asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(asked, timeout=30) as reply:
            return reply.read()

    def wait(self, condition, what, seconds=180):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.errors()
            try:
                found = condition()
                if found:
                    return found
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{what}\n{self.errors()}")

    def errors(self):
        self.log.seek(0)
        return self.log.read()[-3000:]

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()


class Prometheus(Program):
    """Scrapes `targets` each second and holds them to alerts.yml, whose alerts fire at once."""

    def __init__(self, folder, targets, alertmanagers=()):
        rules = re.sub(r"for: \w+", "for: 0s", (DEPLOY / "alerts.yml").read_text())
        (folder / "alerts.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["alerts.yml"],
            "alerting": {"alertmanagers": [{"static_configs": [{"targets": [*alertmanagers]}]}]},
            "scrape_configs": [{"job_name": "paceline", "static_configs": [{"targets": targets}]}],
        }))
        port = free_port()
        super().__init__(folder, port, [
            find("prometheus"), f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"])

    def get(self, path, **query):
        return json.loads(self.ask(path, **query))["data"]

    def query(self, expression):
        """Values that are numbers, by labels."""
        return [(r["metric"], float(r["value"][1])) for r in self.get("/api/v1/query",
                                                                      query=expression)["result"]
                if r["value"][1] not in ("NaN", "+Inf", "-Inf")]
