"""
Schedules at random: few kinds of events each, events that have hurt together, or a script.

What many kinds of events hide, few of them find: a row that everything befalls is soon at its
lowest limits, where nothing more can happen to it.
"""

from collections.abc import Iterator
from random import Random
from typing import Final

from testbed.shaken_rows.events import EVENTS
from testbed.shaken_rows.schedules import DOCUMENTS, Event, Schedule
from testbed.shaken_rows.scripts import SCRIPTS, written
from testbed.shaken_rows.truths import SOON_S

THEMES: Final = (
    ("fault", "worst", "idle"),
    ("rival", "worst", "idle"),
    ("setters fail", "one setter fails", "setters are deaf", "worst", "idle"),
    ("kill with guard", "driver reset", "worst", "idle"),
    ("kill leader", "restart", "worst", "mixed", "policy"),
    ("timings", "api", "kill leader", "restart", "worst"),
    ("member", "mode", "observe", "worst", "mixed"),
    ("hostile", "honest", "worst", "outsider"),
    ("reboot", "kill with guard", "restart", "worst"),
    ("stranger", "cron", "driver reset", "worst"),
    ("usurp", "budget", "member", "pause leader"),
    ("lose GPU", "find GPU", "stranger", "worst"),
    ("driver reload", "worst", "idle"),
    ("stop", "resume", "pause", "isolate", "reconnect"),
    ("drill", "no drill", "worst", "idle", "member", "kill leader"),
)


def drawn(seed: int) -> Schedule:
    """A schedule at random: a quarter of them by a script, others of kinds that have hurt together before."""
    random = Random(seed)
    if random.random() < 0.25:
        return _scripted(random, seed)
    kinds = random.sample(sorted(EVENTS), random.randint(2, 9))
    if random.random() < 0.5:
        kinds = [*random.choice(THEMES), *kinds[: random.randint(0, 3)]]
    seconds = random.choice((20.0, 30.0, 45.0))
    nodes = random.choice((4, 4, 5, 6, 8, 10))
    clean = random.random() < 0.5
    return Schedule(
        seed=seed,
        nodes=nodes,
        events=tuple(_events(random, kinds, nodes=nodes, seconds=seconds)),
        seconds=seconds,
        loss=0.0 if clean else random.choice((0.0, 0.05, 0.3)),
        repeat=0.0 if clean else random.choice((0.0, 0.2)),
        most_delay_s=0.02 if clean else random.choice((0.02, 0.5, 3.0)),
        policy=random.choice(sorted(DOCUMENTS)),
        drift=random.choice((0.0, 0.001)),
    )


def overwhelmed(seed: int) -> Schedule:
    """A row that is led and heard, in which more setters die than can be planned for, at any load."""
    random = Random(seed)
    nodes = random.choice((4, 5, 6, 8, 10))
    dying = random.sample(range(nodes), random.randint((nodes + 1) // 2, nodes))
    kinds = ("setters fail", "setters fail", "setters are deaf", "one setter fails")
    times = sorted(round(random.uniform(0.0, 20.0), 3) for _ in dying)
    deaths = [Event(at_s, random.choice(kinds), index) for at_s, index in zip(times, dying, strict=True)]
    load = [Event(0.0, random.choice(("idle", "idle", "mixed")), 0)]
    return Schedule(seed=seed, nodes=nodes, events=tuple(load + deaths), seconds=25.0)


def _events(random: Random, kinds: list[str], *, nodes: int, seconds: float) -> Iterator[Event]:
    """Load first, since a row that draws little breaks nothing."""
    yield Event(0.0, random.choice(("worst", "worst", "mixed", "idle")), 0)
    at_s = random.uniform(0.0, 5.0)
    mean_s = random.choice((0.5, 2.0, 5.0))
    few = random.sample(range(nodes), random.randint(1, nodes))
    while at_s < seconds:
        yield Event(round(at_s, 3), random.choice(kinds), random.choice(few))
        at_s += random.expovariate(1.0 / mean_s)


def _scripted(random: Random, seed: int) -> Schedule:
    """A script, and in a third of the cases one more kind of event meanwhile."""
    script = SCRIPTS[random.choice(sorted(SCRIPTS))]
    nodes = random.choice((4, 5, 6, 8, 10))
    events = [Event(*one) for one in written(random, script, nodes=nodes)]
    seconds = events[-1].at_s + random.choice((1.0, 20.0))
    if random.random() < 0.3:
        events += _events(random, [random.choice(sorted(EVENTS))], nodes=nodes, seconds=seconds)
    delay_s = random.choice(script.delays_s)
    return Schedule(
        seed=seed,
        nodes=nodes,
        events=tuple(sorted(events, key=lambda event: event.at_s)),
        seconds=seconds,
        loss=random.choice((0.0, 0.0, 0.0, 0.05)) if delay_s > SOON_S else 0.0,
        most_delay_s=delay_s,
        policy=random.choice(script.policies),
        drift=random.choice((0.0, 0.001)),
    )
