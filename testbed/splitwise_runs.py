"""
Runs of splitwise-sim, the peer that ours is judged by: requests, servers, and what it said of each request.

`splitwise_sim/README.md` says where they come from. Each can be simulated by ours with `Run.simulate`.
"""

import csv
import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from loadline_sim.arrays import Floats
from loadline_sim.serving import loops
from loadline_sim.serving.loops import Outcomes
from loadline_sim.serving.registry import ROUTERS, SCHEDULERS
from loadline_sim.serving.routers.mixed_pools import PROMPT, TOKEN
from loadline_sim.serving.servers import Fleet
from loadline_sim.serving.splitwise_fleets import Dgx
from loadline_sim.serving.splitwise_fleets import fleet as fleet_of
from loadline_sim.traffic.traces import Trace

FOLDER: Final = Path(__file__).parent / "splitwise_sim"

Group = tuple[int, Dgx, int | None]
"""So many servers of a kind, and their pool; None where each takes prompts and tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run: its requests, its servers, and the peer's outcome of each request."""

    trace: Trace
    servers: tuple[Group, ...]
    ttft_s: Floats
    response_s: Floats

    def fleet(self) -> Fleet:
        """The servers, idle."""
        kinds = [kind for count, kind, _ in self.servers for _ in range(count)]
        return fleet_of(kinds, longest_prompt=int(self.trace.prompt_tokens.max()))

    def router(self) -> Any:
        """The router, before the first request."""
        homes = [home for count, _, home in self.servers for _ in range(count)]
        split = [home for home in homes if home is not None]
        return ROUTERS["mixed-pools"](np.array(split)) if split else ROUTERS["token-queues"]()

    def simulate(
        self, trace: Trace | None = None, *, fleet: Fleet | None = None, until_s: float | None = None
    ) -> Outcomes:
        """What ours says of these requests, or of others on these servers; `fleet` is used up."""
        return loops.simulate(
            trace if trace is not None else self.trace,
            fleet=fleet if fleet is not None else self.fleet(),
            router=self.router(),
            scheduler=SCHEDULERS["splitwise"],
            until_s=until_s,
        )


SERVERS: Final[dict[str, tuple[Group, ...]]] = {
    "conversation": ((26, Dgx.A100, TOKEN), (25, Dgx.H100, PROMPT)),
    "ha": ((4, Dgx.A100, TOKEN), (2, Dgx.H100, PROMPT)),
    "aa": ((3, Dgx.A100, PROMPT), (3, Dgx.A100, TOKEN)),
    "hh": ((2, Dgx.H100, PROMPT), (2, Dgx.H100, TOKEN)),
    "hhcap": ((2, Dgx.H100_CAPPED, PROMPT), (3, Dgx.H100, TOKEN)),
    "baseline": ((3, Dgx.A100, None),),
    "overload": ((1, Dgx.A100, TOKEN), (1, Dgx.H100, PROMPT)),
    "mixed": ((2, Dgx.A100, None), (2, Dgx.H100, None)),
}
"""The servers of each run, by the name of its file."""


def run(name: str) -> Run:
    """One of them."""
    with gzip.open(FOLDER / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))

    def column(name: str) -> Floats:
        return np.array([float(row[name]) for row in rows])

    prompt, output = (column(name).astype(np.int64) for name in ("prompt_tokens", "output_tokens"))
    return Run(
        trace=Trace(column("arrival_s"), prompt, output),
        servers=SERVERS[name],
        ttft_s=column("peer_ttft_s"),
        response_s=column("peer_response_s"),
    )
