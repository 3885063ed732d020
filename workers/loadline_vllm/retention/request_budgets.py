"""
The bound of one request, as scheduler and worker both know it: what the engine fixes, and what travels
with it.

The scheduler gives a request its budget when it arrives, and writes it into the request's sampling
parameters, with which it reaches every rank. It is never changed afterwards: were it, scheduler and ranks
would disagree on which blocks are free. The engine's own name stands with it, which no client knows, so that
no client can give itself a budget that the scheduler doesn't know of. A client names spans of its prompt in
the same place (`vllm_xargs`), as flat lists of positions: start and end of each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.budgets import Budget
from loadline_policies.kv.spans import Span, Spans, checked
from loadline_vllm.settings import PolicyName

BUDGET: Final = "loadline_budget_tokens"
PROTECT: Final = "loadline_protect"
FAIR: Final = "loadline_fair"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRetention:
    """What is the same for all requests of an engine from its start on.

    The first `sink_tokens` and the last `recent_tokens` of a request always stay. `most_tokens` is the
    largest budget of any request, None if some have none; `gates` the file of those that `trimkv` goes by.
    The engine's name is vLLM's own for one instance.
    """

    policy: PolicyName
    buffer_tokens: int
    block_tokens: int
    sink_tokens: int = 4
    recent_tokens: int = 0
    most_tokens: int | None = None
    gates: str | None = None
    engine_name: str = ""

    def __post_init__(self) -> None:
        Budget(
            kept_tokens=self.block_tokens, buffer_tokens=self.buffer_tokens, block_tokens=self.block_tokens
        )

    def budget(self, kept_tokens: int) -> Budget:
        """A request's budget; InvalidInput if it is no multiple of a block, or has no room to choose."""
        budget = Budget(
            kept_tokens=kept_tokens, buffer_tokens=self.buffer_tokens, block_tokens=self.block_tokens
        )
        if self.sink_tokens + self.recent_tokens > kept_tokens // 2:
            raise InvalidInput(
                "retention.kept_tokens",
                kept_tokens,
                fix=f"keep twice the {self.sink_tokens + self.recent_tokens} that always stay, or more",
            )
        return budget


@dataclass(frozen=True, slots=True)
class RequestRetention:
    """The bound of one request: its budget, and the spans of its prompt that are spared."""

    budget: Budget
    spans: Spans = field(default_factory=Spans)


def given(extra_args: Mapping[str, Any] | None, engine: EngineRetention) -> RequestRetention | None:
    """What the scheduler wrote for a request; None if its memory isn't bounded, or if a client wrote it."""
    match (extra_args or {}).get(BUDGET):
        case [str(name), int(kept_tokens)] if engine.engine_name and name == engine.engine_name:
            return RequestRetention(engine.budget(kept_tokens), _spans(extra_args or {}))
        case _:
            return None


def written(
    extra_args: Mapping[str, Any] | None, retention: RequestRetention | None, *, engine_name: str
) -> dict[str, Any] | None:
    """The arguments with the request's bound, or without any; what a client wrote in its place is gone."""
    rest = {key: value for key, value in (extra_args or {}).items() if key not in {BUDGET, PROTECT, FAIR}}
    if retention is None:
        return rest or None
    spans = retention.spans
    return rest | {
        BUDGET: [engine_name, retention.budget.kept_tokens],
        PROTECT: [end for span in spans.protected for end in (span.start, span.end)],
        FAIR: [end for span in spans.fair for end in (span.start, span.end)],
    }


def asked_spans(
    extra_args: Mapping[str, Any] | None, *, prompt_tokens: int, kept_tokens: int, protected_prefix: int
) -> Spans:
    """The spans that a client asks for, with the prefix that the service protects; InvalidInput if they can't
    hold. The prefix is cut where a span of the client begins, and is no more than half of what is kept."""
    spans = _spans(extra_args or {})
    first = min((span.start for span in (*spans.protected, *spans.fair)), default=prompt_tokens)
    prefix = min(protected_prefix, prompt_tokens, first, kept_tokens // 2)
    protected = (Span(0, prefix), *spans.protected) if prefix > 0 else spans.protected
    return checked(Spans(protected, spans.fair), prompt_tokens=prompt_tokens, kept_tokens=kept_tokens)


def _spans(extra_args: Mapping[str, Any]) -> Spans:
    return Spans(_listed(extra_args.get(PROTECT), PROTECT), _listed(extra_args.get(FAIR), FAIR))


def _listed(positions: object, name: str) -> tuple[Span, ...]:
    if positions is None:
        return ()
    fix = "list positions of the prompt, start and end of each span: [0, 120, 300, 340]"
    if not isinstance(positions, Sequence) or isinstance(positions, str) or len(positions) % 2:
        raise InvalidInput(name, positions, fix=fix)
    if not all(type(position) is int for position in positions):
        raise InvalidInput(name, positions, fix=fix)
    return tuple(map(Span, positions[::2], positions[1::2]))
