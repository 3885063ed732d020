"""
What doesn't change in one run of the model: the nodes' ranges, the breaker, the waits, the sentences.
"""

from dataclasses import dataclass, field

from testbed.protocol_model.hardware import Gpu
from testbed.protocol_model.heat import Curve
from testbed.protocol_model.rules import Rule, Times


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One row. `gpus` are its nodes, one GPU each, as they are before anybody has armed them.

    `counts_heat` False keeps heat out of the state, so that an exhaustive exploration merges more.
    """

    gpus: tuple[Gpu, ...]
    budget_watts: int
    times: Times = field(default_factory=Times)
    rule: Rule = field(default_factory=Rule)
    curve: Curve = field(default_factory=Curve)
    counts_heat: bool = True

    @property
    def highest_watts(self) -> int:
        """The row's draw with every GPU at its maximum."""
        return sum(gpu.highest_watts for gpu in self.gpus)

    def borne_watts(self, budget_watts: int) -> float:
        """The draw that the breaker bears for ever."""
        return self.curve.borne_load * budget_watts

    @property
    def tolerated(self) -> int:
        """k: how many members may be at their maximum, all others at safe, within what is borne."""
        safe_watts = min(self.budget_watts, self.highest_watts)
        rises = sorted((gpu.highest_watts - safe_watts / len(self.gpus) for gpu in self.gpus), reverse=True)
        total, k = float(safe_watts), 0
        for rise in rises:
            total += rise
            if total > self.borne_watts(self.budget_watts):
                break
            k += 1
        return k


def row(nodes: int, *, budget_watts: int, rule: Rule | None = None, times: Times | None = None) -> Setup:
    """A row of equal nodes of one GPU, 200 to 700 W, as in the rule's example."""
    return Setup(
        gpus=(Gpu(),) * nodes, budget_watts=budget_watts, rule=rule or Rule(), times=times or Times()
    )
