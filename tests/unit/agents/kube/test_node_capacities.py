"""What a node says of itself to the API server, and when it is worth a write."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.domain.tls_identity import Identity
from loadline_agent.kube.clients import Kube
from loadline_agent.kube.node_capacities import Facts, NodeCapacityWriter, status_of, urgent
from loadline_api.api_errors import NotFound
from loadline_api.conditions import NODE_CONDITIONS, ConditionType, find
from loadline_api.node_capacities import Gpu, NodeCapacityStatus, PersistenceMode, ServiceOnNode
from loadline_api.reasons import Reason
from loadline_api.reports import WIRE_VERSION
from loadline_api.visible_texts import visible
from testbed.clocks import Clock
from testbed.foreign_texts import foreign_texts


def facts(*, enforced_watts: int = 400, armed: bool = False, proven: bool = False, **faults: str) -> Facts:
    gpus = tuple(
        Gpu(uuid=uuid, min_watts=100, max_watts=400, enforced_watts=enforced_watts) for uuid in ("B", "A")
    )
    return Facts(domain="row-a", host_max_watts=2600.4, gpus=gpus, faults=faults, armed=armed, proven=proven)


def shown(given: Facts, type: ConditionType) -> tuple[str, str]:
    found = find(status_of(given).conditions, type)
    assert found is not None
    return found.status, found.reason


def test_gpus_are_in_order_and_watts_are_whole() -> None:
    status = status_of(facts())
    assert [gpu.uuid for gpu in status.gpus] == ["A", "B"]
    assert status.host_max_watts == 2600


def test_which_messages_the_agent_speaks_is_told_whatever_else_is_known() -> None:
    assert status_of(Facts()).to_api()["wireVersion"] == WIRE_VERSION


def test_the_agent_writes_the_conditions_that_are_listed_as_its_own() -> None:
    assert tuple(one.type for one in status_of(facts()).conditions) == NODE_CONDITIONS


@pytest.mark.parametrize(
    ("given", "type", "expected"),
    [
        (facts(), ConditionType.GPUS_READY, ("True", "AllSeen")),
        (facts(GpuLost="A is lost"), ConditionType.GPUS_READY, ("False", "GpuLost")),
        (facts(SensorStuck="A", NoGpus="none"), ConditionType.GPUS_READY, ("False", "NoGpus")),
        (facts(), ConditionType.LIMITS_SETTABLE, ("Unknown", "NotWritten")),
        (facts(armed=True), ConditionType.LIMITS_SETTABLE, ("Unknown", "NotWritten")),
        (facts(proven=True), ConditionType.LIMITS_SETTABLE, ("True", "Writable")),
        (facts(MissingPrivilege="x"), ConditionType.LIMITS_SETTABLE, ("False", "MissingPrivilege")),
        (Facts(faults={"NoGpus": "x"}), ConditionType.LIMITS_SETTABLE, ("False", "NoGpus")),
        (Facts(faults={"DriverMissing": "x"}), ConditionType.LIMITS_SETTABLE, ("False", "DriverMissing")),
        (Facts(faults={"DriverMismatch": "x"}), ConditionType.LIMITS_SETTABLE, ("False", "DriverMismatch")),
        (Facts(faults={"DriverMismatch": "x"}), ConditionType.GPUS_READY, ("False", "DriverMismatch")),
        (facts(proven=True, PersistenceOff="x"), ConditionType.LIMITS_SETTABLE, ("True", "PersistenceOff")),
        (facts(PersistenceOff="x"), ConditionType.LIMITS_SETTABLE, ("Unknown", "NotWritten")),
        (
            facts(proven=True, PersistenceOff="x", WritesFail="y"),
            ConditionType.LIMITS_SETTABLE,
            ("False", "WritesFail"),
        ),
        (facts(), ConditionType.CONFLICT, ("Unknown", "NotWritten")),
        (facts(proven=True), ConditionType.CONFLICT, ("Unknown", "NotWritten")),
        (facts(armed=True), ConditionType.CONFLICT, ("Unknown", "NotWritten")),
        (facts(armed=True, proven=True), ConditionType.CONFLICT, ("False", "SoleWriter")),
        (Facts(faults={"NoGpus": "x"}), ConditionType.CONFLICT, ("Unknown", "NotWritten")),
        (Facts(faults={"DriverMissing": "x"}), ConditionType.CONFLICT, ("Unknown", "NotWritten")),
        (facts(OtherWriter="x"), ConditionType.CONFLICT, ("True", "OtherWriter")),
        (facts(NodeClaimedTwice="x"), ConditionType.CONFLICT, ("True", "NodeClaimedTwice")),
        (facts(), ConditionType.ENFORCING, ("False", "ModeObserve")),
        (facts(StateLost="x"), ConditionType.ENFORCING, ("False", "StateLost")),
        (facts(armed=True, StateLost="x"), ConditionType.ENFORCING, ("True", "ModeEnforce")),
        (facts(LeftBehind="x"), ConditionType.ENFORCING, ("False", "LeftBehind")),
        (facts(armed=True, Orphaned="x"), ConditionType.ENFORCING, ("True", "Orphaned")),
        (facts(armed=True, FoundBelowDefault="x"), ConditionType.ENFORCING, ("True", "FoundBelowDefault")),
        (facts(FoundBelowDefault="x"), ConditionType.ENFORCING, ("False", "ModeObserve")),
        (facts(), ConditionType.OWNERS_KNOWN, ("Unknown", "NotTold")),
        (replace(facts(), unowned=()), ConditionType.OWNERS_KNOWN, ("True", "AllOwned")),
        (replace(facts(), unowned=("A",)), ConditionType.OWNERS_KNOWN, ("False", "OwnerUnknown")),
    ],
)
def test_a_fault_is_shown_by_its_condition(
    given: Facts, type: ConditionType, expected: tuple[str, str]
) -> None:
    assert shown(given, type) == expected


def test_a_condition_tells_all_that_it_shows_the_gravest_first() -> None:
    """A GPU off the bus hid from people that another one of its node couldn't be read."""
    given = facts(SensorStuck="C repeats itself", GpuLost="A is lost", GpuUnreadable="B answers 999")
    found = find(status_of(given).conditions, ConditionType.GPUS_READY)
    assert found is not None
    assert (found.reason, found.message) == ("GpuLost", "A is lost; B answers 999; C repeats itself")


def test_a_condition_says_which_right_is_missing() -> None:
    sentence = "CAP_SYS_ADMIN is missing: add it to the container"
    found = find(status_of(facts(MissingPrivilege=sentence)).conditions, ConditionType.LIMITS_SETTABLE)
    assert found is not None
    assert found.message == sentence


def test_gpus_in_use_by_nobody_that_is_known_are_named_with_what_they_count_as() -> None:
    found = find(status_of(replace(facts(), unowned=("A", "B"))).conditions, ConditionType.OWNERS_KNOWN)
    assert found is not None
    assert found.message.startswith(
        "the agent knows no pod that has A, B, but it may be in use: each counts at"
    )


def test_limits_that_are_not_kept_say_so_where_they_can_be_set() -> None:
    sentence = "persistence mode is off on A"
    found = find(
        status_of(facts(proven=True, PersistenceOff=sentence)).conditions, ConditionType.LIMITS_SETTABLE
    )
    assert found is not None
    assert found.message == sentence


def test_all_that_is_to_be_said_of_limits_that_can_be_set_is_said() -> None:
    told = facts(proven=True, ClocksUnlisted="no clocks on A", PersistenceOff="persistence mode is off on B")
    assert shown(told, ConditionType.LIMITS_SETTABLE) == ("True", "PersistenceOff")
    found = find(status_of(told).conditions, ConditionType.LIMITS_SETTABLE)
    assert found is not None
    assert found.message == "persistence mode is off on B; no clocks on A"
    assert shown(facts(proven=True, ClocksUnlisted="x"), ConditionType.LIMITS_SETTABLE) == (
        "True",
        "ClocksUnlisted",
    )
    assert find(
        status_of(facts(armed=True, proven=True, ClocksUnlisted="x")).conditions, ConditionType.CONFLICT
    ) == (find(status_of(facts(armed=True, proven=True)).conditions, ConditionType.CONFLICT))


def test_a_modules_limit_waits_as_a_gpus_does_and_a_persistence_mode_does_not() -> None:
    before = status_of(facts())
    limit = [gpu.model_copy(update={"module_limit_watts": 1000}) for gpu in before.gpus]
    assert not urgent(before, before.model_copy(update={"gpus": tuple(limit)}))
    off = [gpu.model_copy(update={"persistence_mode": PersistenceMode.OFF}) for gpu in before.gpus]
    assert urgent(before, before.model_copy(update={"gpus": tuple(off)}))


def test_what_turns_for_a_service_can_not_wait() -> None:
    chat = ServiceOnNode(service="prod/chat", pods=1, gpus=8)
    before = status_of(replace(facts(), services=(chat,)))
    assert before.services == (chat,)
    assert not urgent(before, status_of(replace(facts(enforced_watts=200), services=(chat,))))
    turned = chat.model_copy(update={"capped": True})
    assert urgent(before, status_of(replace(facts(), services=(turned,))))
    assert urgent(before, status_of(facts()))


def test_limits_can_wait_and_faults_can_not() -> None:
    before = status_of(facts())
    assert not urgent(before, status_of(facts(enforced_watts=200)))
    assert urgent(before, status_of(facts(GpuLost="A is lost")))
    assert urgent(before, status_of(facts(armed=True)))
    assert urgent(None, before)


@given(st.dictionaries(st.sampled_from(Reason), foreign_texts), st.booleans(), st.booleans())
def test_every_message_of_a_node_fits_and_shows(faults: dict[str, str], armed: bool, proven: bool) -> None:
    status = status_of(Facts(faults=faults, armed=armed, proven=proven))
    assert NodeCapacityStatus.model_validate(status.to_api()) == status
    for one in status.conditions:
        assert len(one.message.encode("utf-8")) <= 1000
        assert visible(one.message) == one.message


IDENTITY = Identity(
    node="node-00",
    address="127.0.0.1:8443",
    key_file=Path("key.pem"),
    certificate_file=Path("certificate.pem"),
    pem="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
)


class NoteOfWrites:
    """Where the API server would stand: keeps what it is sent, and counts the statuses."""

    def __init__(self) -> None:
        self.statuses: list[object] = []
        self._kept: dict[str, object] = {}

    async def get(self, path: str) -> object:
        if "/nodes/" in path:
            return {"metadata": {"uid": "1"}}
        if not self._kept:
            raise NotFound("there is none", status=404)
        return self._kept

    async def create(self, path: str, body: dict[str, object]) -> None:
        self._kept = body

    async def apply(self, path: str, body: dict[str, object], *, manager: str, subresource: str = "") -> None:
        self.statuses.append(body["status"])
        self._kept = {**self._kept, "status": body["status"]}


@pytest.mark.parametrize(
    ("looks", "writes"),
    [
        ([facts()] * 100, 1),
        ([facts()] * 130, 2),
        ([facts(), facts(enforced_watts=300), facts(enforced_watts=300), facts(), facts()], 1),
        ([facts()] + [facts(enforced_watts=300)] * 20, 2),
        ([facts(), facts(GpuLost="GPU A is lost"), facts()], 3),
    ],
    ids=["unchanged", "unchanged for two minutes", "limits that are back in time", "limits", "a fault"],
)
async def test_a_status_is_written_on_a_change_and_every_two_minutes(looks: list[Facts], writes: int) -> None:
    kube, clock = NoteOfWrites(), Clock()
    looking = iter(looks)
    writer = NodeCapacityWriter(cast(Kube, kube), IDENTITY, facts=lambda: next(looking), clock=clock)
    for _ in looks:
        await writer.step()
        clock.now += 1.0
    assert writer.problem is None
    assert len(kube.statuses) == writes
