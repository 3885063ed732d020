"""
The breaker of a PowerDomain, as a person declares it.

A curve is a short list of points without floats: percent of the budget, and whole
seconds that a cold breaker bears it. The first point carries no seconds and is borne
for ever, since every breaker has such a load and S1 is measured against it. The rules
hold the order, so that the policies' `Curve` can be built from whatever was admitted.
"""

from pydantic import ConfigDict, Field

from loadline_api.quantities import Seconds
from loadline_api.schemas import Spec, rule, validations
from loadline_policies.power.safety.breakers import FOREVER, Curve

MAX_CURVE_POINTS = 8


class CurvePoint(Spec):
    """One point of a breaker's curve."""

    percent: int = Field(strict=True, ge=100, le=1000, description="Load in percent of budgetWatts.")
    seconds: Seconds | None = Field(
        default=None,
        description="How long a cold breaker carries that load; unset at the first point, which it carries"
        " for ever.",
    )


DEFAULT_CURVE = (
    CurvePoint(percent=105),
    CurvePoint(percent=113, seconds=3600),
    CurvePoint(percent=130, seconds=120),
    CurvePoint(percent=160, seconds=30),
)


class Breaker(Spec):
    """When the breaker trips."""

    model_config = ConfigDict(
        json_schema_extra=validations(
            rule(
                "!has(self.curve) || self.curve.map(p, p.percent).isSorted()"
                " && self.curve.all(p, self.curve.exists_one(q, q.percent == p.percent))",
                says="'breaker.curve has percent %s: make each point higher than the one before'"
                ".format([self.curve.map(p, p.percent)])",
            ),
            rule(
                "!has(self.curve) || !has(self.curve[0].seconds)"
                " && self.curve.filter(p, has(p.seconds)).size() == self.curve.size() - 1",
                message="the first point of breaker.curve is the load that the breaker carries for ever:"
                " remove seconds there, and set seconds at every other point",
            ),
            rule(
                "!has(self.curve) || self.curve.filter(p, has(p.seconds)).map(p, 0 - p.seconds).isSorted()"
                " && self.curve.all(p, !has(p.seconds)"
                " || self.curve.exists_one(q, has(q.seconds) && q.seconds == p.seconds))",
                says="'breaker.curve has seconds %s: make each point shorter than the one before'"
                ".format([self.curve.filter(p, has(p.seconds)).map(p, p.seconds)])",
            ),
        )
    )

    curve: tuple[CurvePoint, ...] = Field(
        default=DEFAULT_CURVE,
        min_length=2,
        max_length=MAX_CURVE_POINTS,
        description="How long a cold breaker carries each load before it trips: with each point percent rise"
        " and seconds fall. Between points the time is interpolated log-log, beyond the last one I²t is"
        " constant.",
    )
    cooling_seconds: Seconds = Field(
        default=600,
        description="Time constant with which the breaker cools while the load is below the curve's first"
        " point.",
    )

    def to_curve(self) -> Curve:
        """The same curve in the policies' units: loads as fractions, seconds as floats."""
        return Curve(
            points=tuple(
                (p.percent / 100, FOREVER if p.seconds is None else float(p.seconds)) for p in self.curve
            ),
            cooling_s=float(self.cooling_seconds),
        )
