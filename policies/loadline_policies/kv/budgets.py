"""
How many tokens of a request's KV memory are kept when it is bounded, and which blocks become free.

A request with a budget keeps the keys and values of at most `kept_tokens` + `buffer_tokens` of its tokens.
Each time that the buffer is full, the tokens in it and those kept before are folded: the best `kept_tokens`
of them stay, and are moved to the request's first blocks, so that the buffer's blocks are free.

How many folds there were is a function of the number of computed tokens alone; only the choice of the tokens
that stay depends on their content. So the scheduler and every rank of the engine agree on a request's blocks
without a message between them.
"""

from dataclasses import dataclass

from loadline_policies.errors import InvalidInput


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The bound of one request: tokens that are kept, and tokens that are gathered before a fold.

    Both are multiples of `block_tokens`; raises InvalidInput if not, or if one is no block.
    """

    kept_tokens: int
    buffer_tokens: int
    block_tokens: int

    def __post_init__(self) -> None:
        for name in ("kept_tokens", "buffer_tokens"):
            tokens = getattr(self, name)
            if tokens < self.block_tokens or tokens % self.block_tokens:
                fix = f"set a multiple of the block size, {self.block_tokens} tokens"
                raise InvalidInput(f"retention.{name}", tokens, fix=fix)

    def folds(self, computed_tokens: int) -> int:
        """How many buffers have been folded before the step that starts with so many computed tokens."""
        return max(0, (computed_tokens - self.kept_tokens) // self.buffer_tokens)

    def held_tokens(self, computed_tokens: int) -> int:
        """Tokens whose keys and values are there: less than `kept_tokens` and a buffer."""
        return computed_tokens - self.folds(computed_tokens) * self.buffer_tokens

    def folded_blocks(self, computed_tokens: int) -> range:
        """Places in the request's block table whose tokens have been folded; their blocks are free."""
        kept = self.kept_tokens // self.block_tokens
        return range(kept, kept + self.folds(computed_tokens) * self.buffer_tokens // self.block_tokens)

    def most_blocks(self, chunk_tokens: int) -> int:
        """The most blocks that the request holds at once, if a step computes at most `chunk_tokens` of it.

        Two chunks, because blocks are freed one step after their tokens were folded.
        """
        return -(-(self.kept_tokens + self.buffer_tokens + 2 * chunk_tokens) // self.block_tokens)

    def ever_folds(self, longest_tokens: int) -> bool:
        """Whether a request of at most so many tokens is folded at all."""
        return self.folds(longest_tokens) > 0
