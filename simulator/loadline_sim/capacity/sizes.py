"""
How few servers keep the objectives: of one engine, with servers that do both or with prefill apart.

More servers keep more, apart from ties in routing: so the count is doubled until the objectives hold, and
then the least is found by halving. Of a count's splits half are ruled out each time, by what is late: the
first tokens ask for more prefill servers, the others for more that decode.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from loadline_policies.errors import InvalidInput
from loadline_sim.arrays import Floats
from loadline_sim.capacity.objectives import Objectives, tpot_s
from loadline_sim.capacity.questions import QUEUES, Design, served
from loadline_sim.progress import Progress
from loadline_sim.serving.loops import Outcomes
from loadline_sim.traffic.traces import Trace

MOST_SERVERS: Final = 4096

PATIENCE_S: Final = 60.0
"""How long after the last arrival a size is judged at least; what isn't done then has missed its
objectives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The smallest fleet of its kind, and what it keeps.

    `is_met` is false where not even all servers that are allowed keep the objectives: then the design has all
    of them. `alone_share` is what no count can exceed: requests that keep them with a server of their own.
    `fewest` and `most` are the counts if steps are faster or slower by the engine's error, None where that
    many aren't allowed. `simulated` counts simulations.
    """

    design: Design
    share: float
    is_met: bool
    alone_share: float
    fewest: int | None
    most: int | None
    simulated: int


@dataclass(frozen=True, slots=True)
class Found:
    """A design and the share of requests for which it keeps the objectives."""

    design: Design
    share: float


def size(
    trace: Trace,
    design: Design,
    objectives: Objectives,
    *,
    most_servers: int = MOST_SERVERS,
    splits: bool = False,
    progress: Progress = lambda what, share: None,
) -> Size:
    """The fewest servers like those of `design` that keep the objectives; with `splits`, prefill apart.

    Raises InvalidInput if nothing is promised, or for a request that no server can serve.
    """
    if not objectives.any:
        raise InvalidInput("objectives", None, fix="give at least one of ttft, tpot and e2e")
    error = design.engine.step_error
    search = _Search(trace, design, objectives, splits=splits, most_servers=most_servers)
    counts: list[int | None] = []
    chosen: Found | None = None
    for place, pace in enumerate((1.0, 1.0 - error, 1.0 + error)):
        progress(f"sizing {design.engine.name}{', prefill apart' if splits else ''}", place / 3)
        found = search.smallest(pace)
        chosen = chosen or found
        counts.append(found.design.servers if found.share >= objectives.share else None)
    progress(f"sizing {design.engine.name}{', prefill apart' if splits else ''}", 1.0)
    assert chosen is not None
    return Size(
        design=chosen.design,
        share=chosen.share,
        is_met=counts[0] is not None,
        alone_share=search.alone_share(1.0),
        fewest=counts[1],
        most=counts[2],
        simulated=search.simulated,
    )


class _Search:
    """Looks for the smallest count, and within a count for the best split."""

    def __init__(
        self, trace: Trace, design: Design, objectives: Objectives, *, splits: bool, most_servers: int
    ) -> None:
        self._trace, self._design, self._objectives = trace, design, objectives
        self._splits, self._most = splits, most_servers
        given = (objectives.ttft_s, objectives.tpot_s, objectives.e2e_s)
        self._until_s = float(trace.arrival_s[-1]) + max(PATIENCE_S, *(most_s or 0.0 for most_s in given))
        self.simulated = 0

    def alone_share(self, pace: float) -> float:
        """The share of requests that keep the objectives with a server of their own."""
        prompt_s, token_s = self._priced(pace)
        ttft_s = prompt_s[self._trace.prompt_tokens] + self._design.engine.front_end_s
        alone = Outcomes(ttft_s, ttft_s + (self._trace.output_tokens - 1) * token_s[1])
        return float(self._objectives.kept(alone, self._trace.output_tokens).mean())

    def smallest(self, pace: float) -> Found:
        """The smallest fleet that keeps the objectives, or the largest that is allowed."""
        prefill, decode = self._busy_servers(pace)
        high = min(max(prefill + decode, 2 if self._splits else 1), self._most)
        if self.alone_share(pace) < self._objectives.share:
            return self._best(self._most, pace)
        low, found = high - 1, self._best(high, pace)
        while not self._is_met(found) and high < self._most:
            low, high = high, min(2 * high, self._most)
            found = self._best(high, pace)
        if not self._is_met(found):
            return found
        while high - low > 1:
            middle = (low + high) // 2
            tried = self._best(middle, pace)
            if self._is_met(tried):
                high, found = middle, tried
            else:
                low = middle
        return found

    def _busy_servers(self, pace: float) -> tuple[int, int]:
        """Servers that all prompts, and that all answers in the best of batches, would keep busy without a
        pause."""
        prompt_s, token_s = self._priced(pace)
        batches = np.arange(1, min(self._design.most_sequences, token_s.size - 1) + 1)
        further = np.maximum(self._trace.output_tokens - 1, 0).sum()
        busy_s = (prompt_s[self._trace.prompt_tokens].sum(), further * (token_s[batches] / batches).min())
        span_s = self._until_s - float(self._trace.arrival_s[0])
        prefill, decode = (int(one / span_s) for one in busy_s)
        return prefill, decode

    def _priced(self, pace: float) -> tuple[Floats, Floats]:
        """Steps by their tokens without what contexts and pairs add: no longer than they are."""
        longest = max(int(self._trace.prompt_tokens.max()), self._design.most_sequences)
        fleet = self._design.engine.fleet(1, longest)
        return fleet.prompt_s[0] * pace, fleet.token_s[0] * pace

    def _best(self, servers: int, pace: float) -> Found:
        """The best split of so many servers; half of those left are ruled out by which objective is
        missed."""
        if not self._splits:
            return self._tried(replace(self._design, servers=servers), pace)[0]
        prefill, decode = self._busy_servers(pace)
        low, high, best = max(1, prefill), servers - max(1, decode), None
        if low > high:
            low = high = min(max(1, prefill), servers - 1)
        while low <= high:
            middle = (low + high) // 2
            found, is_prompts = self._tried(
                replace(self._design, servers=servers, prefill_servers=middle, routing=QUEUES), pace
            )
            best = found if best is None or found.share > best.share else best
            if self._is_met(best):
                break
            low, high = (middle + 1, high) if is_prompts else (low, middle - 1)
        assert best is not None
        return best

    def _tried(self, design: Design, pace: float) -> tuple[Found, bool]:
        """What a design keeps, and whether what it misses are first tokens more than others."""
        self.simulated += 1
        outcomes = served(self._trace, design, pace=pace, until_s=self._until_s)
        kept = self._objectives.kept(outcomes, self._trace.output_tokens)
        first = np.nan_to_num(outcomes.ttft_s, nan=np.inf)
        further = np.nan_to_num(tpot_s(outcomes, self._trace.output_tokens), nan=0.0)
        late_first = (first > (self._objectives.ttft_s or self._objectives.e2e_s or np.inf)).sum()
        late_further = (further > (self._objectives.tpot_s or np.inf)).sum()
        late_further += (np.isnan(outcomes.response_s) & np.isfinite(outcomes.ttft_s)).sum()
        return Found(design, float(kept.mean())), bool(late_first > late_further)

    def _is_met(self, found: Found) -> bool:
        return found.share >= self._objectives.share
