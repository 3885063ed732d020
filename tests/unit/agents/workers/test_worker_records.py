"""Numbers of settings: upwards for one worker, also over restarts; and what is remembered of workers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workers import worker_records
from loadline_agent.workers.worker_records import FORGOTTEN_S, LEASE_S, RETRY_S, Sections, WorkerRecords
from loadline_api.worker_messages import LAST_GENERATION, SettingsSection
from loadline_policies.errors import InvalidInput
from loadline_vllm.channel.settings_leases import NO_OP, SettingsLease
from testbed.doubles.worker_agents import OTHER, POD, SERVICE, report


def sections(strength: int = 0) -> Sections:
    return {"kv": SettingsSection(policy="some", policy_hash="3f2a", settings={"strength": strength})}


def test_a_worker_gets_the_same_number_until_its_settings_change() -> None:
    records = WorkerRecords()
    given = [records.answer(report(), sections(strength), now=0.0).generation for strength in (0, 0, 1, 1, 0)]
    assert given == [1, 1, 2, 2, 3]


def test_each_worker_has_numbers_of_its_own() -> None:
    records = WorkerRecords()
    records.answer(report(), sections(0), now=0.0)
    records.answer(report(), sections(1), now=0.0)
    assert records.answer(report(OTHER), sections(1), now=0.0).generation == 1


def test_an_agent_that_was_restarted_goes_on_from_what_the_worker_reports() -> None:
    assert WorkerRecords().answer(report(highest=7), sections(), now=0.0).generation == 8


def test_an_engine_that_was_restarted_gets_the_number_that_its_pod_had() -> None:
    records = WorkerRecords()
    records.answer(report(highest=7), sections(), now=0.0)
    assert records.answer(report(highest=0), sections(), now=9.0).generation == 8


def test_settings_that_were_withdrawn_come_again_under_a_new_number_after_a_while() -> None:
    records = WorkerRecords()
    records.answer(report(), sections(), now=0.0)
    soon, later, again = (
        records.answer(report(highest=1, withdrawn=1), sections(), now=now).generation
        for now in (3.0, RETRY_S, RETRY_S + 3.0)
    )
    assert (soon, later, again) == (1, 2, 2)


def test_a_worker_that_says_to_have_used_up_all_numbers_is_refused_and_the_last_answer_stays() -> None:
    records = WorkerRecords()
    records.answer(report(), sections(), now=0.0)
    with pytest.raises(InvalidInput, match=r"report\.highest is 9007199254740991: restart the engine"):
        records.answer(report(highest=LAST_GENERATION), sections(), now=1.0)
    assert records.answer(report(highest=1), sections(), now=2.0).generation == 1


def test_people_see_who_reports_and_what_it_holds() -> None:
    records = WorkerRecords()
    records.answer(report(), sections(), now=0.0)
    records.answer(report(highest=1, generation=1), sections(), now=3.0)
    (shown,) = records.shown(4.0)
    assert shown == {
        "pod": {"uid": POD.uid, "name": POD.name, "namespace": POD.namespace},
        "service": SERVICE,
        "pool": "main",
        "ranks": 2,
        "age_s": 1.0,
        "generation": 1,
        "holds": 1,
        "withdrawn": 0,
        "policies": {"kv": {"policy": "some", "policy_hash": "3f2a"}},
    }


def test_a_service_is_counted_by_who_reports_and_by_who_holds_what_it_was_given() -> None:
    records = WorkerRecords()
    records.answer(report(), sections(), now=0.0)
    records.answer(report(OTHER, generation=1, highest=1), sections(), now=0.0)
    records.answer(report(OTHER, generation=2, highest=2), sections(), now=0.0)
    told = [(reading.gauge.name, reading.value, *reading.labels) for reading in records.readings(LEASE_S)]
    assert told == [
        ("loadline_service_workers", 2.0, SERVICE),
        ("loadline_service_settled_workers", 1.0, SERVICE),
        ("loadline_service_policy", 1.0, SERVICE, "kv", "some", "3f2a"),
    ]
    assert list(records.readings(LEASE_S + 0.1)) == []


def test_workers_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    records = WorkerRecords()
    records.answer(report(), sections(), now=0.0)
    records.answer(report(OTHER), sections(1), now=FORGOTTEN_S + 1.0)
    assert records.answer(report(), sections(1), now=FORGOTTEN_S + 2.0).generation == 1
    monkeypatch.setattr(worker_records, "MOST_WORKERS", 1)
    records.answer(report(OTHER), sections(1), now=FORGOTTEN_S + 3.0)
    assert [one.pod.uid for one in records.workers(FORGOTTEN_S + 3.0)] == [OTHER.uid]


class Pair:
    """A worker and its agent, both halves of the product without what carries their messages."""

    def __init__(self) -> None:
        self.now = 0.0
        self.records, self.lease = WorkerRecords(), SettingsLease(2)
        self.apply()

    def poll(self, *, strength: int = 0, lost: bool = False, fails: bool = False) -> None:
        lease = self.lease
        told = report(generation=lease.generation, highest=lease.highest, withdrawn=lease.withdrawn)
        answer = self.records.answer(told, sections(strength), now=self.now)
        if not lost:
            lease.receive(answer, sent_s=self.now, now=self.now)
        self.apply(fails=fails)

    def apply(self, *, fails: bool = False) -> None:
        """Send what is due to both ranks; one of them takes none but no-op settings, if it fails."""
        while (due := self.lease.due(self.now)) is not None:
            self.lease.acknowledge((due.generation, None if fails and due != NO_OP else due.generation))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["poll", "lost", "fails", "wait", "new agent", "new engine"]),
            st.integers(min_value=0, max_value=1),
        ),
        max_size=40,
    )
)
def test_a_plugin_refuses_no_answer_and_settles_in_the_end_whatever_restarts_or_is_lost(
    steps: list[tuple[str, int]],
) -> None:
    pair = Pair()
    for what, strength in steps:
        pair.now += 3.0
        match what:
            case "new agent":
                pair.records = WorkerRecords()
            case "new engine":
                pair.lease = SettingsLease(2)
                pair.apply()
            case "wait":
                pair.now += RETRY_S
                pair.apply()
            case _:
                pair.poll(strength=strength, lost=what == "lost", fails=what == "fails")
    for _ in range(2):
        pair.now += RETRY_S
        pair.poll()
    assert pair.lease.generation == pair.lease.highest > 0
