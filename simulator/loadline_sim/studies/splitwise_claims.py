"""
What Splitwise's paper says of its designs, beside what was found here, and whether it holds.

A statement holds where the design is ahead in every world of the range, and fails where it is behind in every
one; where the range has both, the models of the engines can't decide it. The paper's own ratios are of its
own searches over servers, so only the direction is judged, and the ratios stand beside each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from loadline_sim.studies.splitwise import Ratio, Study, ratio
from loadline_sim.studies.splitwise_designs import A100, H100, Budget, Service


class Judgement(StrEnum):
    """Whether a statement holds."""

    HOLDS = "holds"
    FAILS = "doesn't hold"
    UNDECIDED = "can't be decided"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A statement of the paper about a design and another one with the same budget; `published` is its ratio.

    `quantity` is the ratio's: of rates, or of rates by power.
    """

    budget: Budget
    name: str
    base: str
    published: str
    words: str
    by_power: bool = False

    @property
    def short(self) -> str:
        """The two designs and the budget."""
        return f"{self.name}/{self.base.removeprefix('Baseline-')}, {self.budget}"


CLAIMS: Final = (
    Claim(
        budget="power",
        name="AA",
        base=A100,
        published="2.15×",
        words="AA carries more than Baseline-A100 for the same power",
    ),
    Claim(
        budget="power",
        name="HA",
        base=H100,
        published="1.18×",
        words="HA carries more than Baseline-H100 for the same power",
    ),
    Claim(
        budget="cost",
        name="AA",
        base=H100,
        published="1.4×",
        words="AA carries more than Baseline-H100 for the same cost",
    ),
    Claim(
        budget="power",
        name="HHcap",
        base=H100,
        published="1.33× (25 % less power for the same rate)",
        words="HHcap carries more by its power than Baseline-H100",
        by_power=True,
    ),
)

PUBLISHED_LOSS: Final = "7 %"
"""What HA and HHcap lose in the paper when the workload changes."""

MOVED: Final = ("HA", "HHcap")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A statement on one service's requests."""

    claim: Claim
    service: Service
    ratio: Ratio

    @property
    def judgement(self) -> Judgement:
        """By the whole range."""
        low, high = self.ratio.low, self.ratio.high
        if self.ratio.value is None or low is None or high is None:
            return Judgement.UNKNOWN
        if low > 1.0:
            return Judgement.HOLDS
        return Judgement.FAILS if high <= 1.0 else Judgement.UNDECIDED


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A design on requests of the service that it isn't made for: its rate over that of the one that is."""

    budget: Budget
    name: str
    service: Service
    designed_for: Service
    ratio: float | None


def judged(study: Study) -> tuple[Judged, ...]:
    """Every statement whose table was asked for, on every service."""
    found = []
    for claim in CLAIMS:
        for service in study.settings.services if claim.budget in study.settings.budgets else ():
            of, base = (study.of(name, claim.budget, service) for name in (claim.name, claim.base))
            per = of.design.power / base.design.power if claim.by_power else 1.0
            found.append(Judged(claim=claim, service=service, ratio=ratio(of, base, per=per)))
    return tuple(found)


def moved(study: Study) -> tuple[Moved, ...]:
    """Every design on the other service's requests."""
    found = []
    for one in study.carried:
        if one.designed_for == one.service:
            continue
        at_home = study.of(one.design.name, one.budget, one.service)
        found.append(
            Moved(
                budget=one.budget,
                name=one.design.name,
                service=one.service,
                designed_for=one.designed_for,
                ratio=None if one.rate is None or at_home.rate is None else one.rate / at_home.rate,
            )
        )
    return tuple(found)


def counted(found: Sequence[Judged], judgement: Judgement) -> int:
    """How many statements end so."""
    return sum(one.judgement is judgement for one in found)
