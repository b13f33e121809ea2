"""deploy/prometheus/alertmanager.yml in the real Alertmanager: checked, its routes asked, and an
alert that goes from a server's end over Prometheus to whoever would show it on a phone."""

import contextlib
import http.server
import json
import pathlib
import plistlib
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse

import pytest

from prometheus import DEPLOY, Program, Prometheus, find, free_port

CONFIG = DEPLOY / "alertmanager.yml"
PLIST = DEPLOY.parent / "launchd/dev.paceline.alertmanager.plist"

if sys.platform == "darwin" and not shutil.which("amtool"):
    pytest.skip("brew has no Alertmanager: see docs/operations.md", allow_module_level=True)


def amtool(*words):
    return subprocess.run([find("amtool"), *map(str, words)], capture_output=True, text=True,
                          timeout=60)


def test_the_configuration_is_sound(tmp_path):
    done = amtool("check-config", CONFIG)
    assert done.returncode == 0 and "SUCCESS" in done.stdout, done
    (tmp_path / "broken.yml").write_text(CONFIG.read_text().replace("receiver: nobody",
                                                                    "receiver: somebody"))
    assert amtool("check-config", tmp_path / "broken.yml").returncode != 0


def test_every_alert_has_its_way():
    """What wakes a person reaches the phone, what does not reaches nobody."""
    alerts = re.findall(r"- alert: (\w+).*?severity: (\w+)", (DEPLOY / "alerts.yml").read_text(),
                        re.DOTALL)
    assert len(alerts) == 7
    for name, severity in alerts:
        done = amtool("config", "routes", "test", f"--config.file={CONFIG}", f"alertname={name}",
                      f"severity={severity}", "instance=a")
        assert done.stdout.strip() == ("nobody" if severity == "info" else "phone"), done


class Phone:
    """In place of ntfy: keeps what is posted, as (query, body)."""

    def __init__(self):
        self.got = []
        phone = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                url = urllib.parse.urlsplit(self.path)
                phone.got.append((url.path, urllib.parse.parse_qs(url.query), body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def told(self, name, instance, status="firing"):
        """The one message of that, or None."""
        found = [got for got in self.got if got[2]["status"] == status and
                 got[2]["commonLabels"]["alertname"] == name and
                 got[2]["commonLabels"]["instance"] == instance]
        assert len(found) < 2, found
        return found[0] if found else None

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def start_alertmanager(folder, phone):
    """As launchd starts it, with the configuration of deploy/ but for its waits and the address."""
    here = f"http://127.0.0.1:{phone.server.server_port}"
    text = CONFIG.read_text().replace("https://ntfy.sh", here)
    text = re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text)
    (folder / "alertmanager.yml").write_text(text)
    port = free_port()
    words = plistlib.loads(PLIST.read_bytes())["ProgramArguments"][1:]
    there = {"/usr/local/etc": folder, "/usr/local/var": folder,
             "127.0.0.1:9093": f"127.0.0.1:{port}"}
    for old, new in there.items():
        assert any(old in word for word in words)
        words = [word.replace(old, str(new)) for word in words]
    program = shutil.which("alertmanager") or find("prometheus-alertmanager")
    return Program(folder, port, [program, *words])


@pytest.fixture
def chain(tmp_path):
    """(Phone, Alertmanager, watch): watch(targets) starts the Prometheus of it."""
    with contextlib.ExitStack() as stack:
        phone = Phone()
        stack.callback(phone.stop)
        alertmanager = start_alertmanager(tmp_path, phone)
        stack.callback(alertmanager.stop)
        alertmanager.wait(lambda: alertmanager.ask("/-/ready"), "Alertmanager was not ready")

        def watch(*targets):
            (tmp_path / "prometheus").mkdir()
            prometheus = Prometheus(tmp_path / "prometheus", targets,
                                    [f"127.0.0.1:{alertmanager.port}"])
            stack.callback(prometheus.stop)
            return prometheus
        yield phone, alertmanager, watch


def test_a_server_that_ends_is_told_to_the_phone(chain, start_server):
    phone, _, watch = chain
    with start_server("--parallel", 1, "--ctx-size", 128) as server:
        here = f"127.0.0.1:{server.port}"
        prometheus = watch(here)
        prometheus.wait(lambda: prometheus.query(f'up{{instance="{here}"}} == 1'), "it is not seen")
        assert not phone.got
    path, query, body = prometheus.wait(lambda: phone.told("ServerDown", here), "nothing was told")
    assert path == "/YOUR-TOPIC" and query["tpl"] == ["1"]
    assert body["status"] == "firing" and body["receiver"] == "phone"

    def shown(template):
        """What ntfy makes of it: Go's template, of members alone."""
        def member(match):
            value = body
            for name in match[1].split("."):
                value = value[name]
            return value
        return re.sub(r"\{\{\.([\w.]+)\}\}", member, template)
    assert shown(query["t"][0]) == "firing: ServerDown"
    assert shown(query["m"][0]) == f"{here} is down"


def test_one_trouble_one_message(chain):
    """Other troubles of a server that is down stay where they are, and full slots always do."""
    phone, alertmanager, _ = chain

    def fire(name, severity, instance):
        labels = {"alertname": name, "severity": severity, "instance": instance, "job": "paceline"}
        alertmanager.ask("/api/v2/alerts", json.dumps([
            {"labels": labels, "annotations": {"summary": "x"}}]).encode())
    fire("ServerDown", "critical", "a")
    alertmanager.wait(lambda: phone.told("ServerDown", "a"), "the first was not told")
    fire("LatencyHigh", "warning", "a")
    fire("AllSlotsBusy", "info", "b")
    fire("LatencyHigh", "warning", "b")
    alertmanager.wait(lambda: phone.told("LatencyHigh", "b"), "another server's was not told")
    time.sleep(3)           # three times what a group waits
    assert not phone.told("LatencyHigh", "a") and not phone.told("AllSlotsBusy", "b")
    assert len(phone.got) == 2


def test_the_property_list_is_one():
    plist = plistlib.loads(PLIST.read_bytes())
    assert plist["Label"] == pathlib.Path(PLIST).stem and plist["RunAtLoad"] and plist["KeepAlive"]
    assert plist["UserName"] == "nobody"        # who may read the file and write to the folder
    text = (DEPLOY.parents[1] / "docs/operations.md").read_text()
    for word in plist["ProgramArguments"][:1] + [re.search("=(.*)", w)[1] for w in
                                                 plist["ProgramArguments"][1:3]]:
        assert word in text, f"docs/operations.md does not say how {word} comes there"
