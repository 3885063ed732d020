"""
Who leads a domain: its Kubernetes Lease, taken and renewed the way client-go does.

The rule is `loadline_policies.power.protocol.elections`, pure; here are the reads and writes
that it calls for.

A renewal, however late, keeps the epoch, since nobody can have led in between. So an API
server that is away ends nothing here. How long a holder may lead without a renewal is
the coordinator's rule; it is told when the last good renewal was *sent*.

Writes are guarded by the object's resourceVersion and carry all else as it was read,
because the admission policy lets a candidate change holder, times and count only. How long
a Lease lasts is believed within bounds.
"""

import asyncio
import random
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime

from loadline_agent.kube.clients import Kube, Object
from loadline_api.api_errors import KubeError, WriteConflict
from loadline_api.names import CANDIDATES_ANNOTATION, LEASES
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.elections import (
    PERIOD_S,
    Record,
    Sighting,
    Step,
    believed_duration_s,
    next_step,
    sight,
    still_ours,
)
from loadline_policies.power.protocol.messages import Epoch

REST_S = 1.5
"""After giving an epoch up others go first, and a process on its way out isn't elected once more. Chosen."""


class Election:
    """One node's part in the election of its domain's coordinator.

    `epoch` is what this process leads in, None if it doesn't; `renewed_sent_s` is when
    the last good renewal was sent, on `clock`; `holder` is who was last seen to hold it.
    `on_change` is called after each of them changed. `problem` says why the last
    attempt failed.
    """

    def __init__(
        self,
        kube: Kube,
        *,
        namespace: str,
        lease_name: str,
        node: str,
        clock: Callable[[], float],
        on_change: Callable[[], None] = lambda: None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.epoch: Epoch | None = None
        self.renewed_sent_s = float("-inf")
        self.holder = ""
        self.problem: str | None = None
        self._kube, self._node, self._clock, self._wall = kube, node, clock, wall
        self._path = LEASES.path(lease_name, namespace=namespace)
        self._on_change = on_change
        self._lease: Object | None = None
        self._sighting: Sighting | None = None
        self._tried: tuple[Record, float] | None = None
        self._resigned: Collection[Epoch] = ()
        self._rests_until_s = float("-inf")
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Stand for election until cancelled; nothing is given up by that (see `resign`)."""
        while True:
            started_s = self._clock()
            await self.step()
            pause_s = PERIOD_S * random.uniform(0.9, 1.1) - (self._clock() - started_s)
            await asyncio.sleep(max(0.0, pause_s))

    async def step(self) -> None:
        """Look at the Lease and do what it calls for, once; nothing, just after giving an epoch up."""
        if self._clock() < self._rests_until_s:
            return
        before = self.epoch, self.renewed_sent_s, self.holder
        async with self._turn:
            try:
                await self._step()
                self.problem = None
            except (KubeError, InvalidInput) as error:
                self.problem = str(error)
                self._lease = None  # whatever happened, read before writing again
        if (self.epoch, self.renewed_sent_s, self.holder) != before:
            self._on_change()

    @property
    def others(self) -> int:
        """How many candidates there are beside this node; 0 while unknown."""
        candidates = self._sighting.record.candidates if self._sighting is not None else ()
        return len(set(candidates) - {self._node})

    async def resign(self, rest_s: float = 0.0) -> None:
        """Lead no more in this epoch, and leave the Lease empty if the API server listens.

        Call it only when nothing is answered in the epoch any more. The node stays a candidate
        as long as `run` runs, and a later win is a higher epoch.
        """
        tried = self._tried[0].epoch if self._tried is not None else None
        ours = {epoch for epoch in (self.epoch, tried) if epoch is not None}
        led, self.epoch, self._tried = self.epoch is not None, None, None
        self._resigned, self._rests_until_s = ours, self._clock() + max(REST_S, rest_s)
        async with self._turn:
            try:
                record = await self._read()
                if record.holder == self._node and record.epoch in ours:
                    await self._write(replace(record, holder="", renewed=self._now()))
            except (KubeError, InvalidInput) as error:
                self.problem = str(error)
            self._lease = None
        if led:
            self._on_change()

    async def _step(self) -> None:
        if self._lease is None:
            self._settle(await self._read())
        assert self._sighting is not None
        record, unchanged_s = self._sighting.record, self._sighting.unchanged_s
        step = next_step(
            record,
            node=self._node,
            held=self.epoch,
            unchanged_s=unchanged_s,
            resigned=self._resigned,
        )
        if step is Step.RENEW:
            await self._hold(replace(record, renewed=self._now()))
        elif step is Step.ACQUIRE:
            count = record.transitions + 1
            await self._hold(replace(record, holder=self._node, transitions=count, renewed=self._now()))
        else:
            self._lease = None

    def _settle(self, record: Record) -> None:
        """Say what a record that was just read means for us."""
        tried, self._tried = self._tried, None
        if tried is not None and _same_act(tried[0], record):
            self._lead(record.epoch, tried[1])  # only the answer was lost
        elif self.epoch is not None and not still_ours(record, node=self._node, held=self.epoch):
            self.epoch = None

    async def _hold(self, wanted: Record) -> None:
        sent_s = self._clock()
        self._tried = (wanted, sent_s)
        try:
            await self._write(wanted)
        except WriteConflict:  # somebody was faster, or the operator named other candidates
            self._settle(await self._read())
            self._lease = None
            return
        self._tried = None
        self._lead(wanted.epoch, sent_s)

    def _lead(self, epoch: Epoch, sent_s: float) -> None:
        if epoch not in self._resigned:  # which may have happened while the answer was under way
            self.epoch, self.renewed_sent_s = epoch, sent_s

    async def _read(self) -> Record:
        return self._see(await self._kube.get(self._path))

    async def _write(self, wanted: Record) -> None:
        assert self._lease is not None
        self._see(await self._kube.replace(self._path, _with(self._lease, wanted)))

    def _see(self, lease: Object) -> Record:
        record = record_of(lease)
        self._sighting = sight(self._sighting, record, now=self._clock())
        self._lease, self.holder = lease, record.holder
        return record

    def _now(self) -> str:
        return self._wall().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def record_of(lease: Object) -> Record:
    """The record in a Lease; InvalidInput where it holds something else."""
    metadata, spec = lease.get("metadata", {}), lease.get("spec", {})
    listed = str(metadata.get("annotations", {}).get(CANDIDATES_ANNOTATION, ""))
    try:
        return Record(
            uid=str(metadata["uid"]),
            holder=spec.get("holderIdentity") or "",
            transitions=int(spec.get("leaseTransitions") or 0),
            renewed=spec.get("renewTime") or "",
            duration_s=believed_duration_s(float(spec.get("leaseDurationSeconds") or 0.0)),
            candidates=tuple(name for name in map(str.strip, listed.split(",")) if name),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(
            "lease.spec", spec, fix=f"delete the Lease, and the operator creates it again ({error})"
        ) from error


def _same_act(tried: Record, seen: Record) -> bool:
    """Whether what is seen is what was tried: no other process writes the same microsecond."""
    return (tried.epoch, tried.holder, tried.renewed) == (seen.epoch, seen.holder, seen.renewed)


def _with(lease: Object, record: Record) -> Object:
    """The Lease with another holder, count and time; all else as it was."""
    before = lease.get("spec", {})
    taken = record.transitions != int(before.get("leaseTransitions") or 0)
    spec = {
        **before,
        "holderIdentity": record.holder,
        "leaseTransitions": record.transitions,
        "renewTime": record.renewed,
        **({"acquireTime": record.renewed} if taken else {}),
    }
    return {**lease, "spec": spec}
