"""
Members of a large row in one process: the product's node machine and its client, and no process each.

A thousand agents don't fit one machine, and a coordinator can't tell: it hears what a member says on the
wire. So each member here is `protocol.nodes` with a `ReportClient` and a certificate of its own, over
GPUs of the board that are read and set as arrays instead of by NVML. It samples as an agent does, four
times a second, and looks closer where its draw has moved.

    python -m testbed.doubles.stub_members TOLD

TOLD is a JSON file of `Told`. Once a second a line of JSON goes to standard output: the wall clock, how
many exchanges were answered and how many weren't, how many members are armed, how often one had to step
down, and which of them heard of another level when.
"""

import asyncio
import gc
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadline_agent.boot_clock import boottime
from loadline_agent.domain.peers import Peer
from loadline_agent.domain.report_clients import ReportClient, Unanswered
from loadline_agent.domain.tls_identity import Identity, client_context, der_of
from loadline_agent.hardware.gpu_thread import SAMPLE_EVERY_S
from loadline_api.bounded_listeners import ask_for_descriptors, ask_for_small_buffers
from loadline_policies.power.protocol.messages import Report
from loadline_policies.power.protocol.node_outputs import CarryOut, Output, ReadBack, Send, Taken
from loadline_policies.power.protocol.node_states import Home
from loadline_policies.power.protocol.nodes import Node
from loadline_policies.power.safety.safe_states import GpuRating, NodeRating
from loadline_sim.virtual.node_gpus import VirtualGpus
from testbed.fakegpu.board import Board

HANDSHAKES_HZ: Final = 60.0
"""So many members begin in a second. A real row's have a processor each for their handshakes."""

BATCHES: Final = 50
"""So many groups of members sample in turn within one period."""

MOVED_WATTS: Final = 1.0
"""A node whose draw has moved by less has nothing to tell out of turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the members are told: their board, their domain, and who may lead it."""

    board: str
    state: str
    domain: str
    host_watts: float
    candidates: tuple[tuple[str, str, str], ...]
    """Node, address and certificate (PEM) of each."""
    nodes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> "Told":
        """What a file says."""
        told = json.loads(path.read_text())
        candidates = tuple((node, address, pem) for node, address, pem in told.pop("candidates"))
        return cls(candidates=candidates, nodes=tuple(told.pop("nodes")), **told)


@dataclass(slots=True)
class Counts:
    """What has happened since the last line."""

    answered: int = 0
    unanswered: Counter[str] = field(default_factory=Counter)
    step_downs: int = 0
    levels: list[tuple[float, str, str]] = field(default_factory=list)
    collected_s: float = 0.0
    _began_s: float = 0.0

    def collector(self, phase: str, _: dict[str, int]) -> None:
        """Count how long everything stands still for the collector of garbage."""
        if phase == "start":
            self._began_s = time.perf_counter()
        else:
            self.collected_s += time.perf_counter() - self._began_s


class BoardGpus:
    """One node's GPUs on the board, as virtual agents see hardware."""

    def __init__(self, board: Board, index: int, *, rating: NodeRating, host_watts: float) -> None:
        self.rating, self.host_watts = rating, host_watts
        self._board, self._index = board, index

    def watts(self) -> list[float]:
        """What the sensors show."""
        found: list[int] = self._board.gpus["instant_mw"][self._index].tolist()
        return [one / 1000 for one in found]

    def enforced_watts(self) -> list[float]:
        """The limits in force: this board's are so at once."""
        return self.requested_watts()

    def requested_watts(self) -> list[float]:
        """The limits last asked for."""
        gpus = self._board.gpus[self._index]
        slots: list[list[int]] = gpus["power"]["requested"].tolist()
        indexes: list[int] = gpus["power_index"].tolist()
        return [slot[index & 1] / 1000 for slot, index in zip(slots, indexes, strict=True)]

    def set_limit(self, index: int, watts: float) -> None:
        """Have a limit in force."""
        self._board.write_as_other(self._index, index, watts=watts)

    def set_clock(self, index: int, mhz: int | None) -> None:
        """Clocks shape performance, and no promise leans on them."""


class Stub:
    """One member: carries for the node's half of the protocol, as `leaf` does for an agent."""

    def __init__(
        self, name: str, gpus: VirtualGpus, client: ReportClient, *, home: Home, counts: Counts
    ) -> None:
        self.gpus, self._client, self._home, self._counts = gpus, client, home, counts
        self.node = Node(name, gpus.look(boottime()), now=boottime(), uniform=random.uniform)
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._level = ""
        self._stepped_s = 0.0

    def sampled(self) -> None:
        """The draw has moved."""
        state = self.gpus.look(boottime())
        if self.node.is_news(state, boottime()):
            self.poll()

    def poll(self) -> None:
        """Do what is due, and come again when something will be."""
        now = boottime()
        self._keep_deadline(now)
        self.node.looked(self.gpus.look(now))
        self.node.settle(self._home)
        self._carry(self.node.poll(now))
        if self._timer is not None:
            self._timer.cancel()
        delay_s = max(0.0, min(self.node.wake_s - now, 1.0))
        self._timer = asyncio.get_running_loop().call_later(delay_s, self.poll)

    def _keep_deadline(self, now: float) -> None:
        """Step down once a deadline is over, as the thread of an agent's GPUs does."""
        record = self.gpus.record
        if record.armed and now >= record.deadline_s != self._stepped_s:
            self._stepped_s = record.deadline_s
            self._counts.step_downs += 1
            self.gpus.step_down(now)

    def _carry(self, outputs: Iterable[Output]) -> None:
        for output in outputs:
            match output:
                case Send(report):
                    task = asyncio.create_task(self._exchange(report))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                case CarryOut(lease, deadline_s):
                    writes = self.gpus.carry_out(lease, deadline_s, boottime())
                    now = boottime()
                    self._carry(self.node.carried_out(self.gpus.look(now), now, writes=writes))
                case Taken(lease):
                    self._hear(lease.level)
                case ReadBack():
                    self.node.looked(self.gpus.look(boottime()))

    def _hear(self, level: str) -> None:
        if level != self._level:
            self._level = level
            self._counts.levels.append((time.time(), self.node.name, level))

    async def _exchange(self, report: Report) -> None:
        try:
            lease = await self._client.exchange(report)
        except Unanswered as error:
            self._counts.unanswered[error.reason] += 1
            self.node.unanswered(report.sequence, boottime())
        else:
            self._counts.answered += 1
            if lease is None:
                self.node.superseded(report.sequence)
            else:
                self._carry(self.node.answered(report.sequence, lease, boottime()))
        self.poll()


def stubs(told: Told, board: Board, counts: Counts) -> list[Stub]:
    """All members, none of which has begun."""
    peers = tuple(Peer(node, address, der_of(pem)) for node, address, pem in told.candidates)
    home = Home(
        domain=told.domain, host_idle_watts=told.host_watts, host_max_watts=told.host_watts, enforced=True
    )
    indexes = {name: index for index, name in enumerate(board.node_names)}
    found = []
    for name in told.nodes:
        rating = rating_of(board, name, indexes[name], host_watts=told.host_watts)
        gpus = BoardGpus(board, indexes[name], rating=rating, host_watts=told.host_watts)
        identity = Identity.load_or_create(Path(told.state) / name, node=name, address="")
        client = ReportClient(lambda domain: peers, context=_trusting(identity))
        found.append(Stub(name, VirtualGpus(gpus), client, home=home, counts=counts))
    return found


def rating_of(board: Board, name: str, index: int, *, host_watts: float) -> NodeRating:
    least, most = (int(board.header[key][0]) / 1000 for key in ("min_mw", "max_mw"))
    gpus = tuple(GpuRating(uuid, least, most) for uuid in board.uuids(index))
    return NodeRating(node=name, host_max_watts=host_watts, gpus=gpus)


def _trusting(identity: Identity) -> Callable[[Peer], Any]:
    return lambda peer: client_context(identity, peer.certificate)


async def _sample(members: list[Stub], board: Board, indexes: list[int]) -> None:
    """Look at the sensors of all members within each period, and have those look closer whose draw moved."""
    seen = board.gpus["instant_mw"][indexes].sum(axis=1)
    while True:
        for batch in range(BATCHES):
            await asyncio.sleep(SAMPLE_EVERY_S / BATCHES)
            part = slice(batch, None, BATCHES)
            draws = board.gpus["instant_mw"][indexes[part]].sum(axis=1)
            moved = abs(draws.astype(float) - seen[part]) > 1000 * MOVED_WATTS
            seen[part] = draws
            for member, so in zip(members[part], moved.tolist(), strict=True):
                if so:
                    member.sampled()


async def _tell(members: list[Stub], counts: Counts) -> None:
    frozen = False
    while True:
        await asyncio.sleep(1.0)
        armed = sum(member.node.standing.armed for member in members)
        if armed == len(members) and not frozen:
            gc.freeze()  # what connections are made of, too
            frozen = True
        line = {
            "t": time.time(),
            "answered": counts.answered,
            "unanswered": counts.unanswered,
            "step_downs": counts.step_downs,
            "armed": armed,
            "levels": counts.levels,
            "collected_s": round(counts.collected_s, 4),
        }
        print(json.dumps(line), flush=True)
        counts.levels, counts.collected_s = [], 0.0


async def run(told: Told) -> None:
    """Play all members until cancelled; they begin one after the other."""
    ask_for_descriptors()
    ask_for_small_buffers()
    counts = Counts()
    gc.callbacks.append(counts.collector)
    board = Board.open(Path(told.board))
    members = stubs(told, board, counts)
    gc.freeze()  # an agent's collector has one member's objects to walk, and not those of a thousand
    loop = asyncio.get_running_loop()
    for member in members:
        loop.call_later(random.uniform(0.0, len(members) / HANDSHAKES_HZ), member.poll)
    indexes = [board.node_names.index(name) for name in told.nodes]
    await asyncio.gather(_sample(members, board, indexes), _tell(members, counts))


def main() -> int:
    """Play until SIGTERM."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    asyncio.run(run(Told.read(Path(sys.argv[1]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
