#!/usr/bin/env python3
"""Do the tests notice a mistake? Makes random one-line mistakes in src/, one at a time, builds, and
runs the tests that stand nearest first, until one fails. Prints a line for each mistake and what
noticed it.

    scripts/mutate.py [--count 40] [--seed 1] [--only src/engine] [--nearest] [--jobs 2]
                      [--work build/mutate]

Works in a copy of the tree (build/mutate), so that the tree itself stays as it is. What does not
compile, or compiles to the same objects, is replaced by another mistake and not counted. The same
seed, count and tree make the same mistakes. Run it on a quiet machine: a test that takes ten times
its usual time counts as one that hangs, which is a way to notice."""

import argparse
import collections
import hashlib
import os
import pathlib
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import mutants
from nearest_tests import NEAREST, nearest

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = pathlib.Path(os.environ.get("XDG_CACHE_HOME")
                    or pathlib.Path.home() / ".cache") / "paceline/venv"


def run(command, cwd, timeout_s=3600, **more):
    """Exit status; None: it took too long, and all that it started is ended."""
    process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               start_new_session=True, **more)
    try:
        output, _ = process.communicate(timeout=timeout_s)
        return process.returncode, output.decode(errors="replace")
    except BaseException as why:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        if not isinstance(why, subprocess.TimeoutExpired):
            raise
        return None, output.decode(errors="replace")


class Tree:
    """The copy: sources, its build, and what its tests do as long as nothing is wrong."""

    def __init__(self, work, jobs, folders):
        """folders: of tests, whose C tests alone are built and run; None: all."""
        self.root, self.jobs, self.folders, self.targets = work / "tree", jobs, folders, []
        self.build = self.root / "build/release"
        self.usual_s, self.sources, self.sound = {}, {}, {}
        self.defined, self.linked = {}, {}      # symbols of sources' objects, and of tests

    def copy(self):
        listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT,
                                check=True, stdout=subprocess.PIPE).stdout.decode().split("\0")
        for name in filter(None, listed):
            source, to = ROOT / name, self.root / name
            if not source.is_file():
                continue
            if to.is_file() and to.read_bytes() == source.read_bytes():
                continue
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)         # with a new time: what was made of the old one is older
        stale = [p for folder in ("src", "tests") for p in (self.root / folder).rglob("*")]
        for path in filter(pathlib.Path.is_file, stale):
            if not (ROOT / path.relative_to(self.root)).exists():
                path.unlink()
        for made in ("web/node_modules", "rust/target"):
            if (ROOT / made).exists() and not (self.root / made).exists():
                shutil.copytree(ROOT / made, self.root / made, symlinks=True)

    def write(self, path, line, text):
        file = self.root / path
        lines = file.read_text().split("\n")
        lines[line] = text
        file.write_text("\n".join(lines))

    def make(self, *targets):
        status, output = run(["ninja", "-C", self.build, f"-j{self.jobs}",
                             *(targets or self.targets)], self.root)
        return status == 0, output

    def prepare(self):
        self.copy()
        # linked so, a test that leaks fails: as it does under AddressSanitizer in scripts/test.sh
        leaks = ["-DCMAKE_EXE_LINKER_FLAGS=-fsanitize=leak"]
        leaks = leaks if platform.system() != "Darwin" else []
        status, output = run(["cmake", "--preset", "release", "-DPACELINE_TESTS=ON",
                             "-DPACELINE_BENCH=OFF", *leaks], self.root)
        if status:
            sys.exit(output)
        _, listing = run(["ctest", "-N"], self.build)
        for name in re.findall(r"Test +#\d+: (\S+)", listing):
            if (folder := self.folder_of(name)) and (not self.folders or folder in self.folders):
                self.sources[name] = folder
        if self.folders:
            self.targets = sorted(self.sources)
        is_built, output = self.make()
        if not is_built:
            sys.exit(output[-3000:])
        self.objects = self.hashes()
        _, listing = run(["ninja", "-C", self.build, "-t", "targets", "all"], self.root)
        self.compiled = re.findall(r"^(\S+\.o): ", listing, re.MULTILINE)
        # what tests in Python run: the program, and small ones of the tests
        self.programs = re.findall(r"^(paceline|[a-z]+_cli|test_engine_invariance): ", listing,
                                   re.MULTILINE)

    def hashes(self):
        return {p: hashlib.sha256(p.read_bytes()).digest()
                for p in (self.build / "CMakeFiles").rglob("*.o")}

    def symbols(self, path, *more):
        _, listing = run(["nm", "-f", "posix", *more, path], self.root)
        return {line.split(" ", 1)[0] for line in listing.splitlines()}

    def is_in(self, path, test):
        """Whether a test's program has that source's code in it, as built without a mistake: what
        the linker left out of it is not what it tests. A header's code may be in any."""
        own = [o for o in self.compiled if o.endswith(f"{path}.o")]
        if not own or path.endswith(".h"):
            return True
        if path not in self.defined:
            self.defined[path] = self.symbols(self.build / own[0], "-g", "--defined-only")
        if test not in self.linked:
            programs = [p for p in (self.build / "tests").rglob(test) if p.is_file()]
            self.linked[test] = self.symbols(programs[0]) if programs else None
        return self.linked[test] is None or bool(self.defined[path] & self.linked[test])

    def folder_of(self, name):
        """Where a C test's source is: "unit/engine"."""
        found = list((self.root / "tests").rglob(f"{name}.c"))
        if found:
            return found[0].parent.relative_to(self.root / "tests").as_posix()
        layer = name.split("_")[0]      # "gguf_memory_failures"
        return f"unit/{layer}" if (self.root / "tests/unit" / layer).is_dir() else "unit"

    def longest_s(self, name):
        """What is longer is a hang."""
        return 10 * self.usual_s[name] + 60 if name in self.usual_s else 600

    def ctest(self, name):
        start = time.monotonic()
        status, output = run(["ctest", "--output-on-failure", "-R", f"^{name}$"], self.build,
                             self.longest_s(name))
        if status == 0:
            self.usual_s.setdefault(name, time.monotonic() - start)
        return status, output

    def pytest(self, path):
        python = VENV / "bin/python"
        start = time.monotonic()
        status, output = run([python if python.exists() else sys.executable, "-m", "pytest", "-q",
                              "-x",
                              "-p", "no:cacheprovider", path], self.root, self.longest_s(path),
                             env=os.environ | {"LSAN_OPTIONS": "detect_leaks=0"})
        if status == 0:
            self.usual_s.setdefault(path, time.monotonic() - start)
        return status, output


def order_of(tree, path, is_nearest_only):
    """C tests that have the source in them, nearest folders first, within and behind them the
    fastest."""
    folders, _ = nearest(path)
    def place(name):
        folder = tree.sources[name]
        nearness = folders.index(folder) if folder in folders else len(folders)
        return nearness, tree.usual_s.get(name, 1), name
    return sorted((n for n in tree.sources
                   if (not is_nearest_only or tree.sources[n] in folders) and
                   tree.is_in(path, n)), key=place)


def failing_part(output):
    for pattern in (r"\[  FAILED  \] ([a-z]\w+)", r"FAILED (\S+)", r"ERROR: (LeakSanitizer)",
                    r"(runtime error.*)", r"(Segmentation fault|SEGFAULT)"):
        if found := re.search(pattern, output):
            return found[1]
    return ""


def is_sound(tree, mutant, name, ask, targets):
    """Whether a test passes without the mistake, at the second try at least: asked once, when it
    first fails with one."""
    if name not in tree.sound:
        tree.write(mutant.path, mutant.line, mutant.before)
        tree.make(*targets)
        tree.sound[name] = ask(name)[0] == 0 or ask(name)[0] == 0
        tree.write(mutant.path, mutant.line, mutant.after)
        tree.make(*targets)
        if not tree.sound[name]:
            print(f"  {name} fails without any mistake here: left out", flush=True)
    return tree.sound[name]


def notice(tree, mutant, is_nearest_only):
    """What fails, or None."""
    tests = order_of(tree, mutant.path, is_nearest_only)
    is_built, output = tree.make(*tests) if tests else (True, "")
    if not is_built:
        return "a later build: " + output.strip().split("\n")[-1][:80]
    for name in tests:
        status, output = tree.ctest(name) if tree.sound.get(name, True) else (0, "")
        if status != 0 and is_sound(tree, mutant, name, tree.ctest, [name]):
            return f"{name} " + ("hangs" if status is None else failing_part(output))
    tree.make(*tree.programs)
    for path in nearest(mutant.path)[1]:
        status, output = tree.pytest(path) if tree.sound.get(path, True) else (0, "")
        if status != 0 and is_sound(tree, mutant, path, tree.pytest,
                                    tree.programs) and tree.pytest(path)[0] != 0:
            return f"{path} " + ("hangs" if status is None else failing_part(output))
    return None


def try_one(tree, mutant, is_nearest_only):
    """(verdict, what noticed it); verdict: noticed, survived, or why it does not count."""
    tree.write(mutant.path, mutant.line, mutant.after)
    try:
        own = f"{mutant.path}.o"
        targets = [t for t in tree.compiled if t.endswith(own)]
        is_built, _ = tree.make(*targets)
        if not is_built:
            return "does not compile", ""
        if tree.hashes() == tree.objects:
            return "same objects", ""
        by = notice(tree, mutant, is_nearest_only)
        return ("noticed", by) if by else ("survived", "")
    finally:
        tree.write(mutant.path, mutant.line, mutant.before)


def candidates(tree, only, rng):
    cpu = pathlib.Path("/proc/cpuinfo")
    flags = cpu.read_text() if cpu.exists() else ""
    paths = sorted(p.relative_to(tree.root).as_posix() for p in (tree.root / "src").rglob("*.[ch]"))
    lines = [found for p in paths if mutants.runs_here(p, flags)
             and (not only or any(p.startswith(o) for o in only))
             for found in mutants.of_file(tree.root, p)]
    rng.shuffle(lines)
    for found in lines:
        yield rng.choice(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", metavar="PATH", help="sources below these paths alone")
    parser.add_argument("--work", type=pathlib.Path, default=ROOT / "build/mutate")
    parser.add_argument("--nearest", action="store_true",
                        help="the nearest tests alone (nearest_tests.py): quick, "
                        "and blind to what others would notice")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    # a shell's background ignores it, and tests that send it would be ignored too
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folders = {f for path in args.only or ["src"] for row in NEAREST if path.startswith(row[0]) or
               row[0].startswith(path) for f in row[1]}
    tree = Tree(args.work.resolve(), args.jobs, folders if args.nearest else None)
    print("building without a mistake", flush=True)
    tree.prepare()
    verdicts = collections.Counter()
    for mutant in candidates(tree, args.only, random.Random(args.seed)):
        verdict, by = try_one(tree, mutant, args.nearest)
        verdicts[verdict] += 1
        if verdict in ("noticed", "survived"):
            place = f"{mutant.path}:{mutant.line + 1}"
            text = (mutant.before if mutant.what == "deleted" else mutant.after).strip()
            print(f"{verdict:8} {place:40} {mutant.what:12} {by}\n         {text}", flush=True)
        if verdicts["noticed"] + verdicts["survived"] == args.count:
            break
    n = verdicts["noticed"] + verdicts["survived"]
    print(f"{verdicts['noticed']} of {n} noticed; not counted: {verdicts['does not compile']} that "
          f"did not compile, {verdicts['same objects']} with the same objects (seed {args.seed})")


if __name__ == "__main__":
    main()
