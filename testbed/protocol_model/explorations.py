"""
Three ways through the model: one schedule, schedules at random, and all schedules in the small.

At random Hypothesis makes and shrinks the schedules. In the small all worlds are visited that a few
events, at any second of a short run, can reach; equal worlds are visited once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from testbed.protocol_model import oracles
from testbed.protocol_model.adversaries import Event, Kind
from testbed.protocol_model.oracles import Broken
from testbed.protocol_model.schedules import Schedule, flapping, foreign, together
from testbed.protocol_model.setups import Setup
from testbed.protocol_model.steps import step
from testbed.protocol_model.worlds import World, begun

LAST_S = 150
"""How long a schedule is watched after its last event: longer than every hold may last."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule after which an oracle didn't hold, and when."""

    broken: Broken
    at_s: int
    schedule: Schedule

    def __str__(self) -> str:
        lines = [f"  {wait_s:4d} s later, {event}" for wait_s, event in self.schedule]
        return "\n".join([f"{self.broken}, after {self.at_s} s", *lines])


def played(schedule: Schedule, setup: Setup, *, last_s: int = LAST_S, busy: bool = True) -> Iterator[World]:
    """Every world of one schedule, second by second."""
    world = begun(setup, busy=busy)
    together: list[Event] = []
    for wait_s, event in schedule:
        for _ in range(wait_s):
            world = step(world, together, setup)
            together = []
            yield world
        together.append(event)
    for _ in range(last_s + 1):
        world = step(world, together, setup)
        together = []
        yield world


def first_failure(schedule: Schedule, setup: Setup, *, last_s: int = LAST_S) -> Failure | None:
    """The first oracle that one schedule breaks."""
    for at_s, world in enumerate(played(schedule, setup, last_s=last_s)):
        for broken in oracles.broken(world, setup):
            return Failure(broken, at_s, schedule)
    return None


@dataclass(frozen=True)
class Verdict:
    """All oracles that one schedule breaks, those over a whole run among them, and the world at its end."""

    broken: frozenset[str]
    last: World


def verdict(schedule: Schedule, setup: Setup, *, last_s: int = LAST_S) -> Verdict:
    """How one schedule went."""
    worlds = list(played(schedule, setup, last_s=last_s))
    names = {broken.oracle for world in worlds for broken in oracles.broken(world, setup)}
    rarely = {"rarely held"} if oracles.held_share(worlds) > oracles.RARELY else set()
    return Verdict(frozenset(names | rarely), worlds[-1])


def schedules(
    setup: Setup, *, most: int, longest_wait_s: int = 45
) -> SearchStrategy[list[tuple[int, Event]]]:
    """Schedules at random: single events, and attacks that come again and again or hit all nodes at once."""
    node = st.integers(0, len(setup.gpus) - 1)
    wait_s = st.integers(0, longest_wait_s)
    kinds = st.sampled_from([kind for kind in Kind if kind not in (Kind.BUDGET, Kind.FOREIGN, Kind.CAP)])
    watts = st.sampled_from((200, 300, 450, 700))
    budgets = st.sampled_from((setup.budget_watts, setup.budget_watts * 4 // 5))
    single = st.one_of(
        st.tuples(wait_s, st.builds(Event, kinds, node)),
        st.tuples(wait_s, st.builds(Event, st.sampled_from((Kind.FOREIGN, Kind.CAP)), node, watts)),
        st.tuples(wait_s, st.builds(Event, st.just(Kind.BUDGET), st.just(0), budgets)),
    ).map(lambda event: [event])
    attacks = st.lists(st.one_of(single, single, _again(node), _all_nodes(setup)), max_size=most)
    return attacks.map(lambda lists: [event for each in lists for event in each])


def _again(node: SearchStrategy[int]) -> SearchStrategy[list[tuple[int, Event]]]:
    """A node that flaps, a stranger that comes back, leaders that die one after the other."""
    every_s, times = st.integers(1, 45), st.integers(2, 8)
    flaps = st.builds(
        lambda silent_s, more_s, count, index: list(
            flapping(period_s=silent_s + more_s, silent_s=silent_s, times=count, node=index)
        ),
        st.integers(1, 6),
        every_s,
        times,
        node,
    )
    strangers = st.builds(
        lambda gap_s, watts, count, index: foreign(every_s=gap_s, watts=watts, times=count, node=index),
        every_s,
        st.sampled_from((300, 700)),
        times,
        node,
    )
    deaths = st.builds(lambda gap_s, count: [(gap_s, Event(Kind.DEPOSE))] * count, every_s, times)
    return st.one_of(flaps, strangers, deaths)


def _all_nodes(setup: Setup) -> SearchStrategy[list[tuple[int, Event]]]:
    kinds = st.sampled_from((Kind.BREAK, Kind.MUTE, Kind.RESET, Kind.REBOOT, Kind.DIE, Kind.DEAFEN))
    nodes = range(len(setup.gpus))
    return st.builds(lambda kind, gap_s: together(kind, nodes, after_s=gap_s), kinds, st.integers(0, 45))


def at_random(setup: Setup, *, seed_: int, examples: int, events: int) -> Failure | None:
    """The shrunk failure that this seed finds, None where every schedule keeps the promise."""
    found: list[Failure] = []

    @seed(seed_)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate, Phase.shrink),
    )
    @given(schedules(setup, most=events))
    def keeps_the_promise(schedule: list[tuple[int, Event]]) -> None:
        failure = first_failure(schedule, setup)
        if failure is not None:
            found.append(failure)
            raise AssertionError

    try:
        keeps_the_promise()
    except AssertionError:
        return found[-1]
    return None


@dataclass(frozen=True, slots=True)
class Explored:
    """How much an exhaustive exploration has seen, and what it found."""

    worlds: int
    steps: int
    failure: Failure | None


def in_the_small(
    setup: Setup, menu: Sequence[Event], *, events: int, depth_s: int, warm_s: int = 8
) -> Explored:
    """Every world that up to `events` of the menu reach, at any seconds of `depth_s`, breadth first."""
    world = begun(setup)
    for _ in range(warm_s):
        world = step(world, (), setup)
    frontier: dict[tuple[World, int], Schedule] = {(world, events): ()}
    seen, steps = set(frontier), 0
    for at_s in range(depth_s):
        reached: dict[tuple[World, int], Schedule] = {}
        for (world, left), schedule in frontier.items():
            for event in _choices(menu, left):
                after = step(world, event, setup)
                steps += 1
                key = (after, left - len(event))
                if key in seen:
                    continue
                way = (*schedule, *((at_s, each) for each in event))
                for broken in oracles.broken(after, setup):
                    return Explored(len(seen), steps, Failure(broken, at_s, way))
                seen.add(key)
                reached[key] = way
        frontier = reached
    return Explored(len(seen), steps, None)


def _choices(menu: Sequence[Event], left: int) -> Iterable[tuple[Event, ...]]:
    yield ()
    if left:
        yield from ((event,) for event in menu)
