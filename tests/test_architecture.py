"""Includes follow the arrows of docs/decisions/001-layers.md."""

import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
PUBLIC = "paceline.h"

# What each layer may include beside its own files and the public header.
MAY_INCLUDE = {
    "base": set(),
    "quant": {"base"},
    "gguf": {"base", "quant"},
    "tokenizer": {"base", "quant", "gguf"},
    "text": {"base"},
    "backend": {"base", "quant"},
    "backend/pack": {"base"},
    "model": {"base", "quant", "gguf", "backend"},
    "engine": {"base", "quant", "gguf", "tokenizer", "text", "backend", "model"},
    "server": {"base"},
    "estimate": {"base", "quant"},
    "cli": {"base", "quant", "server", "estimate"},
}
# The same for the folders of the commands; "" is what they share.
CLI_MAY_INCLUDE = {
    "": {"models"},             # of bench, score and tokenize
    "models": set(),
    "pull": {"models"},
    "plan": {"models"},
    "doctor": {"models", "plan"},
    "self_test": {"models", "plan"},
    "run": {"models"},
    "serve": {"models", "pull"},
    "service": {"models", "serve"},
    "up": {"models", "pull", "plan", "service"},
    "load": set(),
    "host": set(),
    "top": {"host"},
}
# Each folder below backend is a layer of its own: backend/cpu, backend/cuda, ... One is for all of
# them.
OF_A_BACKEND = {"base", "quant", "backend", "backend/pack"}
# The one file that knows the backends.
REGISTRY = "backend/registry.c"

INCLUDE = re.compile(r"^[ \t]*#[ \t]*include(?:_next)?\b[ \t]*(.*)$", re.MULTILINE)


def layer_of(path):
    """The layer of "folder/file" below src/, or None."""
    parts = path.split("/")
    if parts[0] == "backend" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0] if len(parts) > 1 and parts[0] in MAY_INCLUDE else None


def command_of(path):
    """The folder below src/cli/ of "cli/folder/file"; "" for "cli/file"."""
    return "/".join(path.split("/")[1:-1])


def why_not_in_cli(includer, included):
    command, target = command_of(includer), command_of(included)
    for folder in (command, target):
        if folder not in CLI_MAY_INCLUDE:
            return f"cli/{folder} is no known folder"
    if target in {command, ""} | CLI_MAY_INCLUDE[command]:
        return None
    return f"cli/{command} may not include cli/{target}".replace("cli/ ", "cli ")


def why_not(includer, included):
    """What is wrong when src/`includer` includes "`included`", or None."""
    if included == PUBLIC:
        return None
    layer, target = layer_of(includer), layer_of(included)
    if target is None or ".." in included.split("/"):
        return 'is not "layer/file.h" of a known layer'
    if layer == target == "cli":
        return why_not_in_cli(includer, included)
    if layer == target or target in MAY_INCLUDE.get(layer, OF_A_BACKEND):
        return None
    if includer == REGISTRY and target.startswith("backend/"):
        return None
    return f"{layer} may not include {target}"


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m[0].count("\n"), text, flags=re.DOTALL)


def violations(root):
    sources = [p for p in sorted((root / "src").rglob("*")) if p.suffix
               in (".c", ".h", ".m", ".cu")]
    for path in sources:
        name = path.relative_to(root / "src").as_posix()
        if layer_of(name) is None:
            yield f"src/{name}: is in no known layer"
            continue
        for written in INCLUDE.findall(strip_comments(path.read_text())):
            quoted = re.fullmatch(r'"([^"]*)"\s*', written)
            angled = re.fullmatch(r"<([^>]*)>\s*", written)
            if quoted:
                reason = why_not(name, quoted[1])
            elif not angled:
                reason = "is not a plain include"
            else:
                is_ours = any((root / d / angled[1]).exists() for d in ("src", "include"))
                reason = 'is ours and belongs in ""' if is_ours else None
            if reason:
                yield f"src/{name}: #include {written.strip()}: {reason}"
    for path in sorted((root / "include").rglob("*.h")):
        for written in INCLUDE.findall(strip_comments(path.read_text())):
            if not written.startswith("<") or (root / "src" / written.strip("<> ")).exists():
                yield f"include/{path.name}: #include {written}: the public header stands alone"


def test_includes_follow_the_arrows():
    assert list(violations(ROOT)) == []


def test_there_is_something_to_check():
    layers = {p.relative_to(ROOT / "src").parts[0] for p in (ROOT / "src").rglob("*.[ch]")}
    assert layers == {name.split("/")[0] for name in MAY_INCLUDE}


def test_there_is_something_to_check_in_cli():
    files = [p.relative_to(ROOT / "src") for p in (ROOT / "src" / "cli").rglob("*.[ch]")]
    assert {command_of(p.as_posix()) for p in files} == set(CLI_MAY_INCLUDE)


@pytest.mark.parametrize("arrows", [MAY_INCLUDE, CLI_MAY_INCLUDE], ids=["layers", "cli"])
def test_the_arrows_have_no_circle(arrows):
    seen = set()
    while len(seen) < len(arrows):
        ready = {folder for folder in arrows if arrows[folder] <= seen} - seen
        assert ready, f"a circle among {set(arrows) - seen}"
        seen |= ready


@pytest.mark.parametrize("path, include, is_allowed", [
    ("base/status.c", '"paceline.h"', True),
    ("base/status.c", '"quant/quant.h"', False),
    ("quant/quant.c", '"gguf/gguf.h"', False),
    ("gguf/gguf.c", '"quant/blocks.h"', True),
    ("tokenizer/bpe.c", '"model/model.h"', False),
    ("text/chat_template.c", '"tokenizer/tokenizer.h"', False),
    ("model/bind.c", '"gguf/gguf.h"', True),
    ("model/forward.c", '"backend/backend.h"', True),
    ("model/forward.c", '"backend/cpu/kernels.h"', False),
    ("model/model.h", '"engine/plan.h"', False),
    ("backend/cpu/cpu.c", '"model/model.h"', False),
    ("backend/cpu/cpu.c", '"backend/cuda/device.h"', False),
    ("backend/cpu/cpu.c", '"backend/backend.h"', True),
    ("backend/cpu/deep/cpu.c", '"backend/cpu/kernels.h"', True),
    ("backend/cpu/deep/cpu.c", '"backend/cuda/device.h"', False),
    ("backend/cuda/device.c", '"gguf/gguf.h"', False),
    ("backend/registry.c", '"backend/cpu/backend_cpu.h"', True),
    ("backend/other.c", '"backend/cpu/backend_cpu.h"', False),
    ("engine/engine.c", '"text/chat_template.h"', True),
    ("engine/engine.c", '"backend/cpu/kernels.h"', False),
    ("engine/engine.c", '"server/answer.h"', False),
    ("server/answer.c", '"paceline.h"', True),
    ("server/answer.c", '"engine/engine.h"', False),
    ("server/answer.c", '"cli/args.h"', False),
    ("cli/main.c", '"server/server.h"', True),
    ("cli/main.c", '"engine/plan.h"', False),
    ("cli/top/cmd_top.c", '"cli/args.h"', True),
    ("cli/top/cmd_top.c", '"cli/host/host.h"', True),
    ("cli/top/cmd_top.c", '"cli/load/run.h"', False),
    ("cli/models/models.c", '"cli/pull/fetch.h"', False),
    ("cli/up/cmd_up.c", '"cli/pull/pull.h"', True),
    ("cli/cli.c", '"cli/up/background.h"', False),
    ("cli/misc/a.c", '"cli/args.h"', False),
    ("cli/load/run.c", '"engine/plan.h"', False),
    ("cli/main.c", '"cli/../engine/plan.h"', False),
    ("cli/main.c", '"args.h"', False),
    ("cli/main.c", "<paceline.h>", False),
    ("cli/main.c", "<stdio.h>", True),
    ("cli/main.c", "HEADER", False),
    ("cli/main.c", '"engine/plan.h" /* really */', False),
    ("misc/a.c", "<stdio.h>", False),
    ("a.c", "<stdio.h>", False),
])
def test_a_planted_include_is_judged(tmp_path, path, include, is_allowed):
    planted = tmp_path / "src" / path
    planted.parent.mkdir(parents=True)
    planted.write_text(f'/* #include "no/comment.h" */\n  #  include {include}\n')
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / PUBLIC).write_text("#include <stdint.h>\n")
    found = list(violations(tmp_path))
    assert (found == []) == is_allowed, found
    assert all(v.startswith(f"src/{path}: ") for v in found)


def test_the_public_header_stands_alone(tmp_path):
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / PUBLIC).write_text('#include "base/status.h"\n')
    assert len(list(violations(tmp_path))) == 1
