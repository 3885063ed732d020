"""
Carries for the node's half of the protocol: its reports over TLS, its orders to the GPUs.

What to report, whom to obey and what to order is decided by the pure `nodes`; what is done
to the hardware by `node_gpus`, in the one thread of `gpu_thread`, which also samples and
keeps the deadline. Here is only who waits for what, and what is counted and written down.

At the deadline and at exit a node in Enforce steps down and never up.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, Final

from loadline_agent.domain.ordered_releases import OrderedReleases
from loadline_agent.domain.ports import Declarations
from loadline_agent.domain.report_clients import ReportClient, Unanswered
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S, GpuThread
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.release_orders import ReleaseOrders
from loadline_agent.metrics import Metrics
from loadline_api.journals import Journal
from loadline_api.reasons import Reason
from loadline_policies.errors import HardwareError, LeaseRefused
from loadline_policies.power.protocol.messages import Act, Report
from loadline_policies.power.protocol.node_outputs import (
    CarryOut,
    Output,
    ReadBack,
    Refused,
    Restore,
    Send,
    Taken,
)
from loadline_policies.power.protocol.node_reports import NodeWorkloads
from loadline_policies.power.protocol.node_states import NodeState
from loadline_policies.power.protocol.nodes import Node

HOMELESS_S: Final = 1.0
"""Between two looks at what is declared while nothing else happens."""

NOTHING: Final = Done()


class Leaf:
    """One node in its domain; `node` is its half of the protocol."""

    def __init__(
        self,
        name: str,
        node_gpus: NodeGpus,
        report_client: ReportClient,
        *,
        declarations: Declarations,
        workloads: NodeWorkloads,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
        release_orders: ReleaseOrders | None = None,
    ) -> None:
        self._node_gpus, self._report_client, self._declarations = node_gpus, report_client, declarations
        self._journal, self._metrics, self._clock = journal, metrics, clock
        self.node = Node(name, node_gpus.state(), now=clock(), uniform=random.uniform, workloads=workloads)
        self._gpu_thread = GpuThread(
            node_gpus,
            clock,
            is_news=self.node.is_news,
            alarm=self._poll,
            stepped=self._tell_step_down,
            failed=self._fail,
        )
        self._releases: OrderedReleases | None = None
        if release_orders is not None:
            self._releases = OrderedReleases(
                release_orders,
                node_gpus,
                self._gpu_thread,
                node=self.node.name,
                journal=journal,
                clock=clock,
                count=self._count,
            )
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ended: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Sample and report until cancelled; `close` afterwards."""
        self._gpu_thread.start()
        self._ended = asyncio.get_running_loop().create_future()
        self._poll()
        try:
            await self._ended
        finally:
            self._stop()

    async def close(self) -> None:
        """Step down, if this node enforces, and let the thread go. The record stays armed."""
        self._stop()
        done = await self._gpu_thread.close()
        if done is not None:
            self._tell_step_down(done, "exit")

    @property
    def state(self) -> NodeState:
        """The newest look at the GPUs."""
        return self._gpu_thread.state

    @property
    def domain(self) -> str | None:
        """The domain that the node reports to: while armed the one that armed it."""
        return self.node.reports_to(self._declarations.home())

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for task in self._tasks:
            task.cancel()

    def _poll(self) -> None:
        """Do what is due, and come again when something will be; an error ends the agent, not the polling."""
        if self._ended is None or self._ended.done():
            return
        try:
            self._do_due()
        except Exception as error:
            self._fail(error)

    def _do_due(self) -> None:
        self.node.looked(self._gpu_thread.state)
        self.node.settle(self._declarations.home())
        if self._releases is not None and self._releases.take(armed=self.node.standing.armed):
            self._carry(self.node.release(self._clock()))
        self._carry(self.node.poll(self._clock()))
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, min(self.node.wake_s - self._clock(), self._idle_s))
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._poll)

    @property
    def _idle_s(self) -> float:
        return HOMELESS_S if self.node.state.sampled else SAMPLE_EVERY_S

    def _carry(self, outputs: Iterable[Output], done: Done = NOTHING) -> None:
        """Carry what the protocol asks for to where it belongs; `done` is what came of a taken lease."""
        for output in outputs:
            match output:
                case Send(report, out_of_turn):
                    self._metrics.out_of_turn.inc(int(out_of_turn))
                    self._start(self._exchange(report))
                case CarryOut():
                    self._start(self._carry_out(output))
                case Restore() if self._releases is not None:
                    self._start(self._restore(self._releases))
                case ReadBack():
                    self._start(self._read_back())
                case Taken():
                    self._metrics.exchanges.labels("leased").inc()
                    self._tell(output, done)
                case Refused(error):
                    self._refuse(error)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
        self._poll()

    def _fail(self, error: BaseException) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_exception(error)

    async def _exchange(self, report: Report) -> None:
        """One exchange. Never raises for a peer's fault."""
        try:
            lease = await self._report_client.exchange(report)
        except Unanswered:
            self._metrics.exchanges.labels("unanswered").inc()
            self.node.unanswered(report.sequence, self._clock())
            return
        if lease is None:
            self._metrics.exchanges.labels("superseded").inc()
            self.node.superseded(report.sequence)
            return
        self._carry(self.node.answered(report.sequence, lease, self._clock()))

    async def _carry_out(self, order: CarryOut) -> None:
        """Have an order carried out. Never raises for a GPU's or a disk's fault."""
        began_s = self._clock()
        try:
            done = await self._gpu_thread.do(partial(self._obey, order))
        except (OSError, HardwareError) as error:
            self._metrics.limit_errors.labels(_word(error)).inc()
            self._metrics.exchanges.labels("leased").inc()
            reason = Reason.GPU_LOST if isinstance(error, HardwareError) else Reason.STATE_LOST
            self._carry(self.node.failed(reason.value, str(error), self._clock()))
            return
        self._count(done)
        if done.writes:
            self._metrics.enforce_seconds.observe(self._clock() - began_s)
        first, *others = self.node.carried_out(self._gpu_thread.state, self._clock(), writes=done.writes)
        self._carry((first,), done)
        self._carry(others)

    def _obey(self, order: CarryOut) -> Done:
        """In the thread of the GPUs: what an order asks for."""
        lease = order.lease
        if lease.act is Act.RELEASE:
            return self._node_gpus.restore(order.deadline_s)
        return self._node_gpus.enforce(
            lease.limits, lease.plan_version, deadline_s=order.deadline_s, domain=lease.domain
        )

    async def _restore(self, releases: OrderedReleases) -> None:
        """Have what was found given back, by a person's order."""
        state = await releases.carry_out()
        self._carry(self.node.restored(state, self._clock()))

    async def _read_back(self) -> None:
        await self._gpu_thread.do(self._node_gpus.look)

    def _refuse(self, error: LeaseRefused) -> None:
        self._metrics.exchanges.labels("refused").inc()
        self._metrics.lease_refusals.labels(error.reason).inc()
        self._journal.write(
            "leaf/refusal",
            kind="Node",
            name=self.node.name,
            observation={"now_s": self._clock()},
            decision={"taken": False},
            reason=str(error),
        )

    def _count(self, done: Done) -> None:
        self._metrics.limit_writes.inc(done.writes)
        for error in done.errors:
            self._metrics.limit_errors.labels(_word(error)).inc()

    def _tell_step_down(self, done: Done, reason: str) -> None:
        """Count it once, however often it had to be tried, and write down what it is about."""
        self._metrics.step_downs.inc(int(not done.repeats))
        self._count(done)
        state = self._gpu_thread.state
        safe = {gpu.uuid: gpu.safe_watts for gpu in state.gpus}
        observed = {"deadline_s": state.deadline_s, "now_s": self._clock()}
        decision = {"safe_watts": safe, "errors": [str(error) for error in done.errors]}
        self._journal.write(
            "leaf/step-down",
            kind="Node",
            name=self.node.name,
            observation=observed,
            decision={**decision, "repeats": done.repeats},
            reason=reason,
        )

    def _tell(self, taken: Taken, done: Done) -> None:
        """Journal a lease that changes something; a mere renewal is none of anybody's business."""
        lease, held = taken.lease, taken.before
        if held is not None and (held.act, held.limits, held.epoch) == (lease.act, lease.limits, lease.epoch):
            return
        decision = {"writes": done.writes, "late": done.late, "errors": [str(error) for error in done.errors]}
        self._journal.write(
            "leaf/lease",
            kind="Node",
            name=self.node.name,
            observation={"lease": lease},
            decision=decision,
            reason=lease.level,
        )


def _word(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, HardwareError) else "RecordUnwritable"
