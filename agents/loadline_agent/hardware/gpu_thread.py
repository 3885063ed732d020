"""
The one thread that touches the GPUs: it samples, keeps the deadline, and does jobs between.

A thread of its own, since a sick GPU lets the driver hang for seconds and the event
loop, which may carry a whole domain, must go on; and since a loop that hangs must not
keep the node from stepping down. It wakes the loop only when there is something to
say: at 4 Hz each wake would cost more than the sample (280 µs against 55 µs).

The deadline is that of the record on file, the same that the guard goes by. After each
round and each job it publishes one frozen state; what a state means is the caller's:
`is_news` runs in this thread and only says whether `alarm` should run in the loop.

A step down that fails for some GPU is tried again with each sample, on the GPUs of which it isn't sure yet:
it may last for hours that one of eight is lost. It is told when it fails and when it doesn't any more, and
between the two once a minute, with the number of tries. An error that nobody foresaw ends the thread and is
told to the loop.
"""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Final, TypeVar

from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_policies.power.protocol.node_states import NodeState

SAMPLE_EVERY_S: Final = 0.25
"""4 Hz: a crossing is seen before the sensor's own lag of some 0.35 s is over."""

TELL_EVERY_S: Final = 60.0
"""How often a step down that goes on failing is told: four tries a second would fill the journal. Chosen."""

HUNG_AFTER_S: Final = 3.0
"""How long an exit waits for a driver that hangs; the guard has the record."""

DEADLINE: Final = "deadline"
REOPENED: Final = "the driver was opened anew"
"""Why the node has stepped down."""

T = TypeVar("T")


class GpuThread:
    """Owns `node_gpus`; `do` is the only way to them while the thread runs, and `state` all that is seen.

    `is_news(state, now)` is called after each round, `stepped(done, why)` in the loop after
    a step down, `failed(error)` when the thread has ended by an error.
    """

    def __init__(
        self,
        node_gpus: NodeGpus,
        clock: Callable[[], float],
        *,
        is_news: Callable[[NodeState, float], bool],
        alarm: Callable[[], object],
        stepped: Callable[[Done, str], object],
        failed: Callable[[Exception], object],
    ) -> None:
        self._node_gpus, self._clock = node_gpus, clock
        self._is_news, self._alarm, self._stepped, self._failed = is_news, alarm, stepped, failed
        self.state = node_gpus.state()
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._kept_s = self._again_s = self._told_s = self._tried_s = float("-inf")
        self._unsure: frozenset[str] = frozenset()
        self._untold: Done | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name="gpus", daemon=True)

    def start(self) -> None:
        """Begin; to be called in the event loop that is to be woken."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def do(self, act: Callable[[], T]) -> T:
        """Run `act` in the thread, between two samples; raises what it raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def job() -> None:
            try:
                result = act()
                self.state = self._node_gpus.state()
            except Exception as error:
                loop.call_soon_threadsafe(_fail, future, error)
            else:
                loop.call_soon_threadsafe(_settle, future, result)

        self._jobs.put(job)
        return await future

    async def close(self) -> Done | None:
        """Step down if the node is armed, and end; None if there was nothing to do or the driver hangs."""
        if self._loop is None:
            return None
        done: Done | None = None
        try:
            if self._node_gpus.record.armed and self._thread.is_alive():
                done = await asyncio.wait_for(self.do(self._node_gpus.step_down), HUNG_AFTER_S)
        except TimeoutError:
            return None
        finally:
            self._jobs.put(None)
        self._thread.join(HUNG_AFTER_S)
        return done

    def _run(self) -> None:
        due_s = self._clock()
        while True:
            now = self._clock()
            try:
                job = self._jobs.get(timeout=max(0.0, min(due_s, self._deadline_s()) - now))
            except Empty:
                job = self._turn
            if job is None:
                return
            try:
                job()
            except Exception as error:  # whoever owns the node must know: nothing is sampled any more
                assert self._loop is not None
                self._loop.call_soon_threadsafe(self._failed, error)
                return
            if job == self._turn:
                due_s = max(due_s + SAMPLE_EVERY_S, now)

    def _turn(self) -> None:
        """Keep the deadline, then look at the sensors: each in its time, at most a sample late."""
        assert self._loop is not None
        if self._clock() >= self._deadline_s():
            self._step_down(self._loop)
        fixed = self._node_gpus.fix()
        if fixed is not None:
            self._unsure = frozenset()  # of all that an earlier driver has read back
            self._loop.call_soon_threadsafe(self._stepped, fixed, REOPENED)
        self._node_gpus.sample()
        self.state = self._node_gpus.state()
        if self._is_news(self.state, self._clock()):
            self._loop.call_soon_threadsafe(self._alarm)

    def _step_down(self, loop: asyncio.AbstractEventLoop) -> None:
        deadline_s = self._node_gpus.record.deadline_s
        again = deadline_s == self._tried_s and bool(self._unsure)
        done = self._node_gpus.step_down(self._unsure if again else None)
        self._tried_s, self._unsure = deadline_s, done.unsure
        if done.errors:
            self._again_s = self._clock() + SAMPLE_EVERY_S
        else:
            self._kept_s = deadline_s
        done = done if self._untold is None else _added(self._untold, done)
        if done.errors and self._untold is not None and self._clock() - self._told_s < TELL_EVERY_S:
            self._untold = replace(done, repeats=done.repeats + 1)
            return
        self._told_s = self._clock()
        self._untold = Done() if done.errors else None
        loop.call_soon_threadsafe(self._stepped, done, DEADLINE)

    def _deadline_s(self) -> float:
        """When to step down; not again for a deadline that was kept."""
        record = self._node_gpus.record
        if not record.armed or record.deadline_s == self._kept_s:
            return float("inf")
        return max(record.deadline_s, self._again_s)


def _added(untold: Done, done: Done) -> Done:
    """The newest try, with the writes of those that nobody was told of, and their number."""
    return replace(done, writes=untold.writes + done.writes, repeats=untold.repeats)


def _settle(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[T]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
