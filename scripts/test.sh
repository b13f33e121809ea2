#!/usr/bin/env bash
# Installs what the tests need, builds and runs all of them: unit, kernel and simulator tests under
# ASan + UBSan, simulator and server under TSan, the release build with every instruction set
# against scalar, golden data on the real models, the server black-box, fuzzers for a bounded time.
#
#   scripts/test.sh [--quick]      --quick: the release build's C tests only (under a minute)
set -euo pipefail
cd "$(dirname "$0")/.."

quick=false
[ "${1:-}" = --quick ] && quick=true
step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

step "what is needed"
scripts/setup.sh --tests
venv=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/venv

step "release build"
cmake --preset release -DPACELINE_TESTS=ON -DPACELINE_WERROR=ON -DPACELINE_CUDA=OFF > /dev/null
cmake --build --preset release
ctest --test-dir build/release --output-on-failure -j2
if $quick; then exit; fi

step "models"
scripts/fetch_models.sh smollm2-135m qwen2.5-coder-0.5b gemma3-270m

step "C tests under ASan and UBSan"
cmake --preset asan -DPACELINE_BENCH=OFF > /dev/null
cmake --build --preset asan
ctest --test-dir build/asan --output-on-failure -j2

step "simulator, threads and server under TSan"
cmake --preset tsan -DPACELINE_BENCH=OFF > /dev/null
threads='sim|thread_pool|ring|engine|server|http'
single='engine_pause'      # computes on one thread, and is the longest by far
mapfile -t tests < <(ctest --test-dir build/tsan -N -R "$threads" -E "$single" |
                     sed -n 's/.*Test *#[0-9]*: //p')
cmake --build --preset tsan --target "${tests[@]}"
ctest --test-dir build/tsan --output-on-failure -j2 -R "$threads" -E "$single"

step "NEON kernels under qemu-user"
tests/kernels/neon.sh

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    step "Metal backend on an emulated GPU"
    cmake --preset metal -DPACELINE_TESTS=ON -DPACELINE_BENCH=OFF -DPACELINE_WERROR=ON > /dev/null
    cmake --build --preset metal
    ctest --test-dir build/metal --output-on-failure -j2

    step "the program for arm64 macOS"
    "$venv/bin/python" tests/metal/macho/link.py build/release
fi

if [ "$(uname -sm)" = "Linux x86_64" ]; then
    step "CUDA kernels, and the program for a machine without the server's libraries"
    scripts/setup.sh --cuda
    cmake --preset gpu -DPACELINE_WERROR=ON > /dev/null
    cmake --build --preset gpu
fi

step "fuzzing, a bounded time each"
tests/fuzz/run.sh 10

# Three files at a time: much of their time is spent waiting for a server or a client.
step "golden data and black-box tests"
"$venv/bin/python" -m pytest -q -n 3 --dist loadfile tests
