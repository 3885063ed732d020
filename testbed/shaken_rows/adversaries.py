"""
An adversary that chooses its moment: rules like «whenever it is so, do that», and a search for the worst.

What random events did not find in 2,800 schedules, killing whoever led whenever the row was above
what it bears found in six: a fault hurts at one moment and not at others. So each rule watches the
true row and acts when its moment has come, again after a rest, and undoes what it did after a while.
The search keeps the rules that made the breaker hottest inside the fault budget, and changes them a
little. What it did is a schedule like any other.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from testbed.shaken_rows.rows import CANDIDATES, CURVE, Bench
from testbed.shaken_rows.schedules import CALM_S, Outcome, Play, Schedule
from testbed.shaken_rows.scripts import MOSTLY_CARELESS

TURN_S: Final = 0.1
SECONDS: Final = 120.0

MENDS: Final[Mapping[str, str]] = {
    "kill": "restart",
    "stop": "resume",
    "isolate": "reconnect",
    "kill with guard": "restart",
    "setters fail": "setters work",
    "one setter fails": "setters work",
    "setters are deaf": "setters hear",
    "stranger": "",
    "cron": "",
    "driver reset": "",
    "driver reload": "",
    "reboot": "",
    "pause": "",
    "lose GPU": "find GPU",
    "api": "api",
    "usurp": "",
    "worst": "idle",
    "idle": "worst",
    "mixed": "worst",
    "member": "member",
    "budget": "",
    "timings": "",
    "policy": "",
    "observe": "mode",
    "cut": "reconnect",
    "hostile": "honest",
}
"""What an adversary may do, and what takes it back; nothing where it ends by itself."""


def _above_borne(bench: Bench, level: float) -> bool:
    return bench.load() > CURVE.borne_load


def _load_above(bench: Bench, level: float) -> bool:
    return bench.load() > 0.9 + 0.2 * level


def _load_below(bench: Bench, level: float) -> bool:
    return bench.load() < 0.7 + 0.2 * level


def _rising(bench: Bench) -> list[int]:
    """Nodes of which some limit was asked to rise and isn't in force yet."""
    rising = []
    for index, paper in enumerate(bench.papers):
        pairs = zip(paper.requested_watts(), paper.limits, strict=True)
        if any(asked > limit + 1.0 for asked, limit in pairs):
            rising.append(index)
    return rising


def _arming(bench: Bench) -> list[int]:
    """Nodes that may join and leave and to which an order is on its way that will arm them."""
    return [
        index
        for index, agent in enumerate(bench.agents)
        if index >= CANDIDATES and not agent.record.armed and _ordered(bench, agent.name)
    ]


def _ordered(bench: Bench, name: str) -> bool:
    leaders = [leader for leader in bench.coordinators() if name in leader.members]
    return any(bool(leader.members[name]._ordered) for leader in leaders)


def _joining(bench: Bench, level: float) -> bool:
    return bool(_arming(bench))


def _raising(bench: Bench, level: float) -> bool:
    return bool(_rising(bench))


def _braking(bench: Bench, level: float) -> bool:
    return any(agent.coordinator is not None and agent.coordinator.level == "Brake" for agent in bench.agents)


def _free(bench: Bench, level: float) -> bool:
    """Most limits are at their highest."""
    free = sum(min(paper.limits) > 390.0 for paper in bench.papers)
    return free > level * len(bench.papers)


def _young(bench: Bench, level: float) -> bool:
    """A leader has begun that hasn't heard all."""
    leaders = [agent.coordinator for agent in bench.leaders()]
    return any(leader is not None and not leader.members.acquainted for leader in leaders)


def _leaderless(bench: Bench, level: float) -> bool:
    return not bench.leaders()


def _always(bench: Bench, level: float) -> bool:
    return True


TRIGGERS: Final[Mapping[str, Callable[[Bench, float], bool]]] = {
    "above borne": _above_borne,
    "load above": _load_above,
    "load below": _load_below,
    "joining": _joining,
    "raising": _raising,
    "braking": _braking,
    "free": _free,
    "young leader": _young,
    "nobody leads": _leaderless,
    "always": _always,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Whenever `when` is so (by `level`, 0 to 1), do `kind` to `whom`, undo it after `back_s`, then rest."""

    when: str
    level: float
    kind: str
    whom: str
    back_s: float
    rest_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Rules that are played together, on a network on which messages take up to `delay_s`."""

    rules: tuple[Rule, ...]
    delay_s: float = 0.02


KNOWN: Final = (
    Attack(rules=(Rule(when="above borne", level=0.0, kind="kill", whom="leader", back_s=5.0, rest_s=0.2),)),
    Attack(rules=(Rule(when="above borne", level=0.0, kind="pause", whom="leader", back_s=1.0, rest_s=1.0),)),
    Attack(rules=(Rule(when="braking", level=0.0, kind="policy", whom="node", back_s=1.0, rest_s=1.0),)),
    Attack(
        rules=(
            Rule(when="raising", level=0.0, kind="kill with guard", whom="node", back_s=20.0, rest_s=30.0),
        )
    ),
    Attack(
        rules=(
            Rule(when="raising", level=0.0, kind="kill with guard", whom="rising", back_s=60.0, rest_s=0.0),
        )
    ),
    Attack(
        rules=(
            Rule(when="load below", level=0.9, kind="setters fail", whom="node", back_s=20.0, rest_s=30.0),
        )
    ),
    Attack(rules=(Rule(when="always", level=0.0, kind="idle", whom="node", back_s=10.0, rest_s=30.0),)),
    Attack(
        rules=(
            Rule(when="always", level=0.0, kind="member", whom="node", back_s=10.0, rest_s=12.0),
            Rule(when="joining", level=0.0, kind="member", whom="joining", back_s=60.0, rest_s=30.0),
        ),
        delay_s=0.4,
    ),
)
"""Attacks that have hurt before: most of the searches begin with rules of one or two of them."""


def drawn_rule(random: Random) -> Rule:
    """A rule at random."""
    return Rule(
        when=random.choice(sorted(TRIGGERS)),
        level=random.random(),
        kind=random.choice(sorted(MENDS)),
        whom=random.choice(("leader", "leader", "node", "same", "rising")),
        back_s=random.choice((0.5, 1.0, 4.0, 5.0, 10.0, 20.0)),
        rest_s=random.choice((0.2, 1.0, 3.0, 10.0, 30.0)),
    )


def changed(rules: tuple[Rule, ...], random: Random) -> tuple[Rule, ...]:
    """Rules that differ in one thing."""
    fresh, index = drawn_rule(random), random.randrange(len(rules))
    how = random.randrange(8)
    if how == 0 and len(rules) < 4:
        return (*rules, fresh)
    if how == 1 and len(rules) > 1:
        return rules[:index] + rules[index + 1 :]
    field = random.choice(("when", "level", "kind", "whom", "back_s", "rest_s"))
    one = replace(rules[index], **{field: getattr(fresh, field)})
    return (*rules[:index], one, *rules[index + 1 :])


def against(rules: tuple[Rule, ...], *, seed: int, delay_s: float = 0.02) -> Outcome:
    """Let an adversary play a row by these rules; the outcome's schedule is what it did.

    Messages take up to `delay_s`.
    """
    random = Random(seed)
    schedule = Schedule(
        seed=seed,
        nodes=random.choice((4, 6, 10)),
        seconds=SECONDS,
        policy=random.choice(MOSTLY_CARELESS),
        most_delay_s=delay_s,
    )
    play, turns = Play(schedule), int(SECONDS / TURN_S)
    hand = _Hand(play, rules, random)
    play.happen("worst", 0)
    for turn in range(turns):
        play.until(round(turn * TURN_S, 1))
        hand.turn(turn)
    play.until(SECONDS)
    done = tuple(play.events)
    play.happen("worst", 0)
    play.until(SECONDS + CALM_S)
    return replace(play.outcome(), schedule=replace(schedule, events=done))


def climb(seed: int, steps: int) -> Iterator[Outcome]:
    """Outcomes of a search: rules at random, changed a little as long as that makes the breaker hotter."""
    random = Random(seed)
    rules = tuple(drawn_rule(random) for _ in range(random.randint(1, 3)))
    if random.random() < 0.7:
        known = random.sample(KNOWN, random.randint(1, 2))
        rules = (*(rule for attack in known for rule in attack.rules), *rules[1:])
    row = random.randrange(2**31)
    best = against(rules, seed=row)
    yield best
    for _ in range(steps - 1):
        other = changed(rules, random)
        outcome = against(other, seed=row)
        yield outcome
        if outcome.most_heat >= best.most_heat:
            rules, best = other, outcome


class _Hand:
    """What the rules do at each turn. Times are turns, so that a replay is exact."""

    def __init__(self, play: Play, rules: tuple[Rule, ...], random: Random) -> None:
        self._play, self._rules, self._random = play, rules, random
        self._rested = [0] * len(rules)
        self._fixes: dict[int, list[tuple[str, int]]] = {}
        self._same = random.randrange(len(play.bench.agents))

    def turn(self, turn: int) -> None:
        """Mend what is due, then act where the moment has come."""
        for kind, index in self._fixes.pop(turn, ()):
            self._play.happen(kind, index)
        for number, rule in enumerate(self._rules):
            if turn >= self._rested[number] and TRIGGERS[rule.when](self._play.bench, rule.level):
                self._rested[number] = turn + 1 + round(rule.rest_s / TURN_S)
                self._act(rule, turn)

    def _act(self, rule: Rule, turn: int) -> None:
        index = self._whom(rule.whom)
        if index is None:
            return
        self._play.happen(rule.kind, index)
        if MENDS[rule.kind]:
            due = turn + max(1, round(rule.back_s / TURN_S))
            self._fixes.setdefault(due, []).append((MENDS[rule.kind], index))

    def _whom(self, whom: str) -> int | None:
        bench = self._play.bench
        if whom == "leader":
            leaders = bench.leaders()
            return bench.agents.index(leaders[0]) if leaders else None
        if whom == "joining":
            arming = _arming(bench)
            return self._random.choice(arming) - CANDIDATES if arming else None
        if whom == "rising":
            rising = _rising(bench)
            return self._random.choice(rising) if rising else None
        return self._same if whom == "same" else self._random.randrange(len(bench.agents))
