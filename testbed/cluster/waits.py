"""
How test bed, demos and benchmarks wait: as long as something moves, and with an answer to «why?» at the end.

A build, an engine that loads a model or an agent on each of fifty nodes takes as long as the machine
lets it, and on a busy machine several times as long as on an idle one. So patience is not a length of time
but a length of standstill: who waits reports what it sees, each change begins the patience anew, up to
a bound, and each is shown. Who gives up reports what it saw last, and whatever `why` can add: the pod,
the end of its log, the next command.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from testbed.cluster.errors import BedError

T = TypeVar("T")

LOOK_EVERY_S: Final = 1.0
"""How often at most it is looked whether something moves: that may cost a request, or a log."""

MOST: Final = 6.0
"""How many times the patience it may take while something moves, unless the caller has another bound."""


class GaveUp(BedError):
    """What was waited for didn't come; the text has what was seen last, and what to look at next."""


def wait_for(
    found: Callable[[], T | None],
    what: str,
    *,
    standstill_s: float,
    most_s: float | None = None,
    seen: Callable[[], str] | None = None,
    show: Callable[[str], None] = lambda text: None,
    why: Callable[[], str] = lambda: "",
    every_s: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """What `found` gives once it is not None; GaveUp after `standstill_s` seconds without progress.

    For something that is so or isn't, `lambda: holds() or None` is what `found` may be.
    Progress is that `seen` gives another text than before; `show` gets each. Where nothing is `seen`
    the patience is simply over after that time. `why` is asked once, at the end.
    """
    began_s = moved_s = looked_s = clock()
    most_s = most_s if most_s is not None else standstill_s * (MOST if seen is not None else 1.0)
    last = ""
    while (value := found()) is None:
        now_s = clock()
        if seen is not None and (now_s - looked_s >= LOOK_EVERY_S or not last):
            looked_s, text = now_s, seen()
            if text != last:
                last, moved_s = text, now_s
                show(text)
        if now_s - moved_s > standstill_s or now_s - began_s > most_s:
            raise GaveUp(
                _complaint(what, waited_s=now_s - began_s, still_s=now_s - moved_s, last=last, why=why)
            )
        sleep(every_s)
    return value


def eventually(
    holds: Callable[[], bool],
    limit_s: float = 30.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Whether something was so within the limit, at one look: what comes and goes was so."""
    try:
        return wait_for(
            lambda: holds() or None, "it", standstill_s=limit_s, every_s=0.02, clock=clock, sleep=sleep
        )
    except GaveUp:
        return False


def states_of(pods: Iterable[Mapping[str, Any]]) -> str:
    """The pods' phases, and of each container whether it is ready or what it waits for: it shows progress."""
    return "; ".join(_state_of(pod) for pod in pods) or "no pods"


def _state_of(pod: Mapping[str, Any]) -> str:
    status = pod.get("status", {})
    containers = [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
    states = ", ".join(f"{one['name']} {_container_state(one)}" for one in containers)
    name, phase = pod["metadata"]["name"], status.get("phase", "not yet seen by the scheduler")
    return f"{name} {phase}" + (f" ({states})" if states else "")


def _container_state(status: Mapping[str, Any]) -> str:
    if status.get("ready"):
        return "ready"
    state: Mapping[str, Mapping[str, Any]] = status.get("state") or {"unknown": {}}
    kind, detail = next(iter(state.items()))
    return str(detail.get("reason", kind))


def _complaint(what: str, *, waited_s: float, still_s: float, last: str, why: Callable[[], str]) -> str:
    still = f", the last {still_s:.3g} s of them without progress" if last else ""
    lines = [f"{what}: gave up after {waited_s:.3g} s{still}"]
    lines += [f"last state: {last}"] if last else []
    lines += [reason] if (reason := why()) else []
    return "\n".join(lines)
