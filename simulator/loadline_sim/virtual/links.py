"""The network between nodes: every message takes its time, and some never arrive or arrive twice.

An edge leads from one node to another and can be cut by itself.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from loadline_sim.virtual.worlds import Happening, World

Edge = tuple[str, str]
"""From one node to another, by name."""


@dataclass(slots=True)
class Link:
    """Delays are in seconds, uniform between the two; `loss` and `repeat` are probabilities.

    `cut` are the edges on which nothing arrives.
    """

    world: World
    random: Random = field(default_factory=lambda: Random(1))
    least_s: float = 0.002
    most_s: float = 0.02
    loss: float = 0.0
    repeat: float = 0.0
    cut: set[Edge] = field(default_factory=set)

    def carry(self, message: Happening, edge: Edge) -> None:
        """Deliver a message after its delay, never, or twice."""
        for _ in self._copies() if edge not in self.cut else ():
            self.world.after(self.random.uniform(self.least_s, self.most_s), message)

    def _copies(self) -> Iterator[None]:
        if self.random.random() >= self.loss:
            yield
            if self.random.random() < self.repeat:
                yield


Reply = Callable[[object], None]
