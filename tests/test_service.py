"""paceline service: files that systemd and launchd take, and nothing done that was not asked for."""

import os
import plistlib
import re
import shutil
import subprocess
import urllib.error
import urllib.request

import pytest

ODD = ["--alias", 'a "b" 100% $HOME \\ <&>', "--port", "9"]


@pytest.fixture
def service(build_dir, tmp_path):
    kept = {name: value for name, value in os.environ.items() if name != "XDG_CACHE_HOME"}

    def run(*words):
        return subprocess.run([build_dir / "paceline", "service", *words], capture_output=True,
                              timeout=60, text=True, env={**kept, "HOME": str(tmp_path)})
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


def line_of(text, key):
    line, = [x for x in text.splitlines() if x.startswith(key + "=")]
    return line


def check_unit(unit):
    verify = shutil.which("systemd-analyze")
    assert verify, "systemd-analyze is missing: scripts/setup.sh --tests"
    checked = subprocess.run([verify, "verify", "--man=no", unit], capture_output=True, text=True,
                             timeout=60)
    mine = [x for x in checked.stderr.splitlines() if "paceline.service" in x]
    assert checked.returncode == 0 and not mine, checked.stderr


@pytest.mark.parametrize("scope", ["--user", "--system"])
def test_the_unit_is_one_that_systemd_takes(service, tmp_path, scope):
    done = service("install", scope, "--root", str(tmp_path / "root"), "--", "--model", "/m.gguf", *ODD)
    assert done.returncode == 0, done.stderr
    unit, = (tmp_path / "root").rglob("paceline.service")
    where = f"{tmp_path}/.config/systemd/user" if scope == "--user" else "/etc/systemd/system"
    assert str(unit) == f"{tmp_path}/root{where}/paceline.service"
    words = words_of(line_of(unit.read_text(), "ExecStart"))
    assert words[0].endswith("/paceline") and words[1:] == ["serve", "--model", "/m.gguf", *ODD]
    check_unit(unit)
    gone = service("uninstall", scope, "--root", str(tmp_path / "root"))
    assert gone.returncode == 0 and not unit.exists()


@pytest.mark.parametrize("form", [["--api-key-file", "KEYS"], ["--api-key-file=KEYS"]])
def test_a_key_file_is_handed_over_by_systemd(service, tmp_path, form):
    """The service's user need not be able to read it: systemd does, as root."""
    keys = "/etc/a 100% key.txt"
    words = [word.replace("KEYS", keys) for word in form]
    done = service("install", "--system", "--root", str(tmp_path / "root"), "/m.gguf", "--", *words)
    assert done.returncode == 0, done.stderr
    unit, = (tmp_path / "root").rglob("paceline.service")
    text = unit.read_text()
    assert line_of(text, "LoadCredential") == "LoadCredential=api-keys:/etc/a 100%% key.txt"
    assert f'"{words[0].split("=")[0]}' in text and text.count(keys.split("%")[0]) == 1
    assert text.count('${CREDENTIALS_DIRECTORY}/api-keys"') == 1
    check_unit(unit)
    done = service("install", "--user", "--dry-run", "/m.gguf", "--", *words)
    assert "LoadCredential" not in done.stdout
    assert words_of(line_of(done.stdout, "ExecStart"))[-len(words):] == words
    done = service("install", "--launchd", "--dry-run", "--system", "/m.gguf", "--", *words)
    assert f"<string>{words[-1]}</string>" in done.stdout


def test_what_the_unit_runs_asks_for_the_key(service, fetch_model, tmp_path):
    """ExecStart, with the credential where systemd would have put it."""
    (tmp_path / "keys").write_text("one\ntwo\n")
    done = service("install", "--system", "--dry-run", str(fetch_model("smollm2-135m")), "--",
                   "--port", "0", "--parallel", "1", "--ctx-size", "128", "--api-key-file",
                   str(tmp_path / "keys"))
    name, source = line_of(done.stdout, "LoadCredential").split("=", 1)[1].split(":", 1)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / name).write_bytes(open(source, "rb").read())
    (tmp_path / "keys").unlink()
    line = line_of(done.stdout, "ExecStart").replace("${CREDENTIALS_DIRECTORY}", str(credentials))
    process = subprocess.Popen(words_of(line), stderr=subprocess.PIPE, text=True, cwd="/")
    try:
        url = next(m[1] for m in map(re.compile(r"^listening +(\S+)").match, process.stderr) if m)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with pytest.raises(urllib.error.HTTPError) as refused:
            opener.open(f"{url}/v1/models", timeout=30)
        assert refused.value.code == 401
        asked = urllib.request.Request(f"{url}/v1/models", headers={"Authorization": "Bearer two"})
        assert opener.open(asked, timeout=30).status == 200
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_model_is_found_as_up_finds_it(service, tmp_path):
    """By its name in the user's folder or another one, by a relative path: the unit has it whole."""
    def put(folder):
        file = folder / "owner/Tiny-GGUF/tiny-q4_k_m.gguf"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"GGUF")
        return str(file)

    def served(*words):
        done = service("install", "--user", "--dry-run", *words)
        assert done.returncode == 0, done.stderr
        return words_of(line_of(done.stdout, "ExecStart"))[1:]
    mine, other = put(tmp_path / ".cache/paceline/models"), put(tmp_path / "other")
    name = "owner/Tiny-GGUF:q4_k_m"
    assert served(name) == ["serve", "--model", mine]
    assert served("owner/Tiny-GGUF", "--", "-n", "9") == ["serve", "--model", mine, "-n", "9"]
    assert served("--", "-m", name) == ["serve", "-m", mine]
    assert served("--", "--port=9", f"--model={name}") == ["serve", "--port=9", f"--model={mine}"]
    folder = str(tmp_path / "other")
    assert served(name, "--", "--dir", folder, "-v") == ["serve", "--model", other, "-v"]
    assert served(name, "--", f"--dir={folder}", "-v") == ["serve", "--model", other, "-v"]
    relative = os.path.relpath(other)
    assert served(relative) == ["serve", "--model", other]
    none = service("install", "--user", "--dry-run", "owner/none:Q8_0")
    assert none.returncode == 2 and "paceline pull owner/none:Q8_0" in none.stderr


def test_requests_get_the_same_time_from_the_server_and_its_system(service):
    def install(*words):
        text = service("install", "--system", "--dry-run", *words).stdout
        return words_of(line_of(text, "ExecStart"))[4:], line_of(text, "TimeoutStopSec")
    assert install("/m.gguf") == ([], "TimeoutStopSec=40")
    assert install("/m.gguf", "--grace", "99") == (["--grace", "99"], "TimeoutStopSec=109")
    assert install("/m.gguf", "--", "--grace", "70") == (["--grace", "70"], "TimeoutStopSec=80")


def test_what_the_service_could_not_read_is_said(service, tmp_path):
    model = tmp_path / "m.gguf"
    model.write_bytes(b"GGUF")
    model.chmod(0o600)
    words = ["install", "--dry-run", str(model)]
    done = service(*words, "--system")
    assert done.returncode == 0 and f"{model} is not readable to all" in done.stderr
    assert not service(*words, "--user").stderr
    assert not service("install", "--dry-run", "--system", "/etc/passwd").stderr
    done = service(*words, "--user", "--", "--api-key", "secret")
    assert "--api-key-file" in done.stderr and "secret" not in done.stderr


def test_a_mac_is_offered_what_the_model_needs(service, fetch_model):
    """Streams and context are those that serve will read, however they are spelled."""
    words = ["install", "--launchd", "--dry-run", str(fetch_model("smollm2-135m")), "--", "-c=8192"]
    assert "iogpu.wired_limit_mb" in service(*words, "--parallel=100").stdout
    assert "iogpu.wired_limit_mb" not in service(*words, "--parallel=2").stdout


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
    (["install", "--", "--model", "/m.gguf", "--api-key-file", "keys"], "the whole path"),
    (["install", "--", "--model", "/m.gguf", "--api-key-file", "/a\\"], "backslashes"),
    (["install", "--", "--model", "/m.gguf", "--no-such"], "unknown option --no-such"),
    (["install", "--", "--parallel", "2"], "--model"),
    (["instal"], "install, start"),
    ([], "install, start"),
])
def test_wrong_command_lines(service, words, piece):
    done = service(*words, "--dry-run") if "--" not in words else service("--dry-run", *words)
    assert done.returncode == 2 and piece in done.stderr and len(done.stderr.splitlines()) == 1
