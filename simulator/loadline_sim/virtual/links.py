"""The network between nodes: every message takes its time, and some never arrive or arrive twice."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random

from loadline_sim.virtual.worlds import Happening, World


@dataclass(slots=True)
class Link:
    """Delays are in seconds, uniform between the two; `loss` and `repeat` are probabilities."""

    world: World
    random: Random = field(default_factory=lambda: Random(1))
    least_s: float = 0.002
    most_s: float = 0.02
    loss: float = 0.0
    repeat: float = 0.0

    def carry(self, message: Happening) -> None:
        """Deliver a message after its delay, never, or twice."""
        for _ in self._copies():
            self.world.after(self.random.uniform(self.least_s, self.most_s), message)

    def _copies(self) -> Iterator[None]:
        if self.random.random() >= self.loss:
            yield
            if self.random.random() < self.repeat:
                yield


Reply = Callable[[object], None]
