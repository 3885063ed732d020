"""
Scripts: what happens in an order and a rhythm that have hurt before, or that only an order makes hurt.

Events that come independently of each other seldom meet: a lease time is edited, all limits are
free, and the leader dies just as the load comes. A script says what follows what and leaves whom,
when exactly, and on what network to chance.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Literal

Whom = Literal["one", "few", "most", "all", "some", "other"] | int
"""One node, the same few, the same most, all, each by a coin of its own, one that isn't
of the few; or an event's own index."""


@dataclass(frozen=True, slots=True)
class Step:
    """After so many seconds (between the two), a kind of event befalls them, at once."""

    least_s: float
    most_s: float
    kind: str
    whom: Whom = "one"


@dataclass(frozen=True, slots=True)
class Script:
    """Steps, and how often they are taken; messages take up to one of `delays_s` each,
    and one of `policies` decides."""

    steps: tuple[Step, ...]
    times: int = 1
    delays_s: tuple[float, ...] = (0.02, 0.02, 0.5, 3.0)
    policies: tuple[str, ...] = ("careless", "careless", "careless", "polca", "static-cap")


QUICK: Final = (0.02,)
"""As on one switch."""

MOSTLY_QUICK: Final = (0.02, 0.02, 0.5)
MOSTLY_CARELESS: Final = ("careless", "careless", "polca")
"""For rows in which nodes die: what a slow network or a careful policy would hide."""

LONGEST_LEASE, LONG_LEASE = 5, 3
"""Indices of the event «timings»: 30 s, which S2 refuses, and 6 s, which it bears."""

SCRIPTS: Final[Mapping[str, Script]] = {
    "load comes and goes": Script(
        (Step(5.0, 12.0, "idle"), Step(5.0, 12.0, "worst")),
        times=7,
        delays_s=QUICK,
    ),
    "load comes in bursts": Script(
        (Step(1.0, 4.0, "idle"), Step(4.0, 12.0, "worst")),
        times=9,
        delays_s=QUICK,
    ),
    "the leader dies in each burst": Script(
        (
            Step(1.0, 6.0, "idle"),
            Step(6.0, 12.0, "worst"),
            Step(0.0, 1.5, "kill leader"),
            Step(3.0, 6.0, "restart", "all"),
        ),
        times=9,
        delays_s=QUICK,
    ),
    "leases become long, and nobody leads when the load comes": Script(
        (
            Step(0.0, 1.0, "idle"),
            Step(0.0, 1.0, "timings", LONGEST_LEASE),
            Step(15.0, 30.0, "api"),
            Step(0.0, 1.0, "kill leader"),
            Step(0.0, 0.3, "worst"),
        ),
        delays_s=QUICK,
    ),
    "leases become longer": Script((Step(0.0, 2.0, "timings", LONG_LEASE), Step(10.0, 20.0, "mixed"))),
    "many die one after the other": Script(
        (Step(3.0, 15.0, "idle"), Step(5.0, 12.0, "kill with guard", "some"), Step(0.0, 10.0, "worst")),
        times=3,
        delays_s=MOSTLY_QUICK,
        policies=MOSTLY_CARELESS,
    ),
    "many die at once": Script(
        (
            Step(0.0, 0.1, "idle"),
            Step(10.0, 20.0, "kill with guard", "few"),
            Step(0.0, 5.0, "worst"),
            Step(60.0, 60.0, "restart", "few"),
        ),
        delays_s=MOSTLY_QUICK,
        policies=MOSTLY_CARELESS,
    ),
    "many are switched off and on": Script(
        (Step(0.0, 0.1, "worst"), Step(20.0, 30.0, "reboot", "few"), Step(50.0, 60.0, "worst")),
        delays_s=MOSTLY_QUICK,
        policies=MOSTLY_CARELESS,
    ),
    "many are switched off and on, and no agent comes back": Script(
        (
            Step(0.0, 0.1, "worst"),
            Step(15.0, 30.0, "boot without agent", "few"),
            Step(60.0, 90.0, "worst"),
        ),
        delays_s=MOSTLY_QUICK,
        policies=MOSTLY_CARELESS,
    ),
    "members come and go at once": Script(
        (
            Step(0.0, 1.0, "idle"),
            Step(5.0, 10.0, "member", "few"),
            Step(10.0, 15.0, "member", "few"),
            Step(0.5, 2.0, "member", "few"),
            Step(45.0, 50.0, "idle"),
        ),
        delays_s=(0.3, 0.4),
    ),
    "members leave a busy row": Script(
        (Step(0.0, 10.0, "worst"), Step(10.0, 30.0, "member", "one")), times=2
    ),
    "strangers write for minutes": Script(
        (
            Step(0.0, 1.0, "worst"),
            *(Step(0.0, 2.0, "cron", "most") for _ in range(2)),
            Step(57.0, 60.0, "worst"),
        ),
        times=2,
    ),
    "drivers are loaded anew again and again": Script(
        (
            Step(5.0, 9.0, "worst"),
            Step(0.0, 1.0, "driver reload"),
            Step(5.0, 9.0, "driver reload", "other"),
        ),
        times=6,
        delays_s=QUICK,
        policies=MOSTLY_CARELESS,
    ),
    "two lead": Script(
        (
            Step(2.0, 8.0, "idle"),
            Step(0.0, 4.0, "pause leader"),
            Step(0.0, 4.0, "usurp", "some"),
            Step(0.0, 4.0, "worst"),
        ),
        times=6,
    ),
    "a leader loses the API server and leads on": Script(
        (
            Step(10.0, 20.0, "worst"),
            Step(0.0, 10.0, "cut off leader"),
            Step(10.0, 30.0, "idle"),
            Step(10.0, 20.0, "worst"),
            Step(5.0, 10.0, "reconnect"),
        ),
        times=2,
        delays_s=QUICK,
        policies=("polca",),
    ),
    "a member joins while another is out of reach": Script(
        (
            Step(0.0, 1.0, "idle"),
            Step(5.0, 10.0, "member", "few"),
            Step(10.0, 15.0, "isolate", "other"),
            Step(0.0, 1.0, "member", "few"),
            Step(10.0, 20.0, "worst"),
            Step(5.0, 30.0, "reconnect"),
        ),
        delays_s=QUICK,
    ),
    "the budget and the members are edited": Script(
        (
            Step(0.0, 10.0, "budget"),
            Step(0.0, 4.0, "member", "some"),
            Step(0.0, 4.0, "isolate"),
            Step(3.0, 20.0, "reconnect"),
        ),
        times=4,
    ),
}


def written(random: Random, script: Script, *, nodes: int) -> Iterator[tuple[float, str, int]]:
    """Times, kinds and indices of a script's events in a row of so many nodes."""
    mixed = random.sample(range(nodes), nodes)
    few, most = mixed[: random.randint(1, (nodes - 1) // 2)], mixed[: random.randint(nodes // 2 + 1, nodes)]
    at_s = 0.0
    for _ in range(script.times):
        for step in script.steps:
            at_s += random.uniform(step.least_s, step.most_s)
            for index in _indices(step.whom, random, mixed, few=few, most=most):
                yield round(at_s, 3), step.kind, index


def _indices(
    whom: Whom, random: Random, nodes: Sequence[int], *, few: Sequence[int], most: Sequence[int]
) -> Sequence[int]:
    match whom:
        case int():
            return (whom,)
        case "one":
            return few[:1]
        case "other":
            return nodes[-1:]
        case "few":
            return few
        case "most":
            return most
        case "all":
            return nodes
        case "some":
            return [index for index in nodes if random.random() < 0.3]
