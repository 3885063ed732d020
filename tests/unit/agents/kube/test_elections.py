"""The election of a coordinator: one node step by step, and many with a network that loses things."""

import asyncio
import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.kube.elections import Election, record_of
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Epoch

UID = "8c1f"
DURATION_S = 15.0


def test_a_lease_that_holds_something_else_is_refused() -> None:
    with pytest.raises(InvalidInput, match="delete the Lease, and the operator creates it again"):
        record_of({"metadata": {"uid": UID}, "spec": {"leaseTransitions": "many"}})


@pytest.mark.parametrize(
    ("told", "believed_s"),
    [
        (None, 15.0),
        (0, 15.0),
        (15, 15.0),
        (30, 30.0),
        (1, 15.0),
        (-1, 15.0),
        (2**31 - 1, 60.0),
        ("1e999", 60.0),
    ],
)
def test_a_lease_lasts_as_long_as_the_protocol_bears(told: object, believed_s: float) -> None:
    """A shorter one would be taken while its holder may still raise, a longer one would never be."""
    spec = {"leaseDurationSeconds": told} if told is not None else {}
    assert record_of({"metadata": {"uid": UID}, "spec": spec}).duration_s == believed_s


@dataclass
class Store:
    """The one Lease of an API server, guarded by its version; `losses` says what happens to a request."""

    losses: Callable[[], str] = lambda: ""
    version: int = 1
    spec: dict[str, Any] = field(default_factory=lambda: {"leaseDurationSeconds": int(DURATION_S)})
    uid: str = UID
    candidates: str = "a,b,c"
    writes: list[tuple[str, int]] = field(default_factory=list)

    def lease(self) -> dict[str, Any]:
        annotations = {"loadline.dev/candidates": self.candidates}
        metadata = {"uid": self.uid, "resourceVersion": str(self.version), "annotations": annotations}
        return {"metadata": metadata, "spec": dict(self.spec)}

    async def handle(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # others have their turn while a request is under way
        loss = self.losses()
        if loss == "request":
            raise httpx.ConnectError("lost on the way", request=request)
        response = self._answer(request)
        if loss == "answer":
            raise httpx.ReadError("lost on the way back", request=request)
        return response

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            wanted = json.loads(request.content)
            if wanted["metadata"]["resourceVersion"] != str(self.version):
                return httpx.Response(409, json={"message": "the object has been modified"})
            self.version += 1
            self.spec = wanted["spec"]
            self.writes.append((self.spec["holderIdentity"], self.spec["leaseTransitions"]))
        return httpx.Response(200, json=self.lease())


@dataclass
class Clock:
    """Boot time and wall time, moved by hand; the wall also ticks, as real ones do."""

    now: float = 1000.0
    ticks: Any = field(default_factory=itertools.count)

    def __call__(self) -> float:
        return self.now

    def wall(self) -> datetime:
        return datetime.fromtimestamp(1.7e9 + self.now + next(self.ticks) * 1e-6, UTC)


def election(
    store: Store, *, clock: Clock, node: str = "a", on_change: Callable[[], None] = lambda: None
) -> Election:
    kube = Kube(Credentials(server="http://api"), transport=httpx.MockTransport(store.handle))
    return Election(
        kube,
        namespace="loadline-system",
        lease_name="loadline-row-a",
        node=node,
        clock=clock,
        on_change=on_change,
        wall=clock.wall,
    )


async def test_an_empty_lease_is_taken_and_renewed() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    assert mine.epoch == Epoch(1, UID)
    assert store.spec["acquireTime"] == store.spec["renewTime"]
    clock.now += 3.0
    await mine.step()
    assert (mine.epoch, mine.renewed_sent_s) == (Epoch(1, UID), 1003.0)
    assert store.spec["acquireTime"] < store.spec["renewTime"]
    assert store.writes == [("a", 1), ("a", 1)]


async def test_the_renewal_counts_from_when_it_was_sent() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)

    def slow() -> str:
        clock.now += 2.0
        return ""

    store.losses = slow
    await mine.step()  # the write is sent after the read has taken its two seconds
    assert mine.renewed_sent_s == 1002.0


async def test_a_silent_holder_is_followed_after_its_own_duration() -> None:
    store, clock = Store(), Clock()
    await election(store, clock=clock, node="b").step()
    mine = election(store, clock=clock)
    for _ in range(5):
        await mine.step()
        assert mine.epoch is None
        assert mine.holder == "b"
        clock.now += 3.0
    await mine.step()
    assert mine.epoch == Epoch(2, UID)


async def test_an_outage_ends_nothing() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    store.losses = lambda: "request"
    clock.now += 60.0
    await mine.step()
    assert mine.epoch == Epoch(1, UID)
    assert mine.renewed_sent_s == 1000.0
    assert "can't be reached" in str(mine.problem)
    store.losses = lambda: ""
    await mine.step()
    assert (mine.epoch, mine.renewed_sent_s, mine.problem) == (Epoch(1, UID), 1060.0, None)


async def test_after_an_outage_the_holder_gets_its_time() -> None:
    store, clock = Store(), Clock()
    await election(store, clock=clock, node="b").step()
    mine = election(store, clock=clock)
    await mine.step()
    clock.now += 60.0
    await mine.step()
    assert mine.epoch is None


async def test_an_acquisition_whose_answer_was_lost_is_ours() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    losses = iter(["", "answer", "", ""])
    store.losses = lambda: next(losses)
    await mine.step()
    assert mine.epoch is None
    clock.now += 3.0
    await mine.step()
    assert mine.epoch == Epoch(1, UID)


async def test_whoever_sees_another_holder_leads_no_more() -> None:
    store, clock = Store(), Clock()
    changes: list[Epoch | None] = []
    mine = election(store, clock=clock, on_change=lambda: changes.append(mine.epoch))
    await mine.step()
    store.spec.update(holderIdentity="b", leaseTransitions=2)
    store.version += 1
    clock.now += 3.0
    await mine.step()
    assert mine.epoch is None
    assert mine.holder == "b"
    assert changes == [Epoch(1, UID), None]


async def test_a_lease_made_anew_ends_the_epoch() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    store.uid, store.spec = "new", {}
    store.version += 1
    await mine.step()
    assert mine.epoch is None
    await mine.step()
    assert mine.epoch == Epoch(1, "new")


async def test_the_other_candidates_are_counted_once_the_lease_was_read() -> None:
    mine = election(Store(), clock=Clock())
    assert mine.others == 0
    await mine.step()
    assert mine.others == 2


async def test_other_candidates_cost_no_epoch() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    store.candidates, store.version = "a,b", store.version + 1
    await mine.step()
    await mine.step()
    assert mine.epoch == Epoch(1, UID)


async def test_a_holder_that_is_no_candidate_any_more_keeps_its_epoch_until_another_leads() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    store.candidates, store.version = "b,c", store.version + 1
    for _ in range(3):
        await mine.step()
    assert mine.epoch == Epoch(1, UID)
    store.spec.update(holderIdentity="b", leaseTransitions=2)
    await mine.step()
    assert mine.epoch is None


async def test_resigning_leaves_the_lease_empty_for_the_next() -> None:
    store, clock = Store(), Clock()
    mine, other = election(store, clock=clock), election(store, clock=clock, node="b")
    await mine.step()
    await mine.resign()
    assert mine.epoch is None
    assert store.spec["holderIdentity"] == ""
    await other.step()
    assert other.epoch == Epoch(2, UID)


async def test_whoever_has_resigned_lets_others_go_first() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    await mine.resign()
    clock.now += 1.0
    await mine.step()
    assert store.spec["holderIdentity"] == ""
    clock.now += 2.0
    await mine.step()
    assert mine.epoch == Epoch(2, UID)


async def test_who_resigns_for_a_while_stands_again_after_it() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    await mine.resign(rest_s=15.0)
    clock.now += 14.0
    await mine.step()
    assert mine.epoch is None
    clock.now += 2.0
    await mine.step()
    assert mine.epoch == Epoch(2, UID)


async def test_resigning_during_an_outage_is_a_higher_epoch_after_it() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    store.losses = lambda: "request"
    await mine.resign()
    clock.now += 3.0
    await mine.step()
    assert mine.epoch is None
    store.losses = lambda: ""
    await mine.step()
    assert mine.epoch == Epoch(2, UID)


async def test_a_renewal_under_way_does_not_undo_a_resignation() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    await mine.step()
    renewal = asyncio.create_task(mine.step())
    await asyncio.sleep(0)  # it is waiting for the answer now
    await mine.resign()
    await renewal
    assert mine.epoch is None
    assert store.writes == [("a", 1), ("a", 1), ("", 1)]


async def test_resigning_what_another_holds_leaves_it_alone() -> None:
    store, clock = Store(), Clock()
    mine, other = election(store, clock=clock), election(store, clock=clock, node="b")
    await other.step()
    await mine.resign()
    assert store.spec["holderIdentity"] == "b"


async def test_an_acquisition_on_its_way_is_given_up_too() -> None:
    store, clock = Store(), Clock()
    mine = election(store, clock=clock)
    losses = iter(["", "answer", "", ""])
    store.losses = lambda: next(losses)
    await mine.step()
    await mine.resign()
    assert mine.epoch is None
    assert store.spec["holderIdentity"] == ""


NODES = ("a", "b", "c")
MOVES = st.lists(
    st.tuples(
        st.sampled_from(NODES),
        st.sampled_from(("step", "step", "step", "step", "crash", "resign")),
        st.sampled_from((3.0, 3.0, 5.0, 0.5, 0.0, 16.0)),
        st.lists(st.sampled_from(("",) * 8 + ("request", "answer")), min_size=4, max_size=4),
    ),
    min_size=20,
    max_size=60,
)


@settings(max_examples=2 * settings().max_examples)
@given(MOVES)
def test_no_epoch_has_two_leaders_and_no_live_one_is_followed(moves: list[Any]) -> None:
    note(f"{moves=}")
    asyncio.run(_play(moves))


async def _play(moves: list[Any]) -> None:
    store, clock = Store(), Clock()
    nodes = {name: election(store, clock=clock, node=name) for name in NODES}
    led: dict[Epoch, Election] = {}
    for name, move, pause_s, losses in moves:
        clock.now += pause_s
        waiting = iter(losses)
        store.losses = waiting.__next__
        if move == "crash":
            nodes[name] = election(store, clock=clock, node=name)
        elif move == "resign":
            await nodes[name].resign()
        else:
            before = {n: e.epoch for n, e in nodes.items()}
            await nodes[name].step()
            epoch = nodes[name].epoch
            if epoch is None or epoch == before[name]:
                continue
            assert led.setdefault(epoch, nodes[name]) is nodes[name], "two led in one epoch"
            assert all(epoch >= other for other in led), "an epoch went back"
            for other in nodes.values():
                if other is not nodes[name] and other.epoch is not None:
                    assert clock.now - other.renewed_sent_s >= DURATION_S, "a live holder was followed"
