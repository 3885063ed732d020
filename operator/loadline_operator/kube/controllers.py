"""
What a controller is: a name, what it watches, what it reconciles, and when it is ready.

`loadline_operator.controllers` lists all of them, and `main` builds, watches, wakes and runs them by
this shape alone. A new controller is a class of this kind and a line of that list.

An event never says what to do. It becomes a fact of the controller's tables, and if the fact moved,
a key is put on the work queue; `reconcile` then reads what there is.
"""

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from loadline_operator.kube.fact_tables import FactTable
from loadline_operator.kube.kinds import Kind
from loadline_operator.kube.observers import Seen
from loadline_operator.kube.work_queues import SETTLE_S, WorkQueue
from loadline_operator.metrics import Metrics

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Watched:
    """A kind that kopf watches, the table of its facts, and what is called with each event."""

    kind: Kind
    table: FactTable[Any]
    seen: Seen


class Controller(ABC, Generic[K]):
    """One controller; `name` is its label in metrics, `settle_s` how long its work queue collects events."""

    name: ClassVar[str]
    settle_s: ClassVar[float] = SETTLE_S

    def __init__(self, metrics: Metrics) -> None:
        self.work_queue = WorkQueue[K](self.name, self.reconcile, metrics=metrics, settle_s=self.settle_s)

    @property
    @abstractmethod
    def watched(self) -> tuple[Watched, ...]:
        """Kinds that every cluster has, and that kopf watches."""

    @abstractmethod
    async def reconcile(self, key: K) -> None:
        """Make what belongs to `key` as it should be, and write what is so: read, plan, apply."""

    def wake(self) -> None:
        """Put everything known on the work queue: a watch has begun anew, and may have missed events.

        One whose `seen` does all that is to be done has nothing to do.
        """

    def list_watches(self) -> Sequence[Coroutine[Any, Any, None]]:
        """Watches of kinds and namespaces that come and go; each runs until cancelled."""
        return ()

    async def answered(self) -> None:
        """Return once the API server has answered for each of `list_watches`."""

    @property
    def unanswered(self) -> str:
        """What the API server hasn't answered yet for them, as a sentence; empty if there is nothing."""
        return ""
