"""
Gives a node back what was found on it, by a person's word instead of its coordinator's.

Release is the coordinator's word, since a node that rises alone may rise past the
budget. But a node whose agent was uninstalled, or whose domain is gone, hears no
coordinator, and one in a row that is always full waits for ever: then a person says so, here. Where
an agent holds the state directory it is told to release, with `--now` only: a domain that
still enforces and selects the node would arm it again.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from loadline_agent.boot_clock import boottime
from loadline_agent.hardware import armed_records
from loadline_agent.hardware.armed_records import ArmedRecordFile
from loadline_agent.hardware.limits import SETTLE_S
from loadline_agent.hardware.node_gpus import NodeGpus
from loadline_agent.hardware.release_orders import FRESH_S, Answer, ReleaseOrders
from loadline_agent.locks import exclusive
from loadline_api.names import STATE_DIRECTORY
from loadline_policies.errors import InvalidInput, LoadlineError
from loadline_policies.power.protocol.release_tries import TRIES

STATE_VARIABLE = "LOADLINE_STATE_DIR"
"""As the agent's own setting is called, so that its container knows it."""

TIME_S = 60.0
"""How long the guard is held off while limits go back."""

ANSWER_S = 30.0
"""How long an agent may take that has taken an order: three tries, on GPUs that answer slowly. Chosen."""

LOOK_S = 0.1

NOTHING = "nothing to release: no limits of ours are in force"


def main(arguments: Sequence[str]) -> int:
    """Restore and disarm; 1 if something was left as it is, 2 for a wrong command line."""
    given = _parser().parse_args(arguments)
    directory = Path(given.state)
    try:
        armed_records.prepare(str(directory))
        return _release_or_order(directory, now=given.now)
    except (LoadlineError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadline-agent release",
        description="Give back the limits that were found before the first write, and disarm the node.",
        epilog="It asks for no headroom: see first that the breaker bears all that the node may draw then."
        " Exit codes: 0 released, or nothing to release; 1 something was left as it is, with both watts.",
    )
    parser.add_argument(
        "--state",
        metavar="DIR",
        default=os.environ.get(STATE_VARIABLE, STATE_DIRECTORY),
        help=f"the agent's state directory; ${STATE_VARIABLE} or {STATE_DIRECTORY} unless told",
    )
    parser.add_argument(
        "--now", action="store_true", help="also where an agent runs: it releases the node at once"
    )
    return parser


def _release_or_order(directory: Path, *, now: bool) -> int:
    with ExitStack() as stack:
        try:
            stack.enter_context(exclusive(directory))
        except InvalidInput as error:
            if now:
                return _order(directory)
            hint = "or add --now to have it release the node at once, without asking for headroom"
            print(f"error: {error}; {hint}", file=sys.stderr)
            return 1
        return _release(directory)


def _release(directory: Path) -> int:
    node_gpus = NodeGpus.open(directory, boottime)
    if not node_gpus.record.armed:
        print(NOTHING)
        return 0
    for _ in range(TRIES):
        done = node_gpus.restore(boottime() + TIME_S)
        if not node_gpus.record.armed:
            break
        time.sleep(SETTLE_S)
    for error in done.errors:
        print(f"error: {error}", file=sys.stderr)
    return _tell(Answer(not node_gpus.record.armed, node_gpus.left))


def _order(directory: Path) -> int:
    """Have the agent that runs here do it."""
    boot = armed_records.boot_id()
    record = ArmedRecordFile(str(directory), boot)
    domain = record.read().domain
    if not record.read().armed:
        print(NOTHING)
        return 0
    orders = ReleaseOrders(directory, boot=boot, clock=boottime)
    orders.give()
    answer, began_s = None, boottime()
    while answer is None and boottime() - began_s < FRESH_S + ANSWER_S:
        time.sleep(LOOK_S)
        answer = orders.answered()
    if answer is None:
        orders.take_back()
        print("error: the agent hasn't answered; end it, and run the same again", file=sys.stderr)
        return 1
    code = _tell(answer)
    if domain:
        print(f"PowerDomain {domain} arms it again as long as it selects this node and is in mode Enforce")
    return code


def _tell(answer: Answer) -> int:
    if not answer.released:
        print("not released: limits couldn't be given back in time", file=sys.stderr)
        return 1
    print("released")
    for sentence in answer.left:
        print(sentence, file=sys.stderr)
    return int(bool(answer.left))
