"""
What must hold of any replay, whatever the routing: the study checks it of its own, benchmarks may call it.

Belady's rule with all known is the optimum of every cache that loads an expert only when it is needed.
One that also prefetches may have more hits, but can't load less in all: prefetching moves loads, it
saves none.
"""

from collections.abc import Mapping

from loadline_sim.experts.caches import Replay
from loadline_sim.experts.policies import BOUND, POLICIES, Workload, run


def belady_is_best(workload: Workload, *, slots: int) -> bool:
    """Whether, with so many slots, no policy of the study beats Belady's."""
    replays = {
        policy.name: run(policy, workload, slots=slots, transfer_s=1.0, layer_s=2.0) for policy in POLICIES
    }
    return none_beats_belady(replays)


def none_beats_belady(replays: Mapping[str, Replay]) -> bool:
    """Whether Belady's has the most hits of all that don't prefetch, and the fewest loads of all."""
    best = replays[BOUND]
    on_demand = [replays[policy.name] for policy in POLICIES if not policy.prefetching]
    return all(one.hits <= best.hits for one in on_demand) and all(
        one.loads >= best.loads for one in replays.values()
    )


def all_accesses_are_counted(replays: Mapping[str, Replay]) -> bool:
    """Whether each access was a hit, late or a miss, in every replay."""
    return all(one.hits + one.late + one.misses == one.accesses for one in replays.values())
