"""
Which kinds of other projects the API server serves, and what there is of them.

A cluster has LeaderWorkerSet, PodMonitor, InferencePool or KServe, or it hasn't, or gets
them later, or loses them. So the definitions of custom resources are followed, by name
alone, and a kind that somebody wants is followed from when it is defined until it isn't.
Nobody's reconcile fails because a kind isn't there: it asks here, and is woken when the
answer turns.

Kinds of Kubernetes itself may be wanted too, where they are watched only for a while.
"""

import asyncio
from collections.abc import Callable, Iterable

from loadline_operator.kube.api_requests import ApiRequests
from loadline_operator.kube.kinds import CUSTOM_RESOURCES, Kind, Manifest
from loadline_operator.kube.list_watches import ListWatch

BUILT_IN = frozenset({"", "apps"})
"""Groups that need no definition."""


class OptionalKinds:
    """Follows kinds while they are defined and wanted; `answered` once each had its first answer.

    `seen` is called with a kind, an object of it and whether it is gone, `turned` with a kind
    that has begun or ceased to be served.
    """

    def __init__(
        self,
        requests: ApiRequests,
        *,
        always: Iterable[Kind],
        seen: Callable[[Kind, Manifest, bool], None],
        turned: Callable[[Kind], None],
    ) -> None:
        self._requests, self._always, self._seen, self._turned = requests, frozenset(always), seen, turned
        self._wanted = self._always
        self._defined: set[str] = set()
        self._followed: dict[Kind, tuple[ListWatch, asyncio.Task[None]]] = {}
        self._definitions = self._stream(CUSTOM_RESOURCES, self._define, self._begin, metadata_only=True)
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._moved = asyncio.Event()

    @property
    def offered(self) -> frozenset[Kind]:
        """Kinds that are served now."""
        return frozenset(kind for kind, (stream, _) in self._followed.items() if stream.served)

    def served(self, kind: Kind) -> bool | None:
        """Whether a wanted kind is served; None while the API server hasn't answered yet."""
        if self._definitions.served is None:
            return None
        if kind in self._followed:
            return self._followed[kind][0].served
        return False

    @property
    def silent(self) -> tuple[str, ...]:
        """Wanted kinds of which the API server hasn't said yet whether it serves them."""
        return tuple(sorted(kind.plural for kind in self._wanted if self.served(kind) is None))

    def want(self, kinds: Iterable[Kind]) -> None:
        """Follow these kinds beside those that are always followed, and no others any more."""
        wanted = self._always | frozenset(kinds)
        if wanted != self._wanted:
            self._wanted = wanted
            self._adjust()

    async def run(self) -> None:
        """Follow until cancelled; ends with an error only if one of its parts does."""
        task = self._start(self._definitions)
        try:
            await self._failed
        finally:
            for one in (task, *(task for _, task in self._followed.values())):
                one.cancel()

    async def answered(self) -> None:
        """Return once it is known of every wanted kind whether it is served."""
        while self.silent:
            self._moved.clear()
            await self._moved.wait()

    def _begin(self) -> None:
        """All definitions are known: the kinds can be followed."""
        self._adjust()
        self._moved.set()

    def _define(self, definition: Manifest, gone: bool) -> None:
        """A definition came, changed or went."""
        name = definition["metadata"]["name"]
        (self._defined.discard if gone else self._defined.add)(name)
        for kind, (stream, _) in self._followed.items():
            if _definition_of(kind) == name:
                stream.poke()
        if self._definitions.served is not None:
            self._adjust()

    def _adjust(self) -> None:
        """Follow what is wanted and may be there; let go of the rest."""
        if self._definitions.served is None:
            return
        right = {
            kind for kind in self._wanted if kind.group in BUILT_IN or _definition_of(kind) in self._defined
        }
        for kind in self._followed.keys() - right:
            self._leave(kind)
        for kind in right - self._followed.keys():
            self._follow(kind)

    def _follow(self, kind: Kind) -> None:
        def seen(raw: Manifest, gone: bool) -> None:
            self._seen(kind, raw, gone)

        def turned() -> None:
            self._moved.set()
            self._turned(kind)

        stream = self._stream(kind, seen, turned)
        self._followed[kind] = (stream, self._start(stream))

    def _leave(self, kind: Kind) -> None:
        stream, task = self._followed.pop(kind)
        task.cancel()
        stream.forget()
        self._moved.set()
        self._turned(kind)

    def _stream(
        self,
        kind: Kind,
        seen: Callable[[Manifest, bool], None],
        turned: Callable[[], None],
        *,
        metadata_only: bool = False,
    ) -> ListWatch:
        return ListWatch(self._requests, kind, seen=seen, turned=turned, metadata_only=metadata_only)

    def _start(self, stream: ListWatch) -> asyncio.Task[None]:
        task = asyncio.create_task(stream.run(), name=f"stream of {stream.kind.plural}")
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A stream ends when it is let go; by itself only through a fault of ours."""
        if not task.cancelled() and (error := task.exception()) is not None and not self._failed.done():
            self._failed.set_exception(error)


def _definition_of(kind: Kind) -> str:
    return f"{kind.plural}.{kind.group}"
