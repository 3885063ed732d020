"""
Which services are let off a cap because they miss their objective, and for how long.

A policy caps a whole class; some of it can bear that and some can't. Who can't is
relieved, as far as the row has room: highest priority first, then whoever misses by
most, then whoever has asked for longest. Room is counted at its worst. A GPU that is
let go counts at all that it could draw until the meter has had the time to show it, and
the sum stays under the load up to which the policy allows it. All is taken back at once
when the row passes that load, brakes, is held at safe, or its coordinator is unsure.

While a claim waits for room, nobody of lower rank is let go or stays so, and low
priority isn't raised. All of that is bounded in time, and a service that goes on
missing under relief comes last for a while once others wait: whoever misses whatever
he is given can't keep the others out.

`claims` says who may ask, the coordinator tells the nodes. There is no clock here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias

from loadline_policies.decisions import Decision
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.rows import FREE, Cap, deeper

MET = 0.9
"""A relieved service meets its objective comfortably at this ratio or less: without relief, it may still."""

CALM_S = 60.0
"""How long it must do so before its relief ends. Chosen: some windows of a percentile."""

TRIAL_S = 300.0
"""A miss that has lasted so long under relief isn't the cap's fault. Chosen: five minutes of evidence."""

WAIT_S = 30.0
"""How long a line that doesn't move waits for room, and low priority for the line. Chosen: a burst."""

REST_S = 60.0
"""How long a claim isn't heard after its relief was taken back. Chosen: a row may flutter once a minute."""


class End(StrEnum):
    """Why a relief or a wait is over; all but the first are followed by a rest."""

    UNCAPPED = "Uncapped"
    FUTILE = "Futile"
    OUTRANKED = "Outranked"
    WAITED = "Waited"
    NO_ROOM = "NoRoom"
    BRAKE = "Brake"
    HELD = "Held"
    UNSURE = "Unsure"
    GONE = "Gone"
    OFF = "Off"

    @property
    def rest_s(self) -> float:
        """How long the claim isn't heard after it."""
        if self is End.UNCAPPED:
            return 0.0
        return TRIAL_S if self is End.FUTILE else REST_S


class Phase(StrEnum):
    """Where a claim stands."""

    WAITING = "Waiting"
    RELIEVED = "Relieved"
    RESTING = "Resting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """One claim's phase, and since when.

    `gpus` are those that it asked for, `asked_s` is since when it has asked in vain,
    `met_since_s` when its service began to meet its objective comfortably, `end` why it rests.
    """

    service: str
    node: str
    gpus: tuple[str, ...]
    phase: Phase
    since_s: float
    asked_s: float
    met_since_s: float | None = None
    end: End | None = None

    @property
    def key(self) -> "Key":
        """The claim that it is about."""
        return self.service, self.node

    @property
    def was_let_go(self) -> bool:
        """Whether the GPUs are let go, or were until the rest began."""
        return self.phase is not Phase.WAITING and self.end is not End.WAITED


Key: TypeAlias = tuple[str, str]
"""A service and a node."""


@dataclass(frozen=True, slots=True)
class State:
    """Every claim that is relieved, waits or rests; the low class's cap, and since when it is due to rise."""

    turns: tuple[Turn, ...] = ()
    low: Cap = FREE
    low_due_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the row can give: its draw, the most that relief may make of it, and how long a rise stays unseen.

    `shut` says why nobody may be relieved whatever the room. `low` is the policy's cap on low priority.
    """

    watts: float
    bound_watts: float
    settle_s: float
    low: Cap = FREE
    shut: End | None = None

    @property
    def closed(self) -> End | None:
        """Why nobody is relieved now: what shuts the row, or that it draws too much already."""
        return self.shut or (End.NO_ROOM if self.watts > self.bound_watts else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relief:
    """Whose GPUs are let go, which services that relieves and which still wait, and the low class's cap."""

    gpus: frozenset[str] = frozenset()
    services: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    low: Cap = FREE


Relieve: TypeAlias = Callable[[tuple[Claim, ...], Room, State, float], Decision[Relief, State]]
"""`decide`, or something that also writes down what it decides."""


def decide(claims: tuple[Claim, ...], room: Room, state: State, now: float) -> Decision[Relief, State]:  # noqa: PLR0917
    """Take back what must end, give what there is room for, and let everybody else wait."""
    known = {claim.key: claim for claim in claims}
    judged = (_judged(turn, known.get(turn.key), room.closed, now=now) for turn in state.turns)
    turns = {turn.key: turn for turn in judged if turn is not None}
    if room.closed is None:
        _give(turns, known, room, now=now)
        _make_way(turns, known, now=now)
    waiting = any(turn.phase is Phase.WAITING for turn in turns.values())
    low, low_due_s = _low(room.low, state, waiting=waiting, now=now)
    state = State(tuple(turns.values()), low, low_due_s)
    return Decision(_relief_of(state, known), state)


def changes(before: State, after: State) -> tuple[str, ...]:
    """Which claims' phases have turned, a few words each, for people."""
    was = {turn.key: turn for turn in before.turns}
    now = {turn.key: turn for turn in after.turns}
    turned = (key for key in sorted(was.keys() | now.keys()) if _phase(was.get(key)) != _phase(now.get(key)))
    return tuple(f"{service} on {node}: {_phase(now.get((service, node)))}" for service, node in turned)


def _phase(turn: Turn | None) -> str:
    if turn is None:
        return "Done"
    return f"{turn.phase} after {turn.end}" if turn.end is not None else str(turn.phase)


def _judged(turn: Turn, claim: Claim | None, shut: End | None, *, now: float) -> Turn | None:
    """The turn as it goes on; None where it is over and leaves nothing behind."""
    if turn.phase is Phase.RESTING:
        assert turn.end is not None
        if now - turn.since_s < turn.end.rest_s:
            return turn
        asks = turn.end is End.WAITED and shut is None and claim is not None and claim.asks
        return replace(turn, phase=Phase.WAITING, since_s=now, end=None) if asks else None
    if turn.phase is Phase.WAITING:
        return turn if shut is None and claim is not None and claim.asks else None
    if shut is not None:
        return _resting(turn, shut, now=now) if shut.rest_s else None
    if claim is None or claim.gpus != turn.gpus:
        return _resting(turn, End.GONE, now=now)
    if claim.missed is not None and claim.missed > MET:
        return replace(turn, met_since_s=None)
    since_s = now if turn.met_since_s is None else turn.met_since_s
    return None if now - since_s >= CALM_S else replace(turn, met_since_s=since_s)


def _resting(turn: Turn, end: End, *, now: float) -> Turn:
    return replace(turn, phase=Phase.RESTING, since_s=now, met_since_s=None, end=end)


def _give(turns: dict[Key, Turn], known: dict[Key, Claim], room: Room, *, now: float) -> None:
    """Relieve in the order of rank; from the first claim that doesn't fit on, all wait, but not for ever."""
    tried = _tried(turns)
    left_watts = room.bound_watts - room.watts - _unseen_watts(turns, known, room, now=now)
    full = moved = False
    asking = (claim for claim in known.values() if claim.asks and _may_ask(turns.get(claim.key)))
    for claim in sorted(asking, key=lambda claim: _rank(claim, turns.get(claim.key), tried, now=now)):
        turn = turns.get(claim.key) or _turn(claim, Phase.WAITING, now=now)
        fits = claim.rise_watts <= left_watts
        if fits and not full:
            left_watts -= claim.rise_watts
            turns[claim.key] = _turn(claim, Phase.RELIEVED, now=now)
            moved = True
        elif turn.phase is Phase.RESTING:
            continue  # it keeps nobody else waiting
        elif not fits and now - turn.since_s >= WAIT_S:
            turns[claim.key] = _resting(turn, End.WAITED, now=now)
        else:
            turns[claim.key] = turn
            full = True
    if moved:
        _wait_anew(turns, now)


def _wait_anew(turns: dict[Key, Turn], now: float) -> None:
    """While the line moves, nobody in it has waited too long."""
    for key, turn in turns.items():
        if turn.phase is Phase.WAITING:
            turns[key] = replace(turn, since_s=now)


def _unseen_watts(turns: dict[Key, Turn], known: dict[Key, Claim], room: Room, *, now: float) -> float:
    """What those may still rise by who were let go lately, or called back and may not have heard yet."""
    return sum(
        known[key].rise_watts
        for key, turn in turns.items()
        if key in known and turn.was_let_go and now - turn.since_s < room.settle_s
    )


def _make_way(turns: dict[Key, Turn], known: dict[Key, Claim], *, now: float) -> None:
    """While a claim waits, reliefs of lower rank end, and so do those that were tried and didn't help."""
    tried = _tried(turns)
    waiting = [_standing(known[key], tried) for key, turn in turns.items() if turn.phase is Phase.WAITING]
    if not waiting:
        return
    for key, turn in list(turns.items()):
        if turn.phase is not Phase.RELIEVED:
            continue
        if known[key].misses and now - turn.since_s >= TRIAL_S:
            turns[key] = _resting(turn, End.FUTILE, now=now)
        elif _standing(known[key], tried) > min(waiting):
            turns[key] = _resting(turn, End.OUTRANKED, now=now)


def _tried(turns: dict[Key, Turn]) -> frozenset[str]:
    """Services that were relieved lately and missed all the same, or for which there was no room."""
    return frozenset(turn.service for turn in turns.values() if turn.end in (End.FUTILE, End.WAITED))


def _standing(claim: Claim, tried: frozenset[str]) -> tuple[bool, int]:
    """What one claim has before another, the lower the better."""
    return claim.service in tried, -claim.priority


def _rank(
    claim: Claim, turn: Turn | None, tried: frozenset[str], *, now: float
) -> tuple[bool, int, float, float, Key]:
    """Of equals, whoever has asked for longest comes first."""
    asked_s = turn.asked_s if turn is not None else now
    return *_standing(claim, tried), -(claim.missed or 0.0), asked_s, claim.key


def _may_ask(turn: Turn | None) -> bool:
    """Whether a claim may be given room: also one that has waited in vain, since it had none."""
    return turn is None or turn.phase is Phase.WAITING or turn.end is End.WAITED


def _turn(claim: Claim, phase: Phase, *, now: float) -> Turn:
    return Turn(
        service=claim.service, node=claim.node, gpus=claim.gpus, phase=phase, since_s=now, asked_s=now
    )


def _low(wished: Cap, state: State, *, waiting: bool, now: float) -> tuple[Cap, float | None]:
    """Low priority's cap: lower at once, higher not while somebody of high priority waits for the room."""
    kept = deeper(wished, state.low)
    since_s = now if state.low_due_s is None else state.low_due_s
    if kept == wished or not waiting or now - since_s >= WAIT_S:
        return wished, None
    return kept, since_s


def _relief_of(state: State, known: dict[Key, Claim]) -> Relief:
    relieved = [known[turn.key] for turn in state.turns if turn.phase is Phase.RELIEVED]
    return Relief(
        gpus=frozenset(uuid for claim in relieved for uuid in claim.gpus),
        services=_names(relieved),
        waiting=_names(known[turn.key] for turn in state.turns if turn.phase is Phase.WAITING),
        low=state.low,
    )


def _names(claims: Iterable[Claim]) -> tuple[str, ...]:
    return tuple(sorted({claim.service for claim in claims}))
