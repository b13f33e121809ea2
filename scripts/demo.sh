#!/usr/bin/env bash
# From nothing to twenty streams: installs what is needed, builds a release, fetches a small model
# (SmolLM2-135M-Instruct, 98 MB), starts a server with 20 slots, runs 20 chats at once against it,
# prints what was measured and stops the server. A second run repeats only the chats.
#
#   scripts/demo.sh [--streams N] [--max-tokens N]
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh
if [ ! -f build/release/build.ninja ]; then cmake --preset release -DPACELINE_TESTS=OFF; fi
cmake --build --preset release --target paceline
scripts/fetch_models.sh smollm2-135m

model=${XDG_CACHE_HOME:-$HOME/.cache}/paceline/smollm2-135m.gguf
python3 scripts/demo.py --binary build/release/paceline --model "$model" "$@"

cat <<END

What to run next:
  build/release/paceline serve --model $model --parallel 20 --port 8080
  curl http://127.0.0.1:8080/v1/chat/completions -H 'Content-Type: application/json' \\
       -d '{"messages":[{"role":"user","content":"Hello!"}]}'
  build/release/paceline run --model $model
  build/release/paceline bench --model $model
END
