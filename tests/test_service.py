"""paceline service: files that systemd and launchd take, and nothing done that was not asked
for."""

import os
import plistlib
import re
import shutil
import socket
import subprocess
import time
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


@pytest.fixture(scope="session")
def gguf(build_dir):
    """A file that a system service would see: not below /tmp, readable to all."""
    path = build_dir / "service-test.gguf"
    path.write_bytes(b"GGUF")
    path.chmod(0o644)
    yield path
    path.unlink()


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
                             timeout=300)
    mine = [x for x in checked.stderr.splitlines() if "paceline.service" in x]
    assert checked.returncode == 0 and not mine, checked.stderr


@pytest.mark.parametrize("scope", ["--user", "--system"])
def test_the_unit_is_one_that_systemd_takes(service, tmp_path, scope):
    done = service("install", scope, "--root", str(tmp_path / "root"), "--", "--model", "/m.gguf",
                   *ODD)
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
    done = service("install", "--user", "--root", "/r", "--dry-run", "/m.gguf", "--", *words)
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
        process.communicate(timeout=300)
    assert process.returncode == 0


def test_a_model_is_found_as_up_finds_it(service, tmp_path):
    """By its name in the user's folder or another one, by a relative path: the unit has it
    whole."""
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


def test_requests_get_the_same_time_from_the_server_and_its_system(service, gguf):
    def install(*words):
        text = service("install", "--system", "--dry-run", *words).stdout
        return words_of(line_of(text, "ExecStart"))[4:], line_of(text, "TimeoutStopSec")
    assert install(gguf) == ([], "TimeoutStopSec=40")
    assert install(gguf, "--grace", "99") == (["--grace", "99"], "TimeoutStopSec=109")
    assert install(gguf, "--", "--grace", "70") == (["--grace", "70"], "TimeoutStopSec=80")


def test_what_the_service_could_not_read_is_said(service, gguf):
    words = ["install", "--dry-run", str(gguf)]
    before = service(*words, "--system").stderr         # of the program itself, perhaps
    assert str(gguf) not in before
    gguf.chmod(0o600)
    try:
        done = service(*words, "--system")
        assert done.returncode == 0 and f"{gguf} is not readable to all" in done.stderr
        assert not service(*words, "--user").stderr
    finally:
        gguf.chmod(0o644)
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


def test_a_dry_run_does_nothing_and_says_all(service, tmp_path, gguf):
    done = service("install", "--dry-run", "--user", "--", "--model", str(gguf))
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
    (["install", "--", "--model", "/m.gguf", "--pack-cache", '/a"'], "quotes"),
    (["install", "--", "--model", "/m.gguf", "--no-such"], "unknown option --no-such"),
    (["install", "--", "--parallel", "2"], "--model"),
    (["instal"], "install, start"),
    ([], "install, start"),
])
def test_wrong_command_lines(service, words, piece):
    done = service(*words, "--dry-run") if "--" not in words else service("--dry-run", *words)
    assert done.returncode == 2 and piece in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("words,piece", [
    (["nosuch.gguf"], "nosuch.gguf: is not there"),
    (["/srv/none/m.gguf"], "--model /srv/none/m.gguf: is not there"),
    (["/etc"], "--model /etc: is a folder"),
    (["MODEL", "--", "--chat-template-file", "/srv/none.jinja"],
     "--chat-template-file /srv/none.jinja"),
    (["MODEL", "--", "--api-key-file", "/srv/none.keys"], "--api-key-file /srv/none.keys"),
    (["MODEL/x"], "is not there"),
], ids=["relative", "whole", "folder", "template", "keys", "below a file"])
@pytest.mark.parametrize("scope", ["--user", "--system"])
def test_a_missing_file_is_refused(service, tmp_path, gguf, scope, words, piece):
    """At once, not by a unit that starts again and again; and nothing is written."""
    words = [word.replace("MODEL", str(gguf)) for word in words]
    done = service("install", "--dry-run", scope, *words)
    assert done.returncode == 2 and piece in done.stderr and not done.stdout, done.stderr
    done = service("install", scope, "--root", str(tmp_path / "r"), "--dry-run", *words)
    # of the machine that it is for
    if not words[0].endswith(".gguf") or words[0].startswith("/srv"):
        assert done.returncode == 0 and "warning" in done.stderr


def test_every_part_of_a_model_is_wanted(service, tmp_path):
    for part in (1, 3):
        (tmp_path / f"m-0000{part}-of-00003.gguf").write_bytes(b"GGUF")
    words = ["install", "--user", "--dry-run", str(tmp_path / "m-00001-of-00003.gguf")]
    done = service(*words)
    assert done.returncode == 2 and "m-00002-of-00003.gguf: is not there" in done.stderr
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(b"GGUF")
    assert service(*words).returncode == 0


def test_what_the_sandbox_hides_is_refused(service, tmp_path, build_dir, gguf):
    """A system unit has a /tmp of its own; links into this one do not help, nor does a program
    there."""
    assert str(tmp_path).startswith("/tmp/"), "pytest's folder is elsewhere: this shows nothing"
    hidden = tmp_path / "m.gguf"
    hidden.write_bytes(b"GGUF")
    link = build_dir / "service-test-link.gguf"
    link.unlink(missing_ok=True)
    link.symlink_to(hidden)
    try:
        for words in ([hidden], [link], [gguf, "--", "--chat-template-file", hidden]):
            done = service("install", "--system", "--dry-run", *map(str, words))
            assert done.returncode == 2, done.stderr
            assert "temporary folder of its own" in done.stderr, done.stderr
            assert service("install", "--user", "--dry-run", *map(str, words)).returncode == 0
    finally:
        link.unlink()
    # the key file is handed over by systemd, who sees it
    keys = ["--", "--api-key-file", str(hidden)]
    assert service("install", "--system", "--dry-run", str(gguf), *keys).returncode == 0
    program = shutil.copy(build_dir / "paceline", tmp_path / "paceline")
    done = subprocess.run([program, "service", "install", "--system", "--dry-run", gguf],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 2 and f"the program {program}" in done.stderr


def test_the_pack_cache_is_where_the_service_may_write(service, tmp_path, gguf):
    def install(scope, folder):
        return service("install", scope, "--dry-run", str(gguf), "--", "--pack-cache", folder)
    done = install("--system", "/var/lib/foo")
    assert done.returncode == 2 and "give /var/cache/paceline/packed" in done.stderr
    assert install("--system", "/var/cache/paceline2/x").returncode == 2
    assert install("--system", "/var/cache/paceline/../x").returncode == 2
    assert install("--system", "/var/cache/paceline/packed").returncode == 0
    folder = str(tmp_path / "a 100% folder/packed")
    done = install("--user", folder)
    assert line_of(done.stdout,
                   "ReadWritePaths") == f'ReadWritePaths="-{folder.replace("%", "%%")}"'
    assert f"would make {folder}" in done.stdout and not os.path.exists(folder)
    done = service("install", "--user", "--root", str(tmp_path / "root"), str(gguf), "--",
                   "--pack-cache", folder)
    assert done.returncode == 0, done.stderr
    check_unit(next((tmp_path / "root").rglob("paceline.service")))


class Notified:
    """What a server tells its supervisor, read as systemd does."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(300)

    def until(self, line):
        """The datagrams up to the first that has `line`, as lists of lines."""
        seen = []
        while not seen or line not in seen[-1]:
            seen.append(self.socket.recv(4096).decode().split("\n"))
        return seen


@pytest.fixture(params=["path", "abstract"])
def notified(request, tmp_path):
    name = f"@paceline-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    n = Notified("\0" + name[1:] if name[0] == "@" else name)
    yield n, {**os.environ, "NOTIFY_SOCKET": name}
    n.socket.close()


def serve(build_dir, model, env, *options):
    return subprocess.Popen([build_dir / "paceline", "serve", "-m", model, "-np", "1", "-c", "256",
                             "--port", "0", *options], stderr=subprocess.PIPE, text=True, env=env)


def test_systemd_hears_of_a_server(build_dir, fetch_model, notified):
    """Loading, ready, signs of life thrice a watch, stopping."""
    heard, env = notified
    process = serve(build_dir, fetch_model("smollm2-135m"), {**env, "WATCHDOG_USEC": "1500000"})
    try:
        seen = heard.until("READY=1")
        assert seen[0] == ["STATUS=loading the model"] and len(seen[-1]) == 2
        tenths = [int(m[1]) for lines in seen[1:-1]
                  if (m := re.match(r"STATUS=loading the model: (\d+) %", lines[0]))]
        assert tenths and tenths == sorted(set(tenths)) and tenths[-1] >= 90
        assert re.fullmatch(r"STATUS=serving .*: 1 streams of 256 tokens, port \d+", seen[-1][1])
        port = int(seen[-1][1].split()[-1])
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        assert opener.open(f"http://127.0.0.1:{port}/health", timeout=30).status == 200
        assert heard.until("WATCHDOG=1") == [["WATCHDOG=1"]]
        begin = time.monotonic()
        for _ in range(4):
            assert heard.until("WATCHDOG=1") == [["WATCHDOG=1"]]
        assert 1.9 < time.monotonic() - begin < 10      # 4 of half a second, on a busy machine
        process.terminate()
        assert ["STOPPING=1", "STATUS=running requests finish"] in heard.until("STOPPING=1")
        process.communicate(timeout=300)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


def test_a_watchdog_of_another_process_is_not_fed(build_dir, fetch_model, notified):
    heard, env = notified
    process = serve(build_dir, fetch_model("smollm2-135m"),
                    {**env, "WATCHDOG_USEC": "300000", "WATCHDOG_PID": "1"})
    try:
        heard.until("READY=1")
        time.sleep(0.5)
        process.terminate()
        assert len(heard.until("STOPPING=1")) == 1
    finally:
        process.kill()
        process.communicate()


def test_a_server_that_fails_says_why(build_dir, tmp_path, notified):
    heard, env = notified
    process = serve(build_dir, tmp_path / "none.gguf", env)
    process.communicate(timeout=300)
    assert heard.until("STATUS=loading the model")
    assert "none.gguf" in heard.socket.recv(4096).decode()


@pytest.mark.parametrize("name", ["relative", "/nowhere/notify", "@", "vsock:2:1"])
def test_an_address_that_leads_nowhere_is_a_warning(build_dir, fetch_model, name):
    process = serve(build_dir, fetch_model("smollm2-135m"), {**os.environ, "NOTIFY_SOCKET": name})
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if line.startswith("listening"):
                break
        assert any(f"NOTIFY_SOCKET={name}" in line for line in lines), lines
    finally:
        process.terminate()
        process.communicate(timeout=300)
    assert process.returncode == 0


def test_keys_that_the_server_reads_itself_are_reloaded(service, tmp_path, gguf):
    """systemctl reload; systemd's credentials stay what they were at the start."""
    keys = tmp_path / "keys"
    keys.write_text("one\n")
    words = [str(gguf), "--", "--api-key-file", str(keys)]
    text = service("install", "--user", "--dry-run", *words).stdout
    assert line_of(text, "ExecReload") == "ExecReload=/bin/kill -HUP $MAINPID"
    assert "ExecReload" not in service("install", "--system", "--dry-run", *words).stdout
    assert "ExecReload" not in service("install", "--user", "--dry-run", str(gguf)).stdout
    done = service("install", "--user", "--root", str(tmp_path / "root"), *words)
    assert done.returncode == 0, done.stderr
    check_unit(next((tmp_path / "root").rglob("paceline.service")))


@pytest.fixture
def systemctl(tmp_path, build_dir):
    """service with a systemctl of our own, which writes down what it is asked and ends with
    `code`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    log = tmp_path / "asked"

    def run(*words, code=0):
        program = folder / "systemctl"
        program.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexit {code}\n')
        program.chmod(0o755)
        log.write_text("")
        done = subprocess.run([build_dir / "paceline", "service", *map(str, words)],
                              capture_output=True, timeout=60,
                              text=True, env={**os.environ, "HOME": str(tmp_path),
                                              "PATH": f"{folder}:{os.environ['PATH']}"})
        return done, log.read_text()
    return run


def test_what_the_system_is_asked(systemctl, gguf, tmp_path):
    file = tmp_path / ".config/systemd/user/two.service"
    done, asked = systemctl("install", "--user", "--name", "two", gguf)
    assert done.returncode == 0, done.stderr
    assert file.read_text().startswith("# Written by "
                                       "paceline") and not list(file.parent.glob("*.new"))
    assert asked.splitlines()[0] == "--user daemon-reload"
    assert done.stdout.startswith(f"wrote {file}\n")
    for verb in ("start", "stop", "status"):
        done, asked = systemctl(verb, "--user", "--name", "two")
        assert done.returncode == 0, done.stderr
        assert asked.splitlines()[-1].split()[-1] == "two.service", done.stderr
        assert asked.startswith(f"--user {verb}")
        assert systemctl(verb, "--system", "--name", "two")[1].startswith(f"{verb} two.service")
    done, asked = systemctl("uninstall", "--user", "--name", "two")
    assert done.returncode == 0 and not file.exists() and f"removed {file}" in done.stdout


def test_what_the_system_refuses_is_told(systemctl):
    done, _ = systemctl("start", "--user", code=3)
    assert done.returncode == 1 and done.stderr == "paceline: systemctl --user ended with 3\n"


def test_no_more_words_than_there_is_room_for(service, gguf):
    for n, is_taken in ((29, True), (30, False)):
        done = service("install", "--user", "--dry-run", str(gguf), "--", *["--no-slots"] * n)
        assert (done.returncode == 0) == is_taken, done.stderr
        assert is_taken or done.returncode == 2 and "more than 30 words for serve" in done.stderr


def test_the_unit_waits_and_watches(service, gguf):
    text = service("install", "--system", "--dry-run", str(gguf)).stdout
    assert line_of(text, "Type") == "Type=notify" and line_of(text,
                                                              "WatchdogSec") == "WatchdogSec=60"
    assert line_of(text, "TimeoutStartSec") == "TimeoutStartSec=infinity"
    assert "AF_UNIX" in line_of(text, "RestrictAddressFamilies")


def test_what_a_service_does_not_do(service, gguf):
    done = service("install", "--user", "--dry-run", "--", "-hf", "owner/Tiny-GGUF:Q4_K_M")
    assert done.returncode == 2 and "paceline pull owner/Tiny-GGUF:Q4_K_M" in done.stderr
    done = service("install", "--user", "--dry-run", str(gguf), "--", "--log-file", "/srv/x.log")
    assert done.returncode == 2 and "journalctl" in done.stderr
