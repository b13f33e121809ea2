#!/usr/bin/env bash
# Builds the fuzz targets under ASan + UBSan with clang and runs each for SECONDS on its corpus.
#
#   tests/fuzz/run.sh [SECONDS]      default 20; 300 is the figure for a release
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${1:-20}
cmake --preset fuzz > /dev/null
targets=()
for source in tests/fuzz/fuzz_*.c; do targets+=("$(basename "$source" .c)"); done
cmake --build --preset fuzz --target "${targets[@]}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ ! -f tests/fuzz/make_corpus.py ] || python3 tests/fuzz/make_corpus.py "$work"

fuzz() { # TARGET: one of them, on one processor
    local log=$work/$1.log
    mkdir -p "$work/$1"
    if build/fuzz/tests/"$1" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$work/" "$work/$1" > "$log" 2>&1; then
        echo "$1: $(grep -o 'stat::number_of_executed_units: *[0-9]*' "$log"), no finding"
    else
        tail -n 40 "$log"
        echo "$1: FINDING"
        return 1
    fi
}
export -f fuzz
export work seconds
printf '%s\n' "${targets[@]}" | xargs -P "$(getconf _NPROCESSORS_ONLN)" -I{} bash -c 'fuzz {}'
