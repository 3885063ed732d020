"""
What one rank answers of retention: how often it has folded, which no scheduler can know.

The scheduler frees blocks by a rule, and takes it for granted that the ranks have folded them. So the folds
that they did are read back, and a report without them says that they are unknown.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import JsonValue

FOLDS: Final = "folds"


def hold(_worker: Any, _section: Mapping[str, JsonValue]) -> dict[str, str]:
    """Take any change: a request's budget comes to a rank with the request, from the scheduler."""
    return {}


def counts(worker: Any) -> dict[str, int | None]:
    """Folds since the start of the engine; None where the worker isn't one that folds."""
    running = getattr(worker, "loadline_running", None)
    return {FOLDS: running.folds if running is not None and running.engine is not None else None}
