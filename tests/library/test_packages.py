"""Packages: Debian's, with the service; the tree that runs anywhere; the container's file; and the
list of what all is made of."""

import json
import re
import shlex
import shutil
import socket
import subprocess
import sys

import pytest
from building import ROOT, run
from test_install import HELLO, TEXT, version

sys.path.insert(0, str(ROOT / "tests"))

from serving import Server  # noqa: E402

pytestmark = pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="Debian's packages")
UNIT = ROOT / "deploy/systemd/paceline.service"


@pytest.fixture(scope="module")
def debs(build_dir, tmp_path_factory):
    to = tmp_path_factory.mktemp("debs")
    run("cpack", "-G", "DEB", "--config", build_dir / "CPackConfig.cmake", "-B", to, "-D",
        "CPACK_DEBIAN_COMPRESSION_TYPE=gzip", cwd=to)      # xz takes its time
    return sorted(to.glob("*.deb"))


@pytest.fixture(scope="module")
def root(debs, tmp_path_factory):
    """All packages, unpacked."""
    to = tmp_path_factory.mktemp("root")
    for deb in debs:
        run("dpkg-deb", "-x", deb, to)
    return to


def field(deb, name):
    return run("dpkg-deb", "-f", deb, name).strip()


def test_three_packages(debs):
    abi = ".".join(version().split(".")[:2])
    found = {field(deb, "Package"): deb for deb in debs}
    assert sorted(found) == ["libpaceline-dev", f"libpaceline{abi}", "paceline"]
    assert all(field(deb, "Version") == f"{version()}-1" for deb in debs)
    assert f"libpaceline{abi} (= {version()}-1)" in field(found["libpaceline-dev"], "Depends")
    assert "libmicrohttpd" in field(found["paceline"], "Depends")
    assert "libpaceline" not in field(found["paceline"], "Depends")


def test_lintian_has_nothing_to_say(debs):
    """The build of the tests is for /usr/local, where no folder has the machine's name."""
    assert run("lintian", "--fail-on", "warning,error", "--tag-display-limit", "0",
               "--suppress-tags", "pkg-config-unavailable-for-cross-compilation", *debs) == ""


def test_what_is_unpacked_runs(root, tiny, reply, tmp_path):
    assert run(root / "usr/bin/paceline", "--version") == f"paceline {version()}\n"
    lib = next(root.rglob("libpaceline.a")).parent
    environment = {"PATH": "/usr/bin:/bin", "PKG_CONFIG_PATH": str(lib / "pkgconfig"),
                   "LD_LIBRARY_PATH": str(lib)}
    flags = run("pkg-config", "--cflags", "--libs", "paceline", env=environment).split()
    run("cc", HELLO, "-o", tmp_path / "hello", *flags)
    assert run(tmp_path / "hello", tiny, TEXT, env=environment) == reply(TEXT)


def test_the_service(root, tmp_path):
    unit = root / "usr/lib/systemd/system/paceline.service"
    assert unit.read_text() == UNIT.read_text()
    # a copy whose program is there
    copy = tmp_path / "paceline.service"
    copy.write_text(unit.read_text().replace("/usr/bin/paceline", str(root / "usr/bin/paceline")))
    checked = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True,
                             text=True, timeout=300)
    assert not [line for line in checked.stderr.splitlines() if "paceline.service" in line]
    run("systemd-analyze", "security", "--offline=true", "--threshold=22", "--no-pager", copy)
    harmed = tmp_path / "harmed.service"
    harmed.write_text(re.sub(r"^(Protect|Restrict|System|Private).*\n", "", copy.read_text(),
                             flags=re.MULTILINE))
    assert subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=22",
                           "--no-pager", harmed], capture_output=True).returncode != 0


def test_the_service_has_a_user_of_its_own(root, tmp_path):
    (tmp_path / "etc").mkdir()
    run("systemd-sysusers", f"--root={tmp_path}", root / "usr/lib/sysusers.d/paceline.conf")
    user, = re.findall(r"^User=(.*)$", UNIT.read_text(), re.MULTILINE)
    line, = [x for x in (tmp_path / "etc/passwd").read_text().splitlines()
             if x.startswith(user + ":")]
    assert line.split(":")[5:] == ["/var/lib/paceline", "/usr/sbin/nologin"]


def test_the_service_starts_with_its_options(build_dir, root, tiny, tmp_path):
    text = (root / "etc/default/paceline").read_text()
    words = shlex.split(re.search(r'^PACELINE_OPTIONS="(.*)"$', text, re.MULTILINE)[1])
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["--model"].startswith("/var/lib/paceline/")
    assert options["--pack-cache"].startswith("/var/cache/paceline/")
    rest = [w for k, v in options.items() if k not in ("--model", "--host", "--port",
                                                       "--pack-cache") for w in (k, v)]
    (tmp_path / "cache").mkdir()
    server = Server(root / "usr/bin/paceline", tiny, *rest, "--pack-cache",
                    tmp_path / "cache/packed")
    try:
        assert server.wait().request("GET", "/health")[0] == 200
    finally:
        assert server.stop() == 0


def test_a_plain_install_has_nothing_of_a_package(prefix):
    assert not list(prefix.rglob("*.service")) and not (prefix / "share/doc").exists()


def test_a_tree_runs_wherever_it_is(prefix, tiny, reply, tmp_path):
    shutil.copytree(prefix, tmp_path / "made", symlinks=True)
    run(ROOT / "scripts/relocatable.sh", tmp_path / "made")
    (tmp_path / "made").rename(tmp_path / "moved")
    program = tmp_path / "moved/bin/paceline"
    library, = [p for p in (tmp_path / "moved").rglob("libpaceline.so.*") if not p.is_symlink()]
    for file in (program, library):
        wanted = re.findall(r"^\s+(\S+) => (\S+)", run("ldd", file), re.MULTILINE)
        assert wanted and not [name for name, path in wanted if path == "not"]
        outside = {name for name, path in wanted if not path.startswith(str(tmp_path / "moved"))}
        assert outside <= {"libc.so.6", "libm.so.6", "libresolv.so.2"}
    said = run(program, "run", "--model", tiny, "--raw", "--prompt", TEXT, "-n", 16, "--temp", 1,
               "--top-k", 0, "--top-p", 1, "--min-p", 0, "--seed", 0, env={})
    assert said == reply(TEXT) + "\n"
    done = subprocess.run([ROOT / "scripts/relocatable.sh", tmp_path], capture_output=True,
                          text=True)
    assert done.returncode == 1 and "installed tree" in done.stderr


# ---- the container's file ---------------------------------------------------------------------

CONTAINER = ROOT / "deploy/container/Containerfile"


def instructions():
    """[(word, rest)], lines joined."""
    text = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", CONTAINER.read_text(), flags=re.MULTILINE))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


def test_the_container_is_nobody_and_needs_nothing():
    found = instructions()
    words = dict(found)
    assert int(words["USER"].split(":")[0]) >= 1000
    assert [w for w, _ in found].index("USER") > max(
        i for i, (w, _) in enumerate(found) if w == "RUN")
    assert {w for w, _ in found} <= {"FROM", "COPY", "RUN", "USER", "WORKDIR", "EXPOSE",
                                     "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"}
    assert ":" in words["FROM"] and not words["FROM"].endswith(":latest")
    for _, rest in [i for i in found if i[0] == "RUN"]:
        assert "--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists/*" in rest
    assert json.loads(words["ENTRYPOINT"])[:2] == ["paceline", "serve"]


def test_its_health_check_says_what_health_says(build_dir, tiny):
    command = json.loads(dict(instructions())["HEALTHCHECK"].split("CMD", 1)[1])
    entry = json.loads(dict(instructions())["ENTRYPOINT"])
    port = entry[entry.index("--port") + 1]
    assert command[2].count(f"/{port} ") == 1

    def check(where):
        return subprocess.run([*command[:2], command[2].replace(f"/{port} ", f"/{where} ")],
                              capture_output=True, timeout=60).returncode
    server = Server(build_dir / "paceline", tiny, "--ctx-size", "256", "--api-key", "secret")
    try:
        server.wait()
        assert check(server.port) == 0
    finally:
        server.stop()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))        # nobody listens
        assert check(s.getsockname()[1]) != 0


# ---- what it is made of -----------------------------------------------------------------------

def test_the_list_of_parts(build_dir):
    words = [ROOT / "scripts/sbom.py", build_dir / "paceline", build_dir / "libpaceline.so"]
    text = run(*words, env={"PATH": "/usr/bin:/bin:/usr/local/bin", "SOURCE_DATE_EPOCH": "86400"})
    found = json.loads(text)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    assert found["metadata"]["timestamp"] == "1970-01-02T00:00:00Z"
    assert found["metadata"]["component"]["version"] == version()
    purls = [c["purl"] for c in found["components"]]
    assert len(purls) == len(set(purls)) and purls == sorted(purls)
    lock = (ROOT / "rust/Cargo.lock").read_text()
    for name, number in re.findall(r'name = "(.*)"\nversion = "(.*)"\nsource', lock):
        assert f"pkg:cargo/{name}@{number}" in purls
    assert any(p.startswith("pkg:npm/uplot@") for p in purls)
    for library in ("libmicrohttpd12", "libpcre2-8-0", "libjansson4", "libc6"):
        assert [p for p in purls if p.startswith(f"pkg:deb/debian/{library}@")], library
    for c in found["components"]:
        if not c["purl"].startswith("pkg:deb/"):
            digest, = c["hashes"]
            assert len(digest["content"]) == {"SHA-256": 64, "SHA-512": 128}[digest["alg"]]
    needed = found["dependencies"][0]["dependsOn"]
    assert set(needed) < set(purls) and "pkg:npm/uplot@" in " ".join(needed)
