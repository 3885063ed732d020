"""The experts' loop in virtual time: the agent's half as it is, the plugin's lease, an engine on paper."""

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import groupby

import pytest

from loadline_api.experts import Experts, ExpertsGuard, ExpertsMode, Gamma
from loadline_api.worker_messages import WorkerReport
from loadline_policies.decisions import Decision
from loadline_policies.documents import built_in
from loadline_policies.experts.capacity_factor import CAPACITY_FACTOR, State
from loadline_policies.experts.service_loads import Capacity, Reason
from loadline_policies.loops import Loop
from testbed.clocks import Clock
from testbed.doubles.expert_engines import ExpertAgent, ExpertEngine, experts_document
from testbed.doubles.worker_agents import SERVICE

QUICK = "schema: policies.loadline.dev/v1alpha1\nloop: experts\npolicy: capacity-factor\nsettings: {%s}\n"


@pytest.fixture
async def agent() -> AsyncIterator[ExpertAgent]:
    async with ExpertAgent(ExpertEngine(Clock(1000.0))) as agent:
        yield agent


def moves(played: list[int | None]) -> list[int | None]:
    return [gamma for gamma, _ in groupby(played)]


def counter(agent: ExpertAgent, series: str) -> float:
    lines = agent.metrics.text().decode().splitlines()
    return next(float(one.rpartition(" ")[2]) for one in lines if one.startswith(f"{series} "))


def reason(agent: ExpertAgent) -> str | None:
    status = agent.statuses.of(SERVICE)
    return status.reason if status is not None else None


async def test_under_pressure_gamma_steps_down_until_the_objective_is_met_and_ends_with_the_pressure(
    agent: ExpertAgent,
) -> None:
    agent.engine.load = 0.8
    assert moves(await agent.play(60.0)) == [None]
    assert (reason(agent), agent.engine.prompts) == (Reason.OBJECTIVE_MET, 1)
    agent.engine.load = 1.25
    assert moves(await agent.play(300.0)) == [2000, 1500]
    assert moves(await agent.play(900.0)) == [1500]
    agent.engine.load = 0.8
    assert moves(await agent.play(300.0)) == [None]
    told = [line.split('"reason":"')[1].split('"')[0] for line in agent.journal.text().splitlines()]
    assert told == ["ObjectiveMissed", "ObjectiveMissed", "ObjectiveMet"]
    assert counter(agent, "loadline_experts_changes_total") == 3.0


async def test_the_status_shows_what_is_in_force_and_what_each_gamma_would_do(agent: ExpertAgent) -> None:
    agent.engine.load = 1.05
    await agent.play(60.0)
    status = agent.statuses.of(SERVICE)
    assert status is not None
    assert (status.engines, status.bounded_engines, status.gamma_percent, status.layers) == (1, 1, 200, 1)
    assert (status.expert_load_percent, status.rank_load_percent) == (234, 234)
    assert [one.gamma_percent for one in status.gammas] == [100, 125, 150, 200, 300]
    assert [one.dropped_permille for one in status.gammas] == [189, 137, 105, 43, 0]
    assert status.reason == Reason.OBJECTIVE_MISSED
    await agent.play(60.0)
    status = agent.statuses.of(SERVICE)
    assert status is not None
    assert (status.dropped_permille, status.without_expert_permille, status.canary_drift_millinats) == (
        43,
        0,
        0,
    )
    assert counter(agent, f'loadline_experts_gamma_ratio{{service="{SERVICE}"}}') == 2.0


@pytest.mark.parametrize(
    "experts",
    [Experts(mode=ExpertsMode.OBSERVE), Experts(mode=ExpertsMode.OFF)],
    ids=["observe", "off"],
)
async def test_a_service_that_does_not_allow_it_is_neither_bounded_nor_asked(
    agent: ExpertAgent, experts: Experts
) -> None:
    agent.experts, agent.engine.load = experts, 2.0
    assert moves(await agent.play(300.0)) == [None]
    assert (reason(agent), agent.engine.prompts) == (Reason.NOT_ALLOWED, 0)


async def test_a_policy_that_does_nothing_bounds_and_asks_nothing(agent: ExpertAgent) -> None:
    agent.document, agent.engine.load = built_in(Loop.EXPERTS), 2.0
    assert moves(await agent.play(300.0)) == [None]
    assert (reason(agent), agent.engine.prompts) == (Reason.POLICY_OBSERVES, 0)


async def test_the_spec_narrows_the_policy(agent: ExpertAgent) -> None:
    agent.experts = Experts(mode=ExpertsMode.ENFORCE, gamma=Gamma(min_percent=175, max_percent=300))
    agent.engine.load = 2.0
    assert moves(await agent.play(600.0)) == [None, 2000]
    agent.experts = Experts(mode=ExpertsMode.ENFORCE, guard=ExpertsGuard(max_dropped_percent=3))
    assert moves(await agent.play(60.0)) == [None]
    assert reason(agent) == Reason.GUARD_BREACHED


async def test_an_induced_drift_of_the_canaries_ends_the_capacity(agent: ExpertAgent) -> None:
    agent.engine.load = 1.05
    assert moves(await agent.play(120.0)) == [None, 2000]
    agent.engine.drift_nats = 0.05
    assert moves(await agent.play(120.0)) == [2000, None]
    assert reason(agent) == Reason.GUARD_BREACHED
    assert moves(await agent.play(3400.0)) == [None]


async def test_an_engine_that_wants_an_api_key_is_never_bounded(agent: ExpertAgent) -> None:
    agent.engine.load, agent.engine.status = 2.0, 401
    assert moves(await agent.play(600.0)) == [None]
    assert reason(agent) == Reason.READINGS_UNKNOWN
    assert counter(agent, 'loadline_experts_canaries_total{outcome="refused"}') >= 5.0


async def test_a_capacity_whose_drift_cannot_be_measured_any_more_ends(agent: ExpertAgent) -> None:
    agent.engine.load = 1.05
    await agent.play(120.0)
    agent.engine.status = 503
    assert moves(await agent.play(700.0)) == [2000, None]
    assert reason(agent) == Reason.READINGS_UNKNOWN


async def test_without_an_agent_the_lease_lapses_and_an_agent_that_was_restarted_begins_by_observing(
    agent: ExpertAgent,
) -> None:
    agent.engine.load = 1.05
    assert moves(await agent.play(120.0)) == [None, 2000]
    agent.away = True
    assert moves(await agent.play(12.0))[-1] is None
    assert agent.engine.lease.generation == 0
    agent.away = False
    agent.restart()
    agent.engine.load = 0.95
    assert moves(await agent.play(60.0)) == [None]
    assert agent.engine.settings.mode == "observe"


async def test_counts_that_cannot_be_are_counted_and_leave_the_engine_observing(agent: ExpertAgent) -> None:
    agent.engine.load = 1.05
    await agent.play(120.0)
    good = agent.engine.report
    broken = {"layers": {"a": {"pairs": -1}}}

    def report() -> WorkerReport:
        return good().model_copy(update={"counters": {"experts": broken}})

    agent.engine.report = report  # type: ignore[method-assign]
    assert moves(await agent.play(30.0)) == [None]
    assert counter(agent, 'loadline_experts_faults_total{part="counts"}') == 10.0
    agent.engine.report = good  # type: ignore[method-assign]
    assert moves(await agent.play(300.0)) == [None, 2000]


async def test_a_document_that_is_edited_is_in_force_with_the_next_report(agent: ExpertAgent) -> None:
    agent.engine.load = 2.0
    assert moves(await agent.play(600.0)) == [None, 2000, 1500]
    agent.document = experts_document(QUICK % "minGammaPercent: 175")
    assert moves(await agent.play(3.0)) == [2000]


async def test_a_policy_that_fails_is_counted_and_leaves_the_engine_observing(agent: ExpertAgent) -> None:
    def fails(load: object, state: object, config: object, now: float) -> Decision[Capacity, State]:
        raise ZeroDivisionError

    agent.engine.load = 1.05
    assert moves(await agent.play(120.0)) == [None, 2000]
    good = agent.document
    agent.document = replace(good, policy=replace(CAPACITY_FACTOR, decide=fails))
    assert moves(await agent.play(30.0)) == [None]
    assert counter(agent, 'loadline_experts_faults_total{part="policy"}') == 1.0, "it is tried once a minute"
    agent.document = good
    assert moves(await agent.play(300.0)) == [None, 2000]
