"""The shape of every policy's answer: what to do, and what to remember."""

from typing import Generic, NamedTuple, TypeVar

A = TypeVar("A")
S = TypeVar("S")


class Decision(NamedTuple, Generic[A, S]):
    """What a policy wants done now, and the state to give it next time."""

    actions: A
    state: S
