"""The loop over KV memory in virtual time: the agent's half, the plugin's lease, an engine on paper."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import JsonValue

from loadline_agent.held_statuses import HOLD_S, REPORTED_WITHIN_S
from loadline_agent.kv.admission_loops import FORGOTTEN_S, MOST_ENGINES, KvLoop
from loadline_agent.kv.service_statuses import ServiceStatuses
from loadline_agent.metrics import Metrics
from loadline_agent.workers.token_reviews import TokenPod
from loadline_agent.workers.worker_records import WorkerRecords
from loadline_api.kv_cache import Admission, AdmissionMode, AdmissionStatus, Estimator, KvCacheStatus
from loadline_api.kv_settings import KvSettings
from loadline_api.node_capacities import ServiceOnNode
from loadline_api.reasons import Reason
from loadline_api.worker_messages import WorkerReport
from loadline_policies.documents import ServiceDocument, built_in, parse
from loadline_policies.kv.predicted_memory import Config
from loadline_policies.loops import Loop
from loadline_vllm.channel.settings_leases import SettingsLease
from testbed.clocks import Clock
from testbed.doubles.worker_agents import OTHER, POD, SERVICE, report

EVERY_S = 3.0
ENFORCE = "schema: policies.loadline.dev/v1alpha1\nloop: kv\npolicy: predicted-memory\nsettings: {%s}\n"


def document(text: str = ENFORCE % "admission: enforce") -> ServiceDocument:
    found = parse(text, Loop.KV)
    assert isinstance(found, ServiceDocument)
    return found


@dataclass
class Engine:
    """An engine whose scheduler counts what a test says.

    It admits as vLLM does if not `scheduler`, and its front-end has no counts at hand if not `answers`.
    """

    clock: Clock
    pod: TokenPod = POD
    scheduler: bool = True
    answers: bool = True
    counts: dict[str, JsonValue] = field(
        default_factory=lambda: {
            "estimator": "history",
            "is_warm": True,
            "known_requests": 80,
            "pool_blocks": 1000,
            "used_blocks": 600,
            "predicted_peak_blocks": 1100,
            "running": 8,
            "waiting": 4,
            "refusals": 20,
            "preemptions": 5,
            "preempted_tokens": 900,
            "mispredicted": 0,
        }
    )
    lease: SettingsLease = field(default_factory=lambda: SettingsLease(1))
    settings: Config = field(default_factory=Config)

    def report(self) -> WorkerReport:
        admission = {"mode": self.settings.admission.value, **self.counts}
        counted = {"admission": admission} if self.scheduler else {"off": "OtherScheduler"}
        counters: dict[str, Any] = {Loop.KV.value: counted} if self.answers else {}
        lease = self.lease
        return report(
            self.pod,
            ranks=1,
            generation=lease.generation,
            highest=lease.highest,
            withdrawn=lease.withdrawn,
            counters=counters,
        )

    def apply(self) -> None:
        while (due := self.lease.due(self.clock.now)) is not None:
            section = due.sections.get(Loop.KV.value)
            self.settings = KvSettings.read(section.settings if section is not None else {}).admission
            self.lease.acknowledge((due.generation,))


class Agent:
    """The agent's half, before some engines of one service."""

    def __init__(self, *pods: TokenPod) -> None:
        self.clock, self.metrics = Clock(1000.0), Metrics()
        self.admission: Admission | None = Admission(mode=AdmissionMode.ENFORCE)
        self.document, self.away = document(), False
        self.engines = [Engine(self.clock, pod) for pod in pods or (POD,)]
        self.loop = KvLoop(lambda namespace, pod: self.admission, metrics=self.metrics, clock=self.clock)
        self.statuses, self.records = ServiceStatuses(self.loop, self.clock), WorkerRecords()
        self.metrics.read(self.statuses.readings)

    def play(self, seconds: float = 2 * EVERY_S) -> None:
        """So much time, with a report of each engine every three seconds."""
        for _ in range(round(seconds / EVERY_S)):
            self.clock.now += EVERY_S
            for engine in self.engines:
                if not self.away:
                    self.exchange(engine, engine.report())
                engine.apply()

    def exchange(self, engine: Engine, told: WorkerReport) -> None:
        sections = {Loop.KV.value: self.loop.section(told, self.document)}
        now = self.clock.now
        engine.lease.receive(self.records.answer(told, sections, now=now), sent_s=now, now=now)

    @property
    def shown(self) -> AdmissionStatus:
        status = self.statuses.of(SERVICE)
        assert status is not None
        return status

    def series(self, name: str) -> float:
        lines = self.metrics.text().decode().splitlines()
        return next(float(one.rpartition(" ")[2]) for one in lines if one.startswith(f"{name} "))


def test_an_engine_enforces_while_it_has_a_lease_and_observes_without() -> None:
    agent = Agent()
    (engine,) = agent.engines
    agent.play()
    assert (engine.settings.admission, agent.shown.reason) == ("enforce", Reason.PREDICTING)
    agent.away = True
    agent.play(15.0)
    assert engine.settings.admission == "observe"
    assert agent.statuses.of(SERVICE) is None, "an engine that doesn't report is not shown"


def test_the_status_has_what_the_engines_have_read_back() -> None:
    agent = Agent(POD, OTHER)
    agent.engines[1].counts |= {"known_requests": 30, "is_warm": False, "used_blocks": 900}
    agent.play()
    assert agent.shown == AdmissionStatus(
        engines=2,
        enforcing_engines=2,
        warm_engines=1,
        known_requests=30,
        predicted_peak_percent=110,
        used_percent=90,
        refusals=40,
        preemptions=10,
        preempted_tokens=1800,
        mispredicted=0,
        reason=Reason.FEW_LENGTHS.value,
    )
    few = f'loadline_kv_reason_engines{{reason="FewLengths",service="{SERVICE}"}}'
    assert agent.series(few) == agent.series(few.replace("FewLengths", "Predicting")) == 1.0


def test_what_was_never_predicted_is_unknown() -> None:
    agent = Agent()
    agent.engines[0].counts |= {"predicted_peak_blocks": None, "pool_blocks": 0, "used_blocks": 0}
    agent.play()
    assert agent.shown.predicted_peak_percent is agent.shown.used_percent is None


@pytest.mark.parametrize(
    ("mode", "text", "reason"),
    [
        (AdmissionMode.OBSERVE, ENFORCE % "admission: enforce", Reason.NOT_ALLOWED),
        (AdmissionMode.ENFORCE, ENFORCE % "", Reason.POLICY_OBSERVES),
    ],
    ids=["spec", "policy"],
)
def test_an_engine_observes_where_spec_or_policy_does(mode: AdmissionMode, text: str, reason: Reason) -> None:
    agent = Agent()
    agent.admission, agent.document = Admission(mode=mode), document(text)
    agent.play()
    assert (agent.engines[0].settings.admission, agent.shown.reason) == ("observe", reason)


def test_an_edit_of_spec_or_policy_is_in_force_with_the_next_report() -> None:
    agent = Agent()
    (engine,) = agent.engines
    agent.play()
    agent.admission = Admission(mode=AdmissionMode.ENFORCE, estimator=Estimator.BUCKETS)
    agent.play(EVERY_S)
    assert engine.settings.estimator == "buckets"
    agent.document = document(ENFORCE % "admission: observe, reservePercent: 12")
    agent.play(EVERY_S)
    assert (engine.settings.admission, engine.settings.reserve_percent) == ("observe", 12)
    agent.document = built_in(Loop.KV)
    agent.play(EVERY_S)
    assert engine.settings == Config()


def test_reports_without_counts_change_nothing_for_a_while() -> None:
    """The plugin has none at its start, and after each change until it has read them again."""
    agent = Agent()
    (engine,) = agent.engines
    engine.answers = False
    agent.play(9.0)
    assert agent.statuses.of(SERVICE) is None, "nothing is known yet"
    engine.answers = True
    agent.play()
    before = agent.shown
    assert before.reason == Reason.PREDICTING
    engine.answers = False
    agent.play(9.0)
    assert agent.shown == before
    agent.play(15.0)
    assert agent.shown.reason == Reason.ADMISSION_OFF


def test_an_engine_without_the_scheduler_is_told_apart_from_one_that_was_not_asked() -> None:
    agent = Agent()
    agent.engines[0].scheduler = False
    agent.play()
    assert (agent.shown.engines, agent.shown.enforcing_engines) == (1, 0)
    assert (agent.shown.reason, agent.shown.refusals) == (Reason.ADMISSION_OFF, None)
    for nothing in (Admission(), None):
        agent.admission = nothing
        agent.play()
        assert agent.statuses.of(SERVICE) is None


def test_a_scheduler_that_failed_is_reported_as_such_and_decides_nowhere() -> None:
    agent = Agent()
    agent.play()
    agent.engines[0].counts |= {"errors": 1}
    agent.play(EVERY_S)
    assert (agent.shown.reason, agent.shown.enforcing_engines) == (Reason.PLUGIN_FAILED, 0)


@pytest.mark.parametrize("broken", [{"admission": {"mode": "enforce"}}, {"admission": 3}], ids=str)
def test_counts_that_can_not_be_read_are_unknown_and_keep_no_engine_from_its_settings(
    broken: dict[str, JsonValue],
) -> None:
    agent = Agent()
    (engine,) = agent.engines
    told = engine.report().model_copy(update={"counters": {Loop.KV.value: broken}})
    agent.exchange(engine, told)
    engine.apply()
    assert engine.settings.admission == "enforce"
    assert (agent.shown.reason, agent.shown.preemptions) == (Reason.READINGS_UNKNOWN, None)
    assert agent.series("loadline_kv_unreadable_counts_total") == 1.0


def test_figures_hold_for_some_minutes_and_what_a_person_acts_on_does_not() -> None:
    agent = Agent()
    agent.play()
    first = agent.shown
    agent.engines[0].counts |= {"used_blocks": 950, "refusals": 90}
    agent.play(HOLD_S - EVERY_S)
    assert agent.shown == first
    agent.play()
    assert (agent.shown.used_percent, agent.shown.refusals) == (95, 90)
    agent.engines[0].counts |= {"used_blocks": 960, "refusals": 91}
    agent.play(2 * HOLD_S)
    assert (agent.shown.used_percent, agent.shown.refusals) == (95, 90), "small moves are no news"
    agent.engines[0].counts |= {"is_warm": False}
    agent.play(EVERY_S)
    assert (agent.shown.warm_engines, agent.shown.used_percent) == (0, 96)


def test_an_agent_that_was_restarted_turns_nothing_until_engines_have_reported_again() -> None:
    before = Agent(POD, OTHER)
    before.play()
    told = ServiceOnNode(service=SERVICE, kv_cache=KvCacheStatus(admission=before.shown))
    after = Agent(POD, OTHER)
    after.statuses.recall([told, ServiceOnNode(service="prod/other")])
    assert after.shown == before.shown, "no engine has reported yet"
    after.engines[1].counts |= {"used_blocks": 620}
    after.play(REPORTED_WITHIN_S + EVERY_S)
    assert after.shown == before.shown, "and then nothing has moved enough"
    assert after.statuses.of("prod/other") is None
    after.away = True
    after.play(REPORTED_WITHIN_S + EVERY_S)
    assert after.statuses.of(SERVICE) is None


def test_what_a_predecessor_wrote_is_no_longer_shown_if_no_engine_reports() -> None:
    agent = Agent()
    shown = AdmissionStatus(engines=1, reason="Predicting")
    agent.statuses.recall([ServiceOnNode(service=SERVICE, kv_cache=KvCacheStatus(admission=shown))])
    agent.away = True
    agent.play(REPORTED_WITHIN_S)
    assert agent.statuses.of(SERVICE) is None


def test_engines_that_are_silent_for_long_and_too_many_of_them_are_forgotten() -> None:
    agent = Agent()
    for number in range(MOST_ENGINES + 8):
        pod = TokenPod(namespace="prod", name=f"chat-{number}", uid=f"uid-{number}", node="node-0")
        agent.loop.section(Engine(agent.clock, pod).report(), agent.document)
    assert len([*agent.loop.engines(within_s=FORGOTTEN_S)]) == MOST_ENGINES
    agent.clock.now += FORGOTTEN_S + 1.0
    agent.play(EVERY_S)
    assert len([*agent.loop.engines(within_s=float("inf"))]) == 1
