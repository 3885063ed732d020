"""
What the sentences of a status are held against: what is said and what is true at one second.

A sentence is a function of such a sight that gives its contradictions, none where it is true.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from loadline_api.power_domains import PowerDomain
from testbed.live_rows.plants import Moment
from testbed.live_rows.rows import DOMAIN, NODES
from testbed.live_rows.statuses import Said
from testbed.live_rows.truths import Truth

LED_S: Final = 5.0
"""A coordinator needs two seconds to hear its members, and one to write."""

Contradictions = Iterator[tuple[str, str]]
"""Whom a contradicted sentence is about, and what it says against what is so."""


class Sight(NamedTuple):
    """What is said and true at one second; `measured` are the plant's moments around the status's time."""

    said: Said
    truth: Truth
    measured: list[Moment]

    @property
    def row(self) -> PowerDomain:
        """The row's own domain, as it is said to be."""
        return self.said.domains[DOMAIN]

    @property
    def led(self) -> bool:
        """Whether somebody has led for long enough to have corrected what was said before."""
        return self.truth.led_s >= LED_S

    @property
    def running(self) -> list[str]:
        """Nodes whose agents could have corrected what is said of them."""
        return [node for node in NODES if self.truth.up(node)]


class Statement(NamedTuple):
    """A sentence: its name, how long it may lag, and when it is contradicted."""

    name: str
    lag_s: float
    contradicted: Callable[[Sight], Contradictions]
