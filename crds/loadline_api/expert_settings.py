"""
What the agent may set in the layers of experts of an engine: it writes this section, and the plugin reads it.

The settings of no policy are the defaults: they count, and change no output. Keys of a later version are
ignored, as in every message between plugin and agent.

Some things that a layer can't carry show only in the engine, such as a strategy without expert parallelism.
The plugin goes on counting there, and reports why it bounds nothing. What no engine can carry is refused
here, so that whoever writes it learns it at once.
"""

from collections.abc import Mapping
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from loadline_api.refusals import refused
from loadline_policies.experts.capacities import UNBOUNDED_THOUSANDTHS

UNKNOWN_CLASSES: Final[Mapping[str, str]] = {
    "image": "vLLM 0.32 doesn't pass to a router which tokens are of images",
    "priority": "vLLM 0.32 doesn't send the priority of a request to the ranks",
}
"""Classes of tokens that would be useful, and why no plugin can know which tokens are of them."""


StrategyName = Literal["drop", "reroute", "rank_drop", "expanded", "threshold"]


class ExpertsSettings(BaseModel):
    """The settings of all layers of an engine."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    mode: Literal["off", "observe", "enforce"] = "observe"
    """How far the plugin goes: nothing; count, and change no output; also keep experts from exceeding their
    capacity, which changes what the model answers."""

    gamma_thousandths: int = Field(default=UNBOUNDED_THOUSANDTHS, ge=100, le=UNBOUNDED_THOUSANDTHS)
    """γ: the capacity as a multiple of the mean load, in thousandths."""

    strategy: StrategyName = "drop"
    """What becomes of a pair that its expert can't keep.

    drop: it is left out. reroute: it is offered to the token's next best expert. rank_drop: it is left out
    only if its whole rank is full. expanded: as drop, and experts that need no message to another rank fill
    their capacity with other tokens, which needs expert parallelism. threshold: each expert keeps the pairs
    whose score reaches its threshold, so that no token depends on the others of its batch; the thresholds
    follow from γ and from the scores that were counted while this strategy was set in mode observe.
    """

    rounds: int = Field(default=2, ge=1, le=8)
    """Of rerouting; an engine does at most those that it was started for."""

    metric: Literal["score", "order", "reverse_order", "random"] = "score"
    """Which pairs an expert keeps when it can't keep all; with thresholds it is always the score."""

    min_tokens: int = Field(default=256, ge=1, le=2**20)
    """Tokens of a batch from which on it counts as large, and may be bounded. Steps that only decode have
    fewer, as a rule, and are left as they are. Thresholds hold for batches of every size."""

    classes: Mapping[str, float] = Field(default_factory=dict)
    """What is added to the priority of a class of tokens; none is known to the plugin, so each is refused."""

    @field_validator("classes")
    @classmethod
    def _refuse_classes(cls, classes: Mapping[str, float]) -> Mapping[str, float]:
        for name in classes:
            reason = UNKNOWN_CLASSES.get(name, "there is no such class of tokens")
            raise ValueError(f"leave out `{name[:64]}`: {reason}")
        return classes

    @property
    def bounds(self) -> bool:
        """Whether outputs may differ from those of the model alone."""
        return self.mode == "enforce" and self.gamma_thousandths < UNBOUNDED_THOUSANDTHS

    def answers_like(self, other: Self) -> bool:
        """Whether KV that was computed under the other settings may be reused under these."""
        return not (self.bounds or other.bounds) or self == other

    def encode(self) -> dict[str, JsonValue]:
        """The section as the agent sends it: what differs from the defaults."""
        section: dict[str, JsonValue] = self.model_dump(mode="json", exclude_defaults=True)
        return section

    @classmethod
    def read(cls, settings: Mapping[str, JsonValue]) -> Self:
        """The settings in the agent's answer; InvalidInput names the field."""
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise refused(error, "experts") from error
