"""
Which server gets which request: the one whose estimated work ends first, chosen when the request arrives.

A server's prompts wait for each other, its answers don't; so work is the prompts before a request, plus a
share of the answers still under way. Among equals the one idle for longest is taken, so that an idle row is
used evenly. What is under way is kept between calls, so that weeks of requests can be routed in pieces.
"""

import heapq
from typing import NamedTuple, Self

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.compiled import compiled, compiled_making_arrays


class Work(NamedTuple):
    """When each server's prompts end, and the seconds of its answers that are under way.

    Of an answer, by the order of a heap: when it ends, on which server, and how much of it it takes.
    """

    prompts_end_s: Floats
    answers_s: Floats
    ends_s: Floats
    server: Ints
    spent_s: Floats

    @classmethod
    def none(cls, servers: int) -> Self:
        """Servers with nothing to do."""
        return cls(np.zeros(servers), np.zeros(servers), np.zeros(0), np.zeros(0, np.int64), np.zeros(0))

    def earlier(self, seconds: float) -> Self:
        """The same on a clock whose zero is so many seconds later."""
        return self._replace(prompts_end_s=self.prompts_end_s - seconds, ends_s=self.ends_s - seconds)


def routed(
    work: Work, arrival_s: Floats, *, prefill_s: Floats, decode_s: Floats, share: float
) -> tuple[Ints, Work]:
    """The servers of requests in order of arrival, and what is under way behind the last of them.

    A prompt and an answer take so many seconds; `share` is that of its server which an answer takes.
    """
    chosen = np.empty(arrival_s.size, np.int64)
    after = work._replace(prompts_end_s=work.prompts_end_s.copy(), answers_s=work.answers_s.copy())
    ends_s, server, spent_s = _route(after, arrival_s, prefill_s, decode_s, share, chosen)
    return chosen, after._replace(ends_s=ends_s, server=server, spent_s=spent_s)


@compiled_making_arrays
def _route(  # noqa: PLR0917
    work: Work, arrival_s: Floats, prefill_s: Floats, decode_s: Floats, share: float, chosen: Ints
) -> tuple[Floats, Ints, Floats]:
    """Choose the server of each request; the answers that are under way then."""
    under_way = [(work.ends_s[at], work.server[at], work.spent_s[at]) for at in range(work.ends_s.size)]
    for request in range(arrival_s.size):
        now_s = arrival_s[request]
        while len(under_way) > 0 and under_way[0][0] <= now_s:
            _, done_on, spent_s = heapq.heappop(under_way)
            work.answers_s[done_on] -= spent_s
        best = _least(work, now_s)
        work.prompts_end_s[best] = max(work.prompts_end_s[best], now_s) + prefill_s[request]
        end_s, taken_s = work.prompts_end_s[best] + decode_s[request], decode_s[request] * share
        work.answers_s[best] += taken_s
        heapq.heappush(under_way, (end_s, best, taken_s))
        chosen[request] = best
    return (
        np.array([one[0] for one in under_way]),
        np.array([one[1] for one in under_way]),
        np.array([one[2] for one in under_way]),
    )


@compiled
def _least(work: Work, now_s: float) -> int:
    """The server with the least work, to a microsecond, and of those the one idle for longest."""
    best, least_s = 0, np.inf
    for server in range(work.prompts_end_s.size):
        end_s = work.prompts_end_s[server]
        before_s = np.rint((max(end_s - now_s, 0.0) + work.answers_s[server]) * 1e6) / 1e6
        if before_s < least_s or (before_s == least_s and end_s < work.prompts_end_s[best]):
            best, least_s = server, before_s
    return best
