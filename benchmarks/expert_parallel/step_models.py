"""
How long a step of a layer takes, from how full its ranks are: a + b · pairs of the fullest rank + c · rows.

The rows are those that the busiest rank exchanges with others. The three are fitted to one half of measured
points, by the least squares of relative errors, since short steps count as much as long ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A measured step."""

    rank_most: float
    crossing_most: float
    step_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepModel:
    """Seconds for a step, for a pair of the fullest rank, and for a row of the busiest one."""

    fixed_s: float
    pair_s: float
    row_s: float

    def step_s(self, point: Point) -> float:
        """What the model expects of a step."""
        return self.fixed_s + self.pair_s * point.rank_most + self.row_s * point.crossing_most

    def errors(self, points: Sequence[Point]) -> list[float]:
        """The relative error of each point."""
        return [abs(self.step_s(point) / point.step_s - 1.0) for point in points]


def fitted(points: Sequence[Point]) -> StepModel:
    """The model that fits some points best."""
    known = np.array([(1.0, point.rank_most, point.crossing_most) for point in points])
    seconds = np.array([point.step_s for point in points])
    fixed_s, pair_s, row_s = np.linalg.lstsq(known / seconds[:, np.newaxis], np.ones(len(points)))[0].tolist()
    return StepModel(fixed_s=fixed_s, pair_s=pair_s, row_s=row_s)
