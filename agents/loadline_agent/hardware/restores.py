"""
Gives a node back what was found on it, where no agent runs any more.

Release is the coordinator's word, since a node that rises alone may rise past the
budget. But a node whose agent was uninstalled, or whose domain is gone, hears no
coordinator: then a person says so, here. Refused while an agent holds the state
directory, which would only find its limits taken away.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from loadline_agent.boot_clock import boottime
from loadline_agent.hardware import armed_records
from loadline_agent.hardware.left_gpus import TRIES, left_sentence
from loadline_agent.hardware.limits import SETTLE_S
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.locks import exclusive
from loadline_policies.errors import LoadlineError

TIME_S = 60.0
"""How long the guard is held off while limits go back."""


def main(arguments: Sequence[str]) -> int:
    """`--state DIR`: restore and disarm; 1 if something was left as it is, 2 for a wrong command line."""
    if len(arguments) != 2 or arguments[0] != "--state":
        print("usage: loadline-agent release --state DIR", file=sys.stderr)
        return 2
    try:
        armed_records.prepare(arguments[1])
        with exclusive(Path(arguments[1])):
            return _release(arguments[1])
    except (LoadlineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _release(directory: str) -> int:
    node_gpus = NodeGpus.open(Path(directory), boottime)
    if not node_gpus.record.armed:
        print("nothing to release: no limits of ours are in force")
        return 0
    for _ in range(TRIES):
        done = node_gpus.restore(boottime() + TIME_S)
        if not node_gpus.record.armed:
            break
        time.sleep(SETTLE_S)
    for error in done.errors:
        print(f"error: {error}", file=sys.stderr)
    if node_gpus.record.armed:
        print("not released: limits couldn't be given back in time", file=sys.stderr)
        return 1
    print("released")
    for gpu in node_gpus.record.gpus:
        print(left_sentence(gpu, node_gpus.held.get(gpu.uuid)), file=sys.stderr)
    return int(bool(node_gpus.record.gpus))
