"""
What one engine with the recall model is asked: all that a part in the engine's interpreter is told.
"""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

STREAMING, TRIMKV = "streaming", "trimkv"
CONTEXT_TOKENS = 512
"""The most tokens of a request. vLLM doesn't start where one such request wouldn't fit into its memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """`requests` questions of marked recall, drawn by `seed`, are answered with `tokens` tokens each.

    Six in turn are about the same prompt, or with `distinct` each about a prompt of its own.
    `running` of them run at once at most, in `blocks` blocks. Prompts are computed in chunks of a buffer's
    tokens, so that the reference folds what the engine does, or, with `step_tokens`, in as large ones as a
    step of so many tokens allows. `kept_tokens` is M, None for all tokens. Without the plugin the engine is
    vLLM's own.
    """

    blocks: int
    tokens: int
    requests: int = 48
    distinct: bool = False
    running: int = 8
    step_tokens: int | None = None
    plugin: bool = True
    policy: str = STREAMING
    kept_tokens: int | None = None
    seed: int = 0

    @classmethod
    def parsed(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def __str__(self) -> str:
        return json.dumps(asdict(self))

    def with_(self, **changes: Any) -> Self:
        """The same but for some fields."""
        return replace(self, **changes)
