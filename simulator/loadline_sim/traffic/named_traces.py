"""
The traces that a question may name instead of a file: what ships with the simulator, at the length asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from loadline_policies.errors import InvalidInput
from loadline_sim.traffic import arrivals, client_windows, recordings, sessions
from loadline_sim.traffic.traces import Trace

HOUR_S: Final = 3600.0
MOST_HOURS: Final = 24.0 * 7 * 8
AGENTS_PER_HOUR: Final = 60.0
LARGE_FACTOR: Final = 0.05


@dataclass(frozen=True, slots=True)
class NamedTrace:
    """What it is, and its requests of so many seconds by seed; a recording may be shorter than asked for."""

    title: str
    made: Callable[[float, int], Trace]


def named(name: str, *, hours: float, seed: int) -> Trace:
    """The trace of a name, from its first request on; InvalidInput lists the names that there are."""
    if name not in NAMED:
        raise InvalidInput("trace", name, fix=f"name a file, or one of {', '.join(NAMED)}")
    if not 0.0 < hours <= MOST_HOURS:
        raise InvalidInput("hours", hours, fix=f"give a number above 0, up to {MOST_HOURS:g}")
    return NAMED[name].made(hours * HOUR_S, seed).from_first()


def in_words(name: str) -> str:
    """A trace's name, and what it is if it comes with the simulator."""
    return f"`{name}`: {NAMED[name].title}" if name in NAMED else f"`{name}`"


def _azure(service: str) -> Callable[[float, int], Trace]:
    return lambda seconds, seed: recordings.azure_2023()[service].from_first().between(0.0, seconds)


def _clients(seconds: float, seed: int) -> Trace:
    lengths = recordings.azure_2023()["chat"]
    windows = recordings.large_model_clients()
    drawn = client_windows.arrivals(windows, lengths=lengths, seed=seed, factor=LARGE_FACTOR, until_s=seconds)
    return arrivals.merged(list(drawn))


def _agents(seconds: float, seed: int) -> Trace:
    recorded = recordings.agentic_sessions()
    return sessions.drawn(recorded, per_hour=AGENTS_PER_HOUR, duration_s=seconds, seed=seed)


NAMED: Final[Mapping[str, NamedTrace]] = {
    "azure-chat": NamedTrace("Azure 2023, conversation: 19,366 requests of an hour", _azure("chat")),
    "azure-code": NamedTrace("Azure 2023, code: 8,819 requests of an hour", _azure("code")),
    "servegen-large": NamedTrace(
        f"ServeGen, the 20 largest clients of a large model at {LARGE_FACTOR:g} of their rates; lengths are "
        "those of azure-chat",
        _clients,
    ),
    "agents": NamedTrace(
        f"Sessions of a coding agent, {AGENTS_PER_HOUR:g} started an hour; none waits for answers", _agents
    ),
}
