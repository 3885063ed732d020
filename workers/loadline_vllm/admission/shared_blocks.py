"""
Which blocks running requests share, since their prompts begin alike.

A request that is admitted finds blocks of its prompt in vLLM's prefix cache. Such a block is counted once
for all requests that found it, and a request that found blocks is counted without them. Keeping the counts
costs as much as a request found, when it starts and when its blocks are freed, and nothing in a step.

The request that computed a prefix first found nothing, so its own blocks are counted with it. While it runs
beside others that found them, they are counted twice, and the prediction is too high by one prefix.
"""

from collections.abc import Iterable, Sequence


class SharedBlocks:
    """The blocks that requests found when they were admitted, and who holds them."""

    def __init__(self) -> None:
        self._holders: dict[int, int] = {}
        self._found: dict[str, tuple[Sequence[int], int]] = {}

    def __len__(self) -> int:
        """How many different blocks are shared."""
        return len(self._holders)

    @property
    def requests(self) -> int:
        """How many requests hold some."""
        return len(self._found)

    def new_among(self, block_ids: Iterable[int]) -> int:
        """How many of these blocks no request holds yet that found them."""
        return sum(one not in self._holders for one in block_ids)

    def tokens(self, request_id: str) -> int:
        """Tokens of a request that are in shared blocks."""
        found = self._found.get(request_id)
        return found[1] if found is not None else 0

    def hold(self, request_id: str, block_ids: Sequence[int], *, tokens: int) -> None:
        """A request was admitted, and found these blocks; what it found before is of another start."""
        self.release(request_id)
        if not block_ids:
            return
        self._found[request_id] = block_ids, tokens
        for one in block_ids:
            self._holders[one] = self._holders.get(one, 0) + 1

    def release(self, request_id: str) -> None:
        """The blocks of a request were freed; nothing happens if it found none."""
        block_ids, _ = self._found.pop(request_id, ((), 0))
        for one in block_ids:
            self._holders[one] -= 1
            if not self._holders[one]:
                del self._holders[one]
