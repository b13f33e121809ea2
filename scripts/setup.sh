#!/usr/bin/env bash
# Installs what building and running paceline needs and is not there yet, with apt-get (Debian,
# Ubuntu) or brew (macOS), and says what and why before it does. A second run finds all there.
#
#   scripts/setup.sh [--tests] [--cuda]
#       --tests: also what scripts/test.sh needs, Python packages included (in a virtual environment
#                under ~/.cache/paceline)
#       --cuda:  also NVIDIA's compiler for GPUs' kernels, from pip (300 MB, into another one there)
set -euo pipefail
cd "$(dirname "$0")/.."

fail() { echo "setup: $*" >&2; exit 1; }

tests=false
cuda=false
for option; do
    case $option in
        --tests) tests=true ;;
        --cuda) cuda=true ;;
        *) fail "unknown option $option; usage: scripts/setup.sh [--tests] [--cuda]" ;;
    esac
done

MIN_RUST=87                     # 1.87: what the crates of rust/Cargo.lock ask for
wanted=()                       # packages to install
reasons=()                      # "package: why", in the same order

want() { wanted+=("$1"); reasons+=("$1: $2"); }

# rust_minor: 96 of "cargo 1.96.0", nothing where there is no cargo.
rust_minor() { cargo --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p'; }

rust_is_missing() {
    command -v cargo > /dev/null || return 0
    local minor
    minor=$(rust_minor)
    [ -n "$minor" ] && [ "$minor" -ge $MIN_RUST ] && return 1
    case $(command -v cargo) in
        /usr/bin/cargo) return 0 ;;     # the system's own: its newer package replaces it
        *) fail "$(cargo --version 2>&1 | head -1) is too old, 1.$MIN_RUST is needed:" \
            "rustup update" ;;
    esac
}

say_why() {
    echo "setup: $1 installs"
    printf '  %s\n' "${reasons[@]}"
}

# ---- Debian and its kin ----------------------------------------------------------------------

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo "$@"
    fi
}

apt_has() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

apt_need() { apt_has "$1" || want "$1" "$2"; }

# The minor version of a package that apt offers: 96 of 1.96.0+dfsg1, nothing where there is none.
apt_offers() {
    apt-cache policy "$1" | sed -n 's/^ *Candidate: \(.*:\)\{0,1\}1\.\([0-9]*\)\..*/\2/p'
}

apt_lists_are_fresh=false

apt_refresh() {
    $apt_lists_are_fresh && return
    if [ "$(id -u)" != 0 ] && ! command -v sudo > /dev/null; then
        fail "missing: ${wanted[*]:-rust}; there is no sudo, so run this as root"
    fi
    echo "setup: reading the package lists (apt-get update), because packages are missing"
    as_root apt-get update -qq || fail "apt-get update failed"
    apt_lists_are_fresh=true
}

apt_want_rust() {
    apt_refresh
    local suffix minor
    for suffix in "" -web; do
        minor=$(apt_offers "cargo$suffix")
        if [ -n "$minor" ] && [ "$minor" -ge $MIN_RUST ]; then
            want "cargo$suffix" "builds the Rust shim (templates, grammars), 1.$MIN_RUST or newer"
            want "rustc$suffix" "the Rust compiler"
            return
        fi
    done
    fail "apt offers no Rust 1.$MIN_RUST or newer: install it from https://rustup.rs"
}

apt_want_tests() {
    apt_need libcmocka-dev "C unit tests"
    apt_need python3-venv "an environment for the tests' Python packages"
    apt_need clang "fuzzing"
    apt_need man-db "manual pages are read as man(1) reads them"
    apt_need python3-dev "the Python package of the library is compiled"
    # HAProxy itself is unpacked: installing it would start a service
    local library haproxy=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/haproxy/usr/sbin/haproxy
    if ! command -v haproxy > /dev/null && ! "$haproxy" -v > /dev/null 2>&1; then
        apt_refresh
        for library in $(apt-cache depends haproxy |
            sed -n 's/.*Depends: \(lib[a-z]*\(lua\|opentracing\)[^ ]*\)$/\1/p'); do
            apt_need "$library" "of HAProxy, which a test puts before three servers"
        done
    fi
    apt_need lintian "Debian packages are checked"
    apt_need dpkg-dev "likewise: what they depend on"
    apt_need patchelf "the tree that runs anywhere is made with it"
    command -v systemd-analyze > /dev/null || want systemd "units are verified"
    command -v chromium > /dev/null || want chromium "pages are opened in a real browser"
    apt_need zsh "completions are loaded as this shell does"
    apt_need fish "likewise"
    apt_need tmux "the monitor is tested in it"
    # The fuzzer's runtime is packaged by version.
    local major
    if command -v clang > /dev/null; then
        major=$(clang -dumpversion)
    else
        apt_refresh
        major=$(apt-cache depends clang | sed -n 's/.*Depends: clang-\([0-9]*\)$/\1/p')
    fi
    [ -z "$major" ] || apt_need "libclang-rt-${major%%.*}-dev" "fuzzing: the runtime"
    if [ "$(uname -m)" = x86_64 ]; then
        apt_need gcc-aarch64-linux-gnu "compiles the NEON kernels here"
        apt_need libc6-dev-arm64-cross "headers for that"
        apt_need qemu-user "runs the NEON kernels here"
        apt_need clang-19 "compiles the Metal backend for an emulated GPU"
        apt_need libclang-rt-19-dev "likewise"
        apt_need llvm-19 "likewise"
        apt_need libgnustep-base-dev "Objective-C's classes, for that"
        apt_need libobjc-12-dev "its runtime"
        apt_need libblocksruntime-dev "its blocks"
    fi
}

setup_apt() {
    apt_need ca-certificates "downloads of crates and models"
    apt_need gcc "the C compiler"
    apt_need libc6-dev "the C library's headers"
    apt_need cmake "the build"
    apt_need ninja-build "the build"
    apt_need pkg-config "finds the libraries"
    apt_need libmicrohttpd-dev "HTTP"
    apt_need libjansson-dev "JSON"
    apt_need libpcre2-dev "the tokenizers' patterns"
    apt_need libxxhash-dev "checksums of model files and of the pack cache"
    apt_need libncurses-dev "the monitor"
    apt_need libedit-dev "line editing and history of paceline run"
    apt_need libgnutls28-dev "TLS of the server, SHA-256 of what is pulled"
    # any flavour of the library will do: what is there stays
    pkg-config --exists libcurl 2> /dev/null \
        || want libcurl4-openssl-dev "downloads, load generator"
    command -v npm > /dev/null || want npm "bundles the pages for browsers"
    command -v python3 > /dev/null || want python3 "scripts"
    python3 -m pip --version > /dev/null 2>&1 || want python3-pip "fetches the models"
    if rust_is_missing; then apt_want_rust; fi
    if $tests; then apt_want_tests; fi
    [ ${#wanted[@]} -gt 0 ] || return 0

    apt_refresh
    say_why apt-get
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${wanted[@]}" > /dev/null ||
        fail "apt-get could not install: ${wanted[*]}"
    hash -r
    if rust_is_missing; then fail "cargo is still missing after the installation"; fi
}

# ---- macOS -----------------------------------------------------------------------------------

brew_need() { [ -d "$prefix/opt/$1" ] || want "$1" "$2"; }

setup_brew() {
    xcode-select -p > /dev/null 2>&1 \
        || fail "no C compiler: run xcode-select --install, then this again"
    command -v brew > /dev/null \
        || fail "no brew: install it from https://brew.sh, then run this again"
    local prefix
    prefix=$(brew --prefix)
    command -v cmake > /dev/null || brew_need cmake "the build"
    command -v ninja > /dev/null || brew_need ninja "the build"
    command -v pkg-config > /dev/null || brew_need pkgconf "finds the libraries"
    brew_need libmicrohttpd "HTTP"
    brew_need jansson "JSON"
    brew_need pcre2 "the tokenizers' patterns"
    brew_need xxhash "checksums of model files and of the pack cache"
    # curl and ncurses are the system's: brew's pkgconf knows them, and brew's own are kept apart
    brew_need gnutls "TLS of the server, SHA-256 of what is pulled"
    command -v npm > /dev/null || brew_need node "bundles the pages for browsers"
    # numpy's current wheels want 3.11, the system's Python is older.
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null ||
        brew_need python "scripts, and fetching the models"
    if rust_is_missing; then
        want rust "builds the Rust shim (templates, grammars), 1.$MIN_RUST or newer"
    fi
    if $tests; then
        brew_need cmocka "C unit tests"
        brew_need llvm "fuzzing: Apple's compiler has no fuzzer runtime"
        brew_need tmux "the monitor is tested in it"
        brew_need prometheus "alert rules and boards are tested with it"
    fi
    [ ${#wanted[@]} -gt 0 ] || return 0

    say_why brew
    brew install --quiet "${wanted[@]}" || fail "brew could not install: ${wanted[*]}"
}

# ---- Prometheus and HAProxy for the tests ----------------------------------------------------

# unpack PACKAGE WHY PROGRAM...: Debian's package is unpacked, not installed: installing it would
# start a service.
unpack() {
    local package=$1 why=$2 program is_there=true
    local folder=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/$package
    shift 2
    for program; do
        command -v "$program" > /dev/null || [ -x "$folder/usr/bin/$program" ] ||
            [ -x "$folder/usr/sbin/$program" ] || is_there=false
    done
    $is_there && return
    apt_refresh
    echo "setup: unpacks Debian's $package into $folder: $why"
    rm -rf "$folder.part"
    mkdir -p "$folder.part"
    (cd "$folder.part" && apt-get download -qq "$package" > /dev/null &&
        dpkg-deb -x "$package"_*.deb . && rm "$package"_*.deb) ||
        fail "cannot download the package $package"
    rm -rf "$folder"
    mv "$folder.part" "$folder"
}

setup_prometheus() {
    unpack prometheus "alert rules and boards are tested with it" prometheus promtool
    unpack prometheus-alertmanager "delivers alerts in a test" prometheus-alertmanager amtool
    # Debian's build looks for its templates there and nowhere else, whatever is configured.
    local templates=/usr/share/prometheus/alertmanager
    [ -e $templates/default.tmpl ] && return
    echo "setup: copies Alertmanager's templates to $templates"
    as_root mkdir -p $templates
    as_root cp "${XDG_CACHE_HOME:-$HOME/.cache}/paceline/prometheus-alertmanager$templates"/*.tmpl \
        $templates || fail "cannot copy to $templates"
}

# ---- Python packages of the tests ------------------------------------------------------------

# Into a folder of the cache, the packages of a list; what else is given is for pip.
setup_venv() {
    local venv=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/$1 list=$2
    shift 2
    # The list that was installed is kept beside the packages: equal lists need no look at pip.
    if cmp -s "$list" "$venv/requirements.txt" && [ -x "$venv/bin/python" ]; then
        return
    fi
    echo "setup: pip installs Python packages for tests ($list) into $venv"
    python3 -m venv "$venv" || fail "cannot make a virtual environment at $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -r "$list" ||
        fail "pip could not install $list"
    cp "$list" "$venv/requirements.txt"
}

# ---- NVIDIA's compiler -----------------------------------------------------------------------

# CUDA's own nvcc will do; without one, the packages that hold it, of one version.
setup_cuda() {
    command -v nvcc > /dev/null && return
    [ -x /usr/local/cuda/bin/nvcc ] && return
    local venv=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/cuda part bin
    local packages=()
    for part in cuda-nvcc cuda-runtime cuda-cccl cuda-crt nvvm; do
        packages+=("nvidia-$part==13.0.*")
    done
    [ -e "$venv/is_complete" ] && return
    echo "setup: pip installs nvcc and what it needs into $venv: it compiles the CUDA kernels"
    python3 -m venv "$venv" || fail "cannot make a virtual environment at $venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "${packages[@]}" ||
        fail "pip could not install ${packages[*]}"
    for bin in "$venv"/lib/python3*/site-packages/nvidia/cu13/{bin,nvvm/bin}; do
        chmod +x "$bin"/* || fail "cannot make the programs of $bin runnable"
    done
    touch "$venv/is_complete"
}

if command -v apt-get > /dev/null; then
    setup_apt
    if $tests; then
        setup_prometheus
        unpack haproxy "three servers are tested behind it" haproxy
    fi
elif [ "$(uname -s)" = Darwin ]; then
    setup_brew
else
    fail "neither apt-get nor macOS: install cmake, ninja, pkg-config, libmicrohttpd, jansson," \
        "pcre2, xxhash, libcurl, ncurses, libedit, npm, python3 with pip and Rust 1.$MIN_RUST" \
        "yourself"
fi
if $tests; then
    setup_venv venv tests/requirements.txt
    setup_venv clients tests/requirements_clients.txt --no-deps
fi
if $cuda; then setup_cuda; fi
