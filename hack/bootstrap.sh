#!/usr/bin/env bash
# Makes .venv what requirements/dev.txt says, from nothing but a Python and its pip.
#
# uv does the work. Where there is none on PATH, the pinned one is put into the cache,
# outside the checkout; `--target` needs neither venv nor a pip that may touch the system.
# hatchling and uv are pinned in dev.txt too: the project itself is installed without
# build isolation, so that nothing comes in unhashed.
set -euo pipefail
cd "$(dirname "$0")/.."

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 2
}

python() {
  local name
  for name in "${PYTHON:-python3}" python3.11 python3.12 python3.13 python3.14; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      "$name" -c 'import sys; print(sys.executable)'
      return
    fi
  done
  fail "no Python of 3.11 or newer on PATH" "install one, or name it: make PYTHON=/path/to/python3"
}

uv() {
  local found version target
  found=$(type -P uv || true)
  if [[ -n $found ]] && "$found" --version >/dev/null 2>&1; then
    echo "$found"
    return
  fi
  version=$(sed -n 's/^uv==\([0-9.]*\).*/\1/p' requirements/uv.txt)
  target=${XDG_CACHE_HOME:-$HOME/.cache}/loadline/uv/$version
  if [[ ! -x $target/bin/uv ]]; then
    echo "installing uv $version from PyPI" >&2
    rm -rf "$target" "$target.$$"
    PIP_ROOT_USER_ACTION=ignore "$1" -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/uv.txt --target "$target.$$" >&2 ||
      fail "uv could not be installed by $1's pip" "install pip (python3-pip) or uv, and have PyPI reachable"
    mv "$target.$$" "$target"
  fi
  echo "$target/bin/uv"
}

python=$(python)
uv=$(uv "$python")
export VIRTUAL_ENV="$PWD/.venv" UV_NO_PROGRESS=${UV_NO_PROGRESS-1} UV_LINK_MODE=${UV_LINK_MODE-copy}
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "making .venv with $("$python" --version), some 85 packages" >&2
  "$uv" venv --quiet --clear --python "$python" .venv
fi
"$uv" pip sync --quiet --require-hashes requirements/dev.txt
"$uv" pip install --quiet --no-deps --no-build-isolation --editable .
touch .venv/.ready
