"""
The node's own loop: report, take the lease, have it put on the GPUs, report again.

A report is always under way, and its answer is the next lease. A draw past the
lease's trigger, or as far below what was last told, is reported at once, out of turn,
on a connection of its own. Whom to obey is decided by the pure `leases`, what is done
to the hardware by `node_gpus`, and sampling and the deadline belong to the thread of
`gpu_thread`; here is only who waits for what.

A lease is stood by only once its promise is in the record that the guard reads. At
the deadline and at exit a node in Enforce steps down and never up.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from loadline_agent.domain.node_reports import NodeReporter
from loadline_agent.domain.peers import Home
from loadline_agent.domain.ports import Declarations
from loadline_agent.domain.report_clients import ReportClient, Unanswered
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S, GpuThread
from loadline_agent.hardware.node_gpus import Done, NodeGpus
from loadline_agent.hardware.sensors import GpuSample
from loadline_agent.journals import Journal, plain
from loadline_agent.metrics import Metrics
from loadline_policies.errors import HardwareError, LeaseRefused
from loadline_policies.power.protocol.leases import Standing, accept, released
from loadline_policies.power.protocol.messages import Act, Lease, Report

SETTLE_S: Final = 0.15
"""Between writing a limit and reading it back, up to `SETTLE_TRIES` times. Chosen: a cap's delay and half."""
SETTLE_TRIES: Final = 3

RETRY_S: Final = (0.2, 0.4)
"""Between two exchanges that failed: all candidates are asked within one lease."""

HOMELESS_S: Final = 1.0
"""Between two looks for a domain."""


class Leaf:
    """One node in its domain. `standing` is where it stands in the protocol."""

    def __init__(
        self,
        node_gpus: NodeGpus,
        report_client: ReportClient,
        *,
        declarations: Declarations,
        reporter: NodeReporter,
        journal: Journal,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self._node_gpus, self._report_client, self._declarations = node_gpus, report_client, declarations
        self._reporter, self._journal, self._metrics, self._clock = reporter, journal, metrics, clock
        self._gpu_thread = GpuThread(
            node_gpus, clock, seen=self._seen, alarm=self._report_out_of_turn, stepped=self._stepped
        )
        self._taking = asyncio.Lock()
        self._urgent: asyncio.Task[None] | None = None
        self._domain: str | None = None
        self.standing = _found(node_gpus)

    async def run(self) -> None:
        """Sample and report until cancelled; `close` afterwards."""
        self._gpu_thread.start()
        while True:
            home = self._declarations.home()
            self._domain = self._reporting_to(home)
            if self._domain is None or not self._reporter.ready:
                await asyncio.sleep(HOMELESS_S if self._domain is None else SAMPLE_EVERY_S)
                continue
            self._reporter.settle(home)
            await self._turn(self._domain)
            if self._urgent is not None:
                await asyncio.wait((self._urgent,))

    async def close(self) -> None:
        """Step down, if this node enforces, and let the thread go. The record stays armed."""
        if self._urgent is not None:
            self._urgent.cancel()
        done = await self._gpu_thread.close()
        if done is not None:
            self._tell_step_down(done, "exit")

    @property
    def domain(self) -> str | None:
        """The domain that the node reports to: while armed the one that armed it."""
        return self._reporting_to(self._declarations.home())

    def _seen(self, samples: tuple[GpuSample, ...], now: float) -> bool:
        """In the keeper's thread: take a round of samples; whether it can't wait for its turn."""
        self._reporter.take(samples, now)
        held = self.standing.holding
        return held is not None and now < held.deadline_s and self._reporter.news

    def _report_out_of_turn(self) -> None:
        busy = self._urgent is not None and not self._urgent.done()
        if busy or self._domain is None:
            return
        self._metrics.out_of_turn.inc()
        self._urgent = asyncio.create_task(self._turn(self._domain))

    def _stepped(self, done: Done) -> None:
        self._tell_step_down(done, "deadline")

    def _reporting_to(self, home: Home | None) -> str | None:
        """The domain to report to: while armed the one that armed it, so that it can be released."""
        if self.standing.armed and self.standing.holding is not None:
            return self.standing.holding.lease.domain
        return home.domain if home is not None else self._domain

    async def _turn(self, domain: str) -> None:
        """One exchange: report, and take what comes back. Never raises for a peer's or a GPU's fault."""
        sent_s = self._clock()
        report = self._reporter.report(domain, self.standing, now=sent_s)
        try:
            lease = await self._report_client.exchange(report)
        except Unanswered as error:
            self._metrics.exchanges.labels("unanswered").inc()
            self._reporter.unanswered = str(error)
            await asyncio.sleep(random.uniform(*RETRY_S))
            return
        self._reporter.unanswered = None
        if lease is None:
            self._metrics.exchanges.labels("superseded").inc()
            return
        await self._settle(await self._take(lease, report, sent_s=sent_s))

    async def _take(self, lease: Lease, report: Report, *, sent_s: float) -> Done:
        arrived_s = self._clock()
        async with self._taking:
            try:
                standing = accept(
                    self.standing,
                    lease,
                    domain=report.domain,
                    gpus=report.gpus,
                    sequence=report.sequence,
                    sent_s=sent_s,
                    now=self._clock(),
                )
            except LeaseRefused as error:
                self._refuse(error)
                return Done()
            done = await self._carry_out(lease, standing)
        self._reporter.slack_watts = lease.trigger_watts - report.watts
        self._metrics.exchanges.labels("leased").inc()
        if done.writes:
            self._metrics.enforce_seconds.observe(self._clock() - arrived_s)
        return done

    async def _carry_out(self, lease: Lease, standing: Standing) -> Done:
        """Do what the lease says, and stand by it only if the promise could be recorded."""
        deadline_s = _deadline_s(standing)
        before, done = self.standing, Done()
        try:
            if lease.act is Act.ENFORCE:
                done = await self._gpu_thread.do(
                    lambda: self._node_gpus.enforce(lease.limits, lease.plan_version, deadline_s=deadline_s)
                )
                standing = standing if self._node_gpus.record.armed else released(standing)
            elif lease.act is Act.RELEASE and standing.armed:
                done = await self._gpu_thread.do(lambda: self._node_gpus.restore(deadline_s))
                standing = standing if self._node_gpus.record.armed else released(standing)
        except (OSError, HardwareError) as error:
            self._reporter.broken(error)
            self._metrics.limit_errors.labels(_word(error)).inc()
            return Done()
        self.standing = standing
        self._reporter.heat = lease.heat
        self._count(done)
        self._tell(before, lease, done)
        return done

    async def _settle(self, done: Done) -> None:
        """Wait until the hardware holds what was written, so that the next report can say so."""
        for _ in range(SETTLE_TRIES if done.writes else 0):
            await asyncio.sleep(SETTLE_S)
            await self._gpu_thread.do(self._node_gpus.look)
            if self._node_gpus.settled:
                return

    def _refuse(self, error: LeaseRefused) -> None:
        self._metrics.exchanges.labels("refused").inc()
        self._metrics.lease_refusals.labels(error.reason).inc()
        self._journal.write(
            "leaf/refusal",
            observation=plain({"now_s": self._clock()}),
            decision={"taken": False},
            reason=str(error),
        )

    def _count(self, done: Done) -> None:
        self._metrics.limit_writes.inc(done.writes)
        for error in done.errors:
            self._metrics.limit_errors.labels(_word(error)).inc()

    def _tell_step_down(self, done: Done, reason: str) -> None:
        self._metrics.step_downs.inc()
        self._count(done)
        safe = {gpu.uuid: gpu.safe_watts for gpu in self._node_gpus.record.gpus}
        observed = {"deadline_s": self._node_gpus.record.deadline_s, "now_s": self._clock()}
        self._journal.write(
            "leaf/step-down", observation=plain(observed), decision=plain({"safe_watts": safe}), reason=reason
        )

    def _tell(self, before: Standing, lease: Lease, done: Done) -> None:
        """Journal a lease that changes something; a mere renewal is none of anybody's business."""
        held = before.holding.lease if before.holding is not None else None
        if held is not None and (held.act, held.limits, held.epoch) == (lease.act, lease.limits, lease.epoch):
            return
        decision = {"writes": done.writes, "late": done.late, "errors": [str(error) for error in done.errors]}
        self._journal.write(
            "leaf/lease", observation={"lease": plain(lease)}, decision=plain(decision), reason=lease.level
        )


def _deadline_s(standing: Standing) -> float:
    """When the lease just taken ends, counted from when its request was sent."""
    assert standing.holding is not None
    return standing.holding.deadline_s


def _found(node_gpus: NodeGpus) -> Standing:
    """Where a node begins: nowhere, or under an armed record, until the deadline that its guard goes by.

    That is at most one lease time; a longer one of our own making would let an agent
    that is restarted again and again never step down.
    """
    if not node_gpus.record.armed:
        return Standing()
    return Standing(armed=True, inherited_until_s=node_gpus.record.deadline_s)


def _word(error: Exception) -> str:
    """The error as a label."""
    return type(error).__name__ if isinstance(error, HardwareError) else "RecordUnwritable"
