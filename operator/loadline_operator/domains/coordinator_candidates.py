"""
Which members may coordinate a domain: at most five, changed as seldom as possible.

Every change of the list is a write that five agents notice, and taking the holder out
would end its coordination. So the holder stays as long as it is a member with a known
agent, whatever its kubelet says; the others stay while they are Ready; only free places
are filled, by name.
"""

from collections.abc import Iterable

from loadline_api.names import MAX_CANDIDATES
from loadline_operator.domains.facts import Node


def choose(
    members: Iterable[Node], *, known: Iterable[str], before: Iterable[str], holder: str = ""
) -> tuple[str, ...]:
    """The candidates, sorted; `known` are the nodes that have a NodeCapacity."""
    agents = set(known)
    there = [node for node in members if node.name in agents]
    eligible = {node.name for node in there if node.ready}
    kept = [name for name in before if name in eligible]
    if holder in {node.name for node in there}:
        kept = [holder, *(name for name in kept if name != holder)]
    fresh = sorted(eligible - set(kept))
    return tuple(sorted([*kept, *fresh][:MAX_CANDIDATES]))
