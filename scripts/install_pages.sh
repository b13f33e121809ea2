#!/usr/bin/env bash
# Writes manual pages and shell completions, as the program prints them, below a prefix.
#
#   scripts/install_pages.sh PACELINE PREFIX
set -euo pipefail
[ $# = 2 ] || { echo "usage: scripts/install_pages.sh PACELINE PREFIX" >&2; exit 2; }
paceline=$1
share=$2/share

mkdir -p "$share"/{man/man1,bash-completion/completions,zsh/site-functions} \
    "$share/fish/vendor_completions.d"
"$paceline" man > "$share/man/man1/paceline.1"
"$paceline" --help | sed -n 's/^  \([a-z-]\{1,\}\) .*/\1/p' | while read -r command; do
    "$paceline" man "$command" > "$share/man/man1/paceline-$command.1"
done
"$paceline" completion bash > "$share/bash-completion/completions/paceline"
"$paceline" completion zsh > "$share/zsh/site-functions/_paceline"
"$paceline" completion fish > "$share/fish/vendor_completions.d/paceline.fish"
