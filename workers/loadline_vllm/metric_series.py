"""
What is fixed of a metric of the plugin in the engine's `/metrics`, and its values where that is served.

The reference is written from what is fixed. Values are of `prometheus_client`, on which vLLM depends.
"""

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """A metric's name, help and labels; `values` are those of its only label, where all are known."""

    name: str
    help: str
    labels: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    type: Literal["counter", "gauge"] = "gauge"


@dataclass(slots=True)
class Published:
    """The series of one loop in the process that serves `/metrics`; each is made when it is first published.

    What is counted elsewhere is read as an absolute count, and its growth is added: a count that went back
    adds nothing.
    """

    _made: dict[str, Any] = field(default_factory=dict)
    _counted: dict[tuple[str, ...], int] = field(default_factory=dict)

    def set(self, series: Series, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._labelled(series, *labels).set(value)

    def count(self, series: Series, value: int, *labels: str) -> None:
        """Bring a counter to an absolute count."""
        before = self._counted.get((series.name, *labels), 0)
        self._labelled(series, *labels).inc(max(0, value - before))
        self._counted[series.name, *labels] = max(before, value)

    def _labelled(self, series: Series, *labels: str) -> Any:
        if series.name not in self._made:
            from prometheus_client import Counter, Gauge  # the engine's, as vLLM depends on it

            self._made[series.name] = (
                Counter(series.name, series.help, labelnames=series.labels)
                if series.type == "counter"
                else Gauge(series.name, series.help, labelnames=series.labels, multiprocess_mode="mostrecent")
            )
        found = self._made[series.name]
        return found.labels(*labels) if labels else found
