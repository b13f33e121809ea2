#!/usr/bin/env bash
# Writes the Homebrew formula for a tarball of the sources to standard output.
#
#   git archive --prefix=paceline-0.1.0/ -o paceline-0.1.0.tar.gz HEAD
#   deploy/homebrew/formula.sh paceline-0.1.0.tar.gz URL HOMEPAGE > paceline.rb
#
# URL is where Homebrew will find the tarball; file:///... tries it out on one's own machine:
#   brew tap-new me/paceline
#   cp paceline.rb "$(brew --repository me/paceline)/Formula/" && brew install me/paceline/paceline
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "formula.sh: $1" >&2
    exit 1
}

[ $# -eq 3 ] || fail "TARBALL URL HOMEPAGE are wanted; found $# words"
[ -f "$1" ] || fail "$1: no such file"
version=$(sed -n 's/^project(paceline VERSION \([0-9.]*\).*/\1/p' "$here/../../CMakeLists.txt")
case $(basename "$1") in
    *"$version"*) ;;
    *) fail "$1: its name has another version than CMakeLists.txt, $version" ;;
esac
hash=$(sha256sum "$1" 2> /dev/null || shasum -a 256 "$1")

# | is in no URL
sed -e "s|@URL@|$2|" -e "s|@HOMEPAGE@|$3|" -e "s|@VERSION@|$version|" \
    -e "s|@SHA256@|${hash%% *}|" "$here/paceline.rb.in"
