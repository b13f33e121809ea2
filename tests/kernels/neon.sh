#!/usr/bin/env bash
# The kernel tests for 64-bit Arm on an x86-64 machine: cross-compiled, statically linked, run by
# qemu-user with all features. They prove results, not speed. Offline; scripts/setup.sh --tests
# installs what is needed.
#
#   tests/kernels/neon.sh [TEST...]     all of tests/kernels/test_*.c but those of the exact backend
#                                       and of the self-test, or those named
set -euo pipefail
cd "$(dirname "$0")/../.."

case $(uname -sm) in
    *arm64 | *aarch64)
        echo "neon: this machine runs the NEON kernels itself; ctest tests them"
        exit
        ;;
    Linux*) ;;
    *)
        echo "neon: skipped, $(uname -sm) has no qemu-user"
        exit
        ;;
esac

cc=aarch64-linux-gnu-gcc
for tool in $cc qemu-aarch64; do
    command -v $tool > /dev/null && continue
    echo "neon: no $tool: run scripts/setup.sh --tests" >&2
    exit 1
done

build=build/neon
jobs=$(nproc)
mkdir -p $build/include
# xxhash is used as a header alone, which is the same for every processor
cp "$(pkg-config --variable=includedir libxxhash)/xxhash.h" $build/include/
flags=(-std=gnu11 -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla -Werror -ffp-contract=off
       -fno-math-errno -D_GNU_SOURCE -DTINY_N_SHAPES=6 -DTINY_MOST_THREADS=2 -Iinclude -Isrc -Itests
       -Itests/kernels/cmocka_min -I$build/include)

# Six shapes of the tiny models have every format, a mixture, caps and RoPE of a part of a head.
# One line of arguments a source file: what CMakeLists.txt says of the same suffixes.
folders=({base,quant,estimate,backend,backend/{pack,exact,cpu}}
         backend/cpu/{panels,kernels,kernels/arm})
{
    find "${folders[@]/#/src/}" -maxdepth 1 -name '*.c' | sort
    ls src/backend/metal/attention{,_list}.c
} | while read -r source; do
    case $source in
        *_sme.c) continue ;;        # gcc 12 has no streaming mode
        *_neon.c) arch=-march=armv8.2-a+dotprod+fp16 ;;
        *_i8mm.c) arch=-march=armv8.2-a+dotprod+fp16+i8mm ;;
        *) arch=-march=armv8-a ;;
    esac
    object=${source#src/}
    echo "$arch -c $source -o $build/${object//\//_}.o"
done > $build/sources
rm -f $build/*.o $build/*.a $build/test_*
xargs -P "$jobs" -L 1 $cc "${flags[@]}" < $build/sources
for name in kquant 32; do     # its outer products in plain C
    $cc "${flags[@]}" -DSME_EMULATED -include tests/kernels/sme_plain.h \
        -Dcpu_product_${name}_sme=emulated_product_${name}_sme \
        -c src/backend/cpu/kernels/arm/product_${name}_sme.c -o $build/emulated_$name.o
done
aarch64-linux-gnu-ar rcs $build/kernels.a $build/*.o

if [ $# = 0 ]; then
    # The longest first. The exact backend is plain C for every processor, and slow under qemu; so
    # is the self-test, which holds the kernels against it as test_backend does. CUDA's order of
    # weights is plain C, too.
    set -- test_backend_invariance test_attention
    for source in tests/kernels/test_*.c; do
        source=${source##*/}
        case " $* test_exact test_self_test test_cuda_tiles " in
            *" ${source%.c} "*) ;;
            *) set -- "$@" "$source" ;;
        esac
    done
fi
tests=("${@%.c}")
printf "%s\n" "${tests[@]}" |
    xargs -P "$jobs" -I{} $cc "${flags[@]}" tests/kernels/{}.c -static -o $build/{} \
        $build/kernels.a -lm -pthread
printf "%s\n" "${tests[@]}" |
    xargs -P "$jobs" -I{} sh -c 'qemu-aarch64 -cpu max "$1/$2" > "$1/$2.log" 2>&1 || {
        echo "neon: $2 failed:" >&2; tail -5 "$1/$2.log" >&2; exit 1; }' sh $build {}
echo "neon: passed under qemu-aarch64 -cpu max: ${tests[*]} (${SECONDS}s)"
