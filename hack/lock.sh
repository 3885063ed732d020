#!/usr/bin/env bash
# Resolves pyproject.toml into requirements/: pinned, hashed, and naming no index.
#
# dev.txt is resolved first, for every extra and group at once; the others are parts of
# it, so that an image runs what the tests ran. Pins that still fit stay; with
# `make lock UPGRADE=1` they don't.
set -euo pipefail
cd "$(dirname "$0")/.."

upgrade=()
[[ -z ${UPGRADE-} ]] || upgrade=(--upgrade)

lock() {
  local name=$1 purpose=$2 draft
  shift 2
  draft=$(mktemp)
  [[ ! -f requirements/$name.txt ]] || cp "requirements/$name.txt" "$draft"
  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
    --no-emit-index-url --no-emit-find-links "$@" --output-file "$draft" >/dev/null
  { printf '# %s Written by `make lock`.\n' "$purpose" && grep -v '^# .*`make lock`' "$draft"; } >"requirements/$name.txt"
  rm "$draft"
  if grep -q '://' "requirements/$name.txt"; then
    echo "error: requirements/$name.txt names a host" >&2
    exit 1
  fi
  echo "requirements/$name.txt: $(grep -c '^[a-z].*==' "requirements/$name.txt") packages"
}

part() {
  local name=$1 purpose=$2
  shift 2
  lock "$name" "$purpose" --no-annotate --constraint requirements/dev.txt "$@"
}

lock dev "What a checkout is worked on and tested with: all extras but vllm, all groups." \
  --extra operator --extra agent --extra sim --group test --group lint --group build "${upgrade[@]}" pyproject.toml
part base "The distribution without extras: what a worker needs beside its engine." pyproject.toml
part operator "The operator: loadline[operator]." --extra operator pyproject.toml
part agent "The agent: loadline[agent]." --extra agent pyproject.toml
part sim "Simulator and command line: loadline[sim]." --extra sim pyproject.toml
part uv "The installer, for machines without one." - <<<"uv"
