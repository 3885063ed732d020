#!/usr/bin/env bash
# The demo from a fresh clone, where Kubernetes' programs must first be compiled.
#
# While they are compiled in the background, this shows the virtual demo; the live demo follows.
# If the programs are there already, the live demo starts at once. Arguments go to `loadline demo`.
set -euo pipefail
cd "$(dirname "$0")/../.."

LOG=build/programs.log
CHECK_FAILED=1 # loadline's exit code for a failed check, which is no reason to stop here

build_behind_a_virtual_row() {
  local build
  mkdir -p build
  set -m # a process group of its own: Ctrl-C doesn't reach it, the trap ends it
  nice python -m testbed.cluster build >/dev/null 2>"$LOG" &
  build=$!
  set +m
  # shellcheck disable=SC2064
  trap "kill -- -$build 2>/dev/null || true" EXIT
  echo "The live demo needs Kubernetes' programs (API server, etcd, scheduler), which are compiled now: once, for minutes."
  echo "Meanwhile, the same demo in virtual time:"
  loadline demo --virtual --out build/demo-virtual || [[ $? == "$CHECK_FAILED" ]]
  if kill -0 "$build" 2>/dev/null; then
    echo "Still compiling (log: $LOG); the live demo starts afterwards:"
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
