#!/usr/bin/env bash
# Makes an installed tree one that runs wherever it is unpacked, on Linux with a C library at least
# as new as this machine's: libraries that are not the C library's own are put into lib/paceline,
# and program and library look there first.
#
#   cmake --install build/release --prefix TREE && scripts/relocatable.sh TREE
set -euo pipefail

fail() { echo "relocatable: $*" >&2; exit 1; }

[ $# = 1 ] && [ -x "$1/bin/paceline" ] ||
    fail "an installed tree is wanted: scripts/relocatable.sh TREE"
command -v patchelf > /dev/null || fail "patchelf is missing: apt-get install patchelf"
tree=$(cd "$1" && pwd)
library=$(find "$tree" -name 'libpaceline.so.*' -type f)
[ -n "$library" ] || fail "$1 has no libpaceline.so"
of_libc='^(linux-vdso|ld-linux.*|lib(c|m|dl|rt|pthread|resolv|util|mvec|nsl|anl))\.so'

mkdir -p "$tree/lib/paceline"
for file in "$tree/bin/paceline" "$library"; do
    ldd "$file" | awk '/=> \// {print $1, $3}' | while read -r name path; do
        [[ $name =~ $of_libc ]] || cp -uL "$path" "$tree/lib/paceline/$name"
    done
done
chmod -R u+w,go=rX "$tree/lib/paceline"
# RPATH, not RUNPATH: it counts for what the libraries want of each other, too
patchelf --force-rpath --set-rpath '$ORIGIN/../lib/paceline' "$tree/bin/paceline"
patchelf --force-rpath --set-rpath "\$ORIGIN/$(realpath --relative-to="$(dirname "$library")" \
    "$tree/lib/paceline")" "$library"
