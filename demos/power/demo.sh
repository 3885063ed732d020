#!/usr/bin/env bash
# The demo from a fresh clone: nobody looks at a compiler for ten minutes.
#
# While Kubernetes' programs are built in the background, the row is shown in virtual
# time; the live row follows. Where the programs are there already, it comes at once.
# Arguments go to `loadline demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."

LOG=build/programs.log
MISSED=1 # loadline's exit code for a check that was missed; not a reason to stop here

build_behind_a_virtual_row() {
  local build
  mkdir -p build
  set -m # a process group of its own, which Ctrl-C here doesn't reach and the trap does
  nice python -m testbed.cluster build >/dev/null 2>"$LOG" &
  build=$!
  set +m
  # shellcheck disable=SC2064
  trap "kill -- -$build 2>/dev/null || true" EXIT
  echo "The live row needs Kubernetes' programs; they are being built once, which takes minutes."
  echo "Meanwhile, the same row in virtual time:"
  loadline demo --virtual --out build/demo-virtual || [[ $? == "$MISSED" ]]
  if kill -0 "$build" 2>/dev/null; then
    echo "Building on; the live row comes next:"
    tail --pid="$build" --lines=1 --follow "$LOG"
  fi
  wait "$build" || {
    cat "$LOG" >&2
    exit 2
  }
  trap - EXIT
}

python -c 'import sys; from testbed.cluster import binaries; sys.exit(bool(binaries.missing()))' ||
  build_behind_a_virtual_row
exec loadline demo "$@"
