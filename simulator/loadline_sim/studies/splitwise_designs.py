"""
The fleets of Splitwise's tables: how many servers of which kind, what they cost and what power is
provisioned.

Two baselines, whose servers compute prompts and answers in mixed batches, and four designs that compute them
apart: AA, HH, HA and HHcap, by the kinds of their prompt and token servers. Each budget is that of 40
servers with eight H100. For the two services of Azure the tables have other proportions.

Source: Patel et al., ISCA 2024, tables of section VI; prices and power of Mutinifni/splitwise-sim 8f99e7d,
`notebooks/utils.py`: a server's price per hour and kilowatts of two racks, of which only the ratios are used.
"""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from loadline_sim.serving.routers.mixed_pools import PROMPT, TOKEN
from loadline_sim.serving.splitwise_fleets import Dgx
from loadline_sim.studies.searches import Frozen

Kind = Literal["A100", "H100", "H100_CAPPED"]
Budget = Literal["power", "cost"]
Service = Literal["chat", "code"]

BUDGETS: Final[tuple[Budget, ...]] = ("power", "cost")
SERVICES: Final[tuple[Service, ...]] = ("chat", "code")

COST: Final[Mapping[Kind, float]] = {"A100": 2.21, "H100": 4.76, "H100_CAPPED": 4.76}
POWER: Final[Mapping[Kind, float]] = {"A100": 24.8, "H100": 44.0, "H100_CAPPED": 0.7 * 44.0}


class Design(Frozen):
    """A fleet: servers for prompts and for tokens, or, without the latter, servers for both."""

    name: str
    prompt: tuple[int, Kind]
    token: tuple[int, Kind] | None = None

    @property
    def groups(self) -> tuple[tuple[int, Kind], ...]:
        """How many servers of which kind, those for prompts first."""
        return (self.prompt,) if self.token is None else (self.prompt, self.token)

    @property
    def servers(self) -> int:
        """All of them."""
        return sum(count for count, _ in self.groups)

    @property
    def cost(self) -> float:
        """What all servers cost, in the tables' unit."""
        return sum(count * COST[kind] for count, kind in self.groups)

    @property
    def power(self) -> float:
        """The power that is provisioned for all servers, in the tables' unit."""
        return sum(count * POWER[kind] for count, kind in self.groups)

    @property
    def kinds(self) -> list[Dgx]:
        """The kind of each server."""
        return [Dgx[kind] for count, kind in self.groups for _ in range(count)]

    @property
    def homes(self) -> "np.ndarray[tuple[int], np.dtype[np.int64]] | None":
        """The pool of each server; None where each is for both."""
        if self.token is None:
            return None
        return np.repeat(np.array([PROMPT, TOKEN]), [self.prompt[0], self.token[0]])

    @property
    def gpus(self) -> tuple[str, ...]:
        """The GPUs whose measured steps it goes by; a capped H100 goes by those of an H100."""
        return tuple(sorted({kind.removesuffix("_CAPPED") for _, kind in self.groups}))

    @property
    def in_words(self) -> str:
        """Its servers, as the tables have them."""
        return " + ".join(f"{count} {kind.replace('_CAPPED', ' capped')}" for count, kind in self.groups)


def designs(budget: Budget, service: Service) -> tuple[Design, ...]:
    """The designs of a table, the baselines first."""
    baseline, *apart = COUNTS[budget, service]
    return (
        Design(name=A100, prompt=(baseline[0], "A100")),
        Design(name=H100, prompt=(baseline[1], "H100")),
        *(
            Design(name=name, prompt=(counts[0], kinds[0]), token=(counts[1], kinds[1]))
            for (name, kinds), counts in zip(APART.items(), apart, strict=True)
        ),
    )


A100, H100 = "Baseline-A100", "Baseline-H100"

APART: Final[Mapping[str, tuple[Kind, Kind]]] = {
    "AA": ("A100", "A100"),
    "HH": ("H100", "H100"),
    "HA": ("H100", "A100"),
    "HHcap": ("H100", "H100_CAPPED"),
}
"""The kinds of prompt and token servers."""

COUNTS: Final[Mapping[tuple[Budget, Service], tuple[tuple[int, int], ...]]] = {
    ("power", "code"): ((70, 40), (55, 15), (35, 5), (35, 8), (35, 7)),
    ("power", "chat"): ((70, 40), (45, 25), (25, 15), (25, 26), (25, 21)),
    ("cost", "code"): ((86, 40), (66, 20), (35, 5), (35, 10), (35, 7)),
    ("cost", "chat"): ((86, 40), (51, 35), (25, 15), (30, 21), (30, 10)),
}
"""Servers of both baselines, and prompt and token servers of AA, HH, HA and HHcap."""
