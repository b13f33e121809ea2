"""paceline service: files that systemd and launchd take, and nothing done that was not asked for."""

import os
import plistlib
import shutil
import subprocess

import pytest

ODD = ["--alias", 'a "b" 100% $HOME \\ <&>', "--port", "9"]


@pytest.fixture
def service(build_dir, tmp_path):
    def run(*words):
        return subprocess.run([build_dir / "paceline", "service", *words], capture_output=True,
                              timeout=60, text=True, env={**os.environ, "HOME": str(tmp_path)})
    return run


def words_of(line):
    """ExecStart as systemd splits it: quotes off, doubled % and $ single again."""
    assert line.startswith("ExecStart=")
    words, at = [], 0
    text = line.removeprefix("ExecStart=")
    while at < len(text):
        assert text[at] == '"'
        at, word = at + 1, ""
        while text[at] != '"':
            if text[at] == "\\":
                at += 1
            word, at = word + text[at], at + 1
        words.append(word.replace("%%", "%").replace("$$", "$"))
        at += 2
    return words


@pytest.mark.parametrize("scope", ["--user", "--system"])
def test_the_unit_is_one_that_systemd_takes(service, tmp_path, scope):
    done = service("install", scope, "--root", str(tmp_path / "root"), "--", "--model", "/m.gguf", *ODD)
    assert done.returncode == 0, done.stderr
    unit, = (tmp_path / "root").rglob("paceline.service")
    where = f"{tmp_path}/.config/systemd/user" if scope == "--user" else "/etc/systemd/system"
    assert str(unit) == f"{tmp_path}/root{where}/paceline.service"
    line, = [x for x in unit.read_text().splitlines() if x.startswith("ExecStart=")]
    words = words_of(line)
    assert words[0].endswith("/paceline") and words[1:] == ["serve", "--model", "/m.gguf", *ODD]
    verify = shutil.which("systemd-analyze")
    assert verify, "systemd-analyze is missing: scripts/setup.sh --tests"
    checked = subprocess.run([verify, "verify", "--man=no", unit], capture_output=True, text=True,
                             timeout=60)
    mine = [x for x in checked.stderr.splitlines() if "paceline.service" in x]
    assert checked.returncode == 0 and not mine, checked.stderr
    gone = service("uninstall", scope, "--root", str(tmp_path / "root"))
    assert gone.returncode == 0 and not unit.exists()


@pytest.mark.parametrize("scope", ["--user", "--system"])
def test_the_property_list_is_one(service, scope):
    done = service("install", "--launchd", "--dry-run", scope, "--name", "two", "--", "--model",
                   "/m.gguf", *ODD)
    assert done.returncode == 0, done.stderr
    first, text = done.stdout.split("\n", 1)
    folder = "LaunchAgents" if scope == "--user" else "LaunchDaemons"
    assert first.startswith("would write ")
    assert first.endswith(f"/Library/{folder}/dev.paceline.two.plist:")
    got = plistlib.loads(text[:text.index("</plist>") + len("</plist>")].encode())
    assert got["Label"] == "dev.paceline.two" and got["ProcessType"] == "Interactive"
    assert got["ProgramArguments"][1:] == ["serve", "--model", "/m.gguf", *ODD]
    assert got["KeepAlive"] == {"SuccessfulExit": False} and got["RunAtLoad"] is True
    assert got["StandardErrorPath"].endswith("/Library/Logs/two.log")


def test_a_dry_run_does_nothing_and_says_all(service, tmp_path):
    done = service("install", "--dry-run", "--user", "--", "--model", "/m.gguf")
    assert done.returncode == 0 and not list(tmp_path.rglob("*.service"))
    assert "would run: systemctl --user daemon-reload" in done.stdout
    assert "would run: systemctl --user enable paceline.service" in done.stdout
    for verb in ("start", "stop", "status"):
        said = service(verb, "--dry-run", "--user").stdout
        assert said == f"would run: systemctl --user {verb} paceline.service\n"
    assert "would remove" in service("uninstall", "--dry-run", "--user").stdout


@pytest.mark.parametrize("words,piece", [
    (["install"], "what to serve"),
    (["install", "--", "--model", "m.gguf"], "the whole path"),
    (["install", "--name", "../x", "--", "--model", "/m"], "--name"),
    (["instal"], "install, start"),
    ([], "install, start"),
])
def test_wrong_command_lines(service, words, piece):
    done = service(*words, "--dry-run") if "--" not in words else service("--dry-run", *words)
    assert done.returncode == 2 and piece in done.stderr and len(done.stderr.splitlines()) == 1
