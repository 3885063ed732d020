"""What is fixed of a metric of the plugin in the engine's `/metrics`: the reference is written from it."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric's name, help and labels; `values` are those of its only label, where all are known."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    type: Literal["counter", "gauge"] = "gauge"
