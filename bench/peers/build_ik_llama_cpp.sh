#!/usr/bin/env bash
# Builds ik_llama.cpp, a fork of llama.cpp with faster CPU kernels, out of a source folder at hand
# (git clone https://github.com/ikawrakow/ik_llama.cpp). About 20 minutes on 2 cores. Prints the
# folder of its programs as the last line.
#
#   bench/peers/build_ik_llama_cpp.sh SOURCE_DIR PREFIX [COMMIT]
#
# PREFIX becomes the build folder. COMMIT is what results call it; default: what git says.
set -euo pipefail

[ $# -ge 2 ] || { echo "usage: $0 SOURCE_DIR PREFIX [COMMIT]" >&2; exit 2; }
source=$1 prefix=$2
[ -f "$source/CMakeLists.txt" ] || { echo "$source: no CMakeLists.txt there" >&2; exit 1; }
commit=${3:-}
[ -n "$commit" ] || [ ! -e "$source/.git" ] || commit=$(git -C "$source" rev-parse --short=8 HEAD)
bin=$prefix/bin

if [ ! -x "$bin/llama-batched-bench" ]; then
    cmake -S "$source" -B "$prefix" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
        -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF > /dev/null
    log=$prefix/paceline_build.log
    ninja -C "$prefix" llama-batched-bench > "$log" 2>&1 || { tail -20 "$log" >&2; exit 1; }
fi
echo "ik_llama.cpp ${commit:-of an unknown commit}" > "$bin/peer_version.txt"
echo "$bin"
