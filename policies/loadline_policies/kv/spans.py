"""
Parts of a prompt that keep their tokens when a request's KV memory is bounded, or lose them in equal shares.

What is dropped is chosen token by token, so one instruction of a prompt may vanish while the others stay, and
averages hardly move (The Pitfalls of KV Cache Compression, arXiv 2510.00231). Its two remedies are here: a
protected span keeps all of its tokens, and fair spans keep the same share of theirs, of what is left beside
protected ones. Tokens outside of all spans are a span of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from loadline_policies.errors import InvalidInput

MOST_SPANS = 64
"""Chosen: more parts than a prompt of instructions has, and few enough for a mask for each."""


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Tokens of a prompt from `start` up to `end`, which isn't one of them."""

    start: int
    end: int

    @property
    def tokens(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Spans:
    """The spans of one prompt: protected ones, and those with equal shares. None overlaps another."""

    protected: tuple[Span, ...] = ()
    fair: tuple[Span, ...] = ()

    def shared_sizes(self, seen_tokens: int) -> list[int]:
        """How many of the first tokens are in each fair span, and last how many are in no span at all."""
        fair, protected = (
            [max(0, min(span.end, seen_tokens) - span.start) for span in spans]
            for spans in (self.fair, self.protected)
        )
        return [*fair, max(0, seen_tokens - sum(protected) - sum(fair))]


def checked(spans: Spans, *, prompt_tokens: int, kept_tokens: int) -> Spans:
    """The spans in order; InvalidInput if they overlap, lie outside the prompt, or protect more than half of
    what is kept."""
    everything = sorted((*spans.protected, *spans.fair))
    if len(everything) > MOST_SPANS:
        raise InvalidInput("spans", f"{len(everything)} spans", fix=f"give at most {MOST_SPANS}")
    end = 0
    for span in everything:
        if not end <= span.start < span.end <= prompt_tokens:
            fix = f"give spans that don't overlap within the prompt's {prompt_tokens} tokens"
            raise InvalidInput("spans", [span.start, span.end], fix=fix)
        end = span.end
    protected = sum(span.tokens for span in spans.protected)
    if protected > kept_tokens // 2:
        fix = f"protect at most half of the {kept_tokens} tokens that are kept"
        raise InvalidInput("spans.protected", f"{protected} tokens", fix=fix)
    return Spans(tuple(sorted(spans.protected)), tuple(sorted(spans.fair)))


def fair_quotas(sizes: Sequence[int], *, kept: int) -> list[int]:
    """How many tokens of spans with these sizes stay, of `kept` in all: the same share of each.

    Whole numbers by the largest remainder, the first of equal ones. The sum is `kept`, or that of the sizes
    if it is less.
    """
    total = sum(sizes)
    if total <= kept:
        return list(sizes)
    quotas = [size * kept // total for size in sizes]
    remainders = [(-(size * kept % total), place) for place, size in enumerate(sizes)]
    for _, place in sorted(remainders)[: kept - sum(quotas)]:
        quotas[place] += 1
    return quotas


def quotas_of_present(sizes: Sequence[int], present: Sequence[int], *, kept: int) -> list[int]:
    """The quotas of spans of which only so many tokens are left; what one can't fill, the others share alike.

    The sum is `kept`, or that of `present` if it is less.
    """
    quotas = fair_quotas(sizes, kept=kept)
    full = {place for place, left in enumerate(present) if quotas[place] >= left}
    if all(quotas[place] == present[place] for place in full):
        return quotas
    others = [place for place in range(len(sizes)) if place not in full]
    shares = quotas_of_present(
        [sizes[place] for place in others],
        [present[place] for place in others],
        kept=kept - sum(present[place] for place in full),
    )
    of_others = dict(zip(others, shares, strict=True))
    return [of_others.get(place, left) for place, left in enumerate(present)]
