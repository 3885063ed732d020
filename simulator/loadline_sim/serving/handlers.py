"""
What routers and schedulers do, and when: one function each, which the loop calls by the type of their state.

Which function it is is decided when the loop is compiled, so the loop knows none of them, and
none of them costs a lookup. The functions here only have the names and arguments: no body of theirs runs.
"""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from loadline_sim.compiled import chosen_by_type, compiled
from loadline_sim.serving.simulations import Simulation

P = ParamSpec("P")
R = TypeVar("R")


def route(state: Any, simulation: Simulation, index: int) -> None:
    """Of a router: choose the servers of a request that has arrived, and charge their accounts."""


def be_idle(state: Any, simulation: Simulation, index: int) -> None:
    """Of a router: a server has nothing to do any more."""


def arrive(state: Any, simulation: Simulation, index: int) -> None:
    """Of a scheduler: a request has arrived, and its servers are chosen."""


def receive(state: Any, simulation: Simulation, index: int) -> None:
    """Of a scheduler: the KV of a request's prompt has come to the server of its answer."""


def end_step(state: Any, simulation: Simulation, index: int) -> None:
    """Of a scheduler: the step of a server has ended."""


def is_full(state: Any, simulation: Simulation, index: int) -> bool:
    """Of a scheduler: whether a row of its might not have room for what one more event brings."""
    raise NotImplementedError


def handles(what: Callable[..., Any], kind: type) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile a function, and have it do `what` for states of a kind, which is a NamedTuple."""

    def register(function: Callable[P, R]) -> Callable[P, R]:
        machine_code = compiled(function)
        chosen_by_type(what, kind, machine_code)
        return machine_code

    return register
