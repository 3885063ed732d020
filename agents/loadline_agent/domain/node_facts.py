"""
What the node says of itself to people: its gauges, and the slow facts of its NodeCapacity.

Its report to the coordinator is made by the protocol; both are made of the same look at the
GPUs. Faults are words of the API's table of reasons, each with a sentence.
"""

import math
from collections.abc import Callable, Iterator, Mapping

from loadline_agent import gauges
from loadline_agent.gauges import Reading
from loadline_agent.hardware.armed_records import GuardReport
from loadline_agent.hardware.gpu_sentences import by_gpu, named
from loadline_agent.hardware.left_gpus import in_force_and_found
from loadline_agent.hardware.opened_gpus import GpuInfo
from loadline_agent.hardware.slow_readings import UNREAD, SlowReadings
from loadline_api.node_capacities import Gpu, PersistenceMode
from loadline_api.reasons import Reason
from loadline_policies.power.protocol.node_states import GpuState, NodeState
from loadline_policies.power.protocol.nodes import Node
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS

CONFLICTS = (Reason.OTHER_WRITER, Reason.NODE_CLAIMED_TWICE)
"""Problems that are somebody else's claim on the node."""


class NodeFacts:
    """Facts of one node. `look` gives the newest look at its GPUs, `infos` what seldom changes of them.

    `guard` reads what the guard says of itself, whenever somebody asks: its age is that of its own word,
    whether or not anybody leads, and whatever the driver does. `xids` are the last of each GPU that told one.
    """

    def __init__(
        self,
        node: Node,
        infos: Callable[[], tuple[GpuInfo, ...]],
        *,
        look: Callable[[], NodeState],
        guard: Callable[[], GuardReport | None],
        clock: Callable[[], float],
        xids: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._node, self._infos, self._look, self._guard, self._clock = node, infos, look, guard, clock
        self._xids = xids

    @property
    def watts(self) -> float:
        """Host and GPUs, as the next report would say."""
        return self._look().watts(self._node.home)

    def problems(self) -> dict[str, str]:
        """All that is wrong here, in the words of the API's table of reasons, each with a sentence."""
        found, state = self._node.faults(self._clock()), self._look()
        found |= _gpu_faults(state, self._xids())
        if not state.gpus:
            found[Reason.NO_GPUS.value] = Reason.NO_GPUS.sentence
        failing = [gpu.uuid for gpu in state.gpus if gpu.has_range and not (gpu.able or gpu.proven)]
        if failing:  # one that is proven is unable by somebody else's writes, and in conflict
            told = f"a limit couldn't be written or read back on {named(failing)}"
            found[Reason.WRITES_FAIL.value] = told
        unset = [gpu.uuid for gpu in state.gpus if not gpu.has_range]
        if unset:
            found[Reason.RANGE_UNKNOWN.value] = _range_unknown(unset)
        if self._node.home.conflict is not None:
            found[Reason.NODE_CLAIMED_TWICE.value] = self._node.home.conflict
        if self._node.orphan_of is not None:
            found[Reason.ORPHANED.value] = _orphaned(self._node.orphan_of, self._node.name)
        left = _left_behind(state)
        if left:
            found[Reason.LEFT_BEHIND.value] = by_gpu(
                (gpu.uuid, in_force_and_found(gpu.enforced_watts, gpu.found_watts)) for gpu in left
            )
        lower = [gpu for gpu in state.gpus if state.armed and _found_below_default(gpu)]
        if lower:
            found[Reason.FOUND_BELOW_DEFAULT.value] = by_gpu(
                (gpu.uuid, _found_and_default(gpu)) for gpu in lower
            )
        off = [uuid for uuid, info in self._known().items() if info.slow.persistence is PersistenceMode.OFF]
        if off and state.armed:
            found[Reason.PERSISTENCE_OFF.value] = _persistence_off(off)
        unlisted = [uuid for uuid, info in self._known().items() if info.min_mhz >= info.max_mhz]
        if unlisted and state.armed:
            found[Reason.CLOCKS_UNLISTED.value] = _clocks_unlisted(unlisted)
        if not state.settable:
            found[Reason.MISSING_PRIVILEGE.value] = Reason.MISSING_PRIVILEGE.sentence
        return found

    @property
    def proven(self) -> bool:
        """Whether on every GPU that can be set a limit was written, changed what was there, was read back."""
        gpus = [gpu for gpu in self._look().gpus if gpu.has_range]
        return bool(gpus) and all(gpu.proven for gpu in gpus)

    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs as the node's NodeCapacity lists them, also those that can't be opened."""
        known = self._known()
        return tuple([_listed(gpu, known.get(gpu.uuid)) for gpu in self._look().gpus])

    def _known(self) -> dict[str, GpuInfo]:
        return {info.uuid: info for info in self._infos()}

    def held_back(self) -> frozenset[str]:
        """GPUs whose limit or clock is below its maximum."""
        return frozenset(
            gpu.uuid
            for gpu in self._look().gpus
            if gpu.clock_mhz is not None or gpu.max_watts - gpu.most_watts >= ROUNDING_WATTS
        )

    def readings(self) -> Iterator[Reading]:
        """The node's gauges."""
        state, standing, now = self._look(), self._node.standing, self._clock()
        known = self._known()
        for gpu in state.gpus if state.sampled else ():
            yield from _gpu_readings(gpu)
            yield from _slow_readings(gpu.uuid, _slow(known.get(gpu.uuid)))
            info = known.get(gpu.uuid)
            if info is not None:
                yield gauges.GPU_CLOCK_LOCKABLE.reading(info.min_mhz < info.max_mhz, gpu.uuid)
        for uuid, xid in self._xids().items():
            yield gauges.GPU_LAST_XID.reading(xid, uuid)
        yield gauges.NODE_WATTS.reading(self.watts if state.sampled else 0.0)
        yield gauges.ARMED.reading(standing.armed)
        left_s = standing.deadline_s - now if standing.deadline_s is not None else 0.0
        yield gauges.LEASE_SECONDS.reading(max(0.0, left_s))
        yield gauges.ORPHANED.reading(self._node.orphan_of is not None)
        yield gauges.LEFT_BEHIND_GPUS.reading(len(_left_behind(state)))
        yield from _guard_readings(self._guard(), now)
        problems = self.problems()
        for reason in CONFLICTS:
            yield gauges.CONFLICT.reading(reason in problems, reason.value)


def _gpu_faults(state: NodeState, xids: Mapping[str, int]) -> dict[str, str]:
    """What is wrong with GPUs, by the word for it; each GPU is named, with the last XID that it told."""
    found: dict[str, list[tuple[str, str]]] = {}
    for gpu in state.gpus:
        if gpu.fault is not None:
            xid = f"; its last XID is {xids[gpu.uuid]}" if gpu.uuid in xids else ""
            found.setdefault(gpu.fault.word, []).append((gpu.uuid, f"{gpu.fault.sentence}{xid}"))
    return {word: by_gpu(sentences) for word, sentences in found.items()}


def _range_unknown(uuids: list[str]) -> str:
    return (
        f"the driver reports no settable range for {named(uuids)}: each counts at the most that it may draw"
    )


def _persistence_off(uuids: list[str]) -> str:
    return (
        f"persistence mode is off on {named(uuids)}: the driver forgets their limits when its last client"
        " closes, as while the agent's pod is replaced. Run nvidia-persistenced on the node"
    )


def _clocks_unlisted(uuids: list[str]) -> str:
    return (
        f"the driver lists no clock below the maximum on {named(uuids)}: none can be locked, so"
        " policy levels that only lock clocks have no effect there; power limits work"
    )


def _orphaned(domain: str, node: str) -> str:
    return (
        f"PowerDomain {domain}, which armed this node, was deleted; the node stays at its safe limits. Create"
        " a PowerDomain of that name again, or let another one in mode Enforce select the node. Or, if the"
        f" breaker can carry the node at its maximum, run `loadline release --node {node}`"
    )


def _left_behind(state: NodeState) -> tuple[GpuState, ...]:
    """GPUs of a released node that aren't asked for what was found on them before our first write."""
    if state.armed:
        return ()
    return tuple([gpu for gpu in state.gpus if gpu.found_watts is not None and not _as_found(gpu)])


def _found_below_default(gpu: GpuState) -> bool:
    """Whether the owner's limit is below the driver's: set by him, or ours and its record was lost."""
    found, default = gpu.found_watts, gpu.default_watts
    return found is not None and default is not None and found < default - ROUNDING_WATTS


def _found_and_default(gpu: GpuState) -> str:
    return f"original limit {gpu.found_watts:g} W, driver's default {gpu.default_watts:g} W"


def _as_found(gpu: GpuState) -> bool:
    asked, found = gpu.requested_watts, gpu.found_watts
    return asked is not None and found is not None and abs(asked - found) < ROUNDING_WATTS


def _guard_readings(report: GuardReport | None, now: float) -> Iterator[Reading]:
    age_s = now - report.heartbeat_s if report is not None else float("inf")
    interventions, errors = (report.interventions, report.errors) if report is not None else (0, 0)
    yield gauges.GUARD_AGE_SECONDS.reading(age_s)
    yield gauges.GUARD_INTERVENTIONS.reading(interventions)
    yield gauges.GUARD_ERRORS.reading(errors)


def _gpu_readings(gpu: GpuState) -> Iterator[Reading]:
    yield gauges.GPU_WATTS.reading(gpu.watts, gpu.uuid)
    yield gauges.GPU_OK.reading(gpu.ok, gpu.uuid)
    yield gauges.GPU_ABLE.reading(gpu.able, gpu.uuid)
    if gpu.enforced_watts is not None:
        yield gauges.GPU_LIMIT_WATTS.reading(gpu.enforced_watts, gpu.uuid)
        yield gauges.GPU_CLOCK_CAP_MHZ.reading(gpu.clock_mhz or 0, gpu.uuid)
    if gpu.safe_watts is not None:
        yield gauges.GPU_SAFE_WATTS.reading(gpu.safe_watts, gpu.uuid)


def _slow(info: GpuInfo | None) -> SlowReadings:
    return info.slow if info is not None else UNREAD


def _slow_readings(uuid: str, slow: SlowReadings) -> Iterator[Reading]:
    yield gauges.GPU_PERSISTENCE_MODE.reading(1.0, uuid, slow.persistence.value)
    if slow.module_limit_watts is not None:
        yield gauges.GPU_MODULE_LIMIT_WATTS.reading(slow.module_limit_watts, uuid)
    if slow.module_watts is not None:
        yield gauges.GPU_MODULE_WATTS.reading(slow.module_watts, uuid)


def _listed(gpu: GpuState, info: GpuInfo | None) -> Gpu:
    """In whole watts, the range rounded up: safe limits are planned by it."""
    slow = _slow(info)
    return Gpu(
        uuid=gpu.uuid,
        name=info.name if info is not None else "",
        min_watts=math.ceil(gpu.min_watts),
        max_watts=math.ceil(gpu.max_watts),
        enforced_watts=round(gpu.enforced_watts) if gpu.enforced_watts is not None else None,
        clock_cap_mhz=gpu.clock_mhz,
        persistence_mode=slow.persistence,
        module_limit_watts=round(slow.module_limit_watts) if slow.module_limit_watts is not None else None,
    )
