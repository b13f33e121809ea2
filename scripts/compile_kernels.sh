#!/usr/bin/env bash
# Apple's own compiler over every kernel, with the options that the program gives it at its start:
# says on any Mac, with or without a GPU that runs them, whether they compile. What is printed are
# the compiler's words.
#
#   scripts/compile_kernels.sh [BUILD]    # a built tree (build/release); needs Xcode
#
# Xcode 26 has the compiler apart: xcodebuild -downloadComponent MetalToolchain
set -euo pipefail

build=${1:-$(dirname "$0")/../build/release}
options=(-fmetal-math-mode=safe -fmetal-math-fp32-functions=precise)

fail() {
    echo "compile_kernels: $1" >&2
    exit 1
}

# compile SOURCE STANDARD: the text that the program embeds
compile() {
    local source=$build/$1.c.joined
    [ -f "$source" ] || fail "no $source: build the program first"
    echo "$1, $2"
    xcrun -sdk macosx metal -x metal "-std=$2" "${options[@]}" -c "$source" -o /dev/null ||
        fail "$1 does not compile as $2"
}

compile metal_source metal3.1
sdk=$(xcrun --sdk macosx --show-sdk-version)
if [ "${sdk%%.*}" -ge 26 ]; then
    compile metal_tensor_source metal4.0
else
    echo "metal_tensor_source: skipped, the SDK is of macOS $sdk; Metal 4 comes with that of 26"
fi
