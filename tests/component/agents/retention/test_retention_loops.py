"""The loop over what requests hold, in virtual time: the agent, the plugin's lease, an engine on paper."""

from collections.abc import AsyncIterator
from itertools import groupby

import pytest

from loadline_agent.held_statuses import HOLD_S, REPORTED_WITHIN_S
from loadline_agent.retention.retention_loops import UNCOUNTED_S
from loadline_api.kv_cache import KvCacheStatus
from loadline_api.kv_retention import QualityClass, Retention, RetentionMode
from loadline_api.kv_retention_status import RetentionStatus
from loadline_api.node_capacities import ServiceOnNode
from loadline_api.reasons import Reason
from loadline_policies.documents import ServiceDocument, built_in
from loadline_policies.loops import Loop
from testbed.clocks import Clock
from testbed.doubles.retaining_engines import (
    QUICK,
    RetentionAgent,
    RetentionEngineOnPaper,
    retention_document,
)
from testbed.doubles.worker_agents import SERVICE


@pytest.fixture
async def agent() -> AsyncIterator[RetentionAgent]:
    async with RetentionAgent(RetentionEngineOnPaper(Clock(1000.0))) as agent:
        yield agent


def moves(played: list[int | None]) -> list[int | None]:
    return [kept for kept, _ in groupby(played)]


def shown(agent: RetentionAgent) -> RetentionStatus:
    status = agent.statuses.of(SERVICE)
    assert status is not None
    return status


def counter(agent: RetentionAgent, series: str) -> float:
    lines = agent.metrics.text().decode().splitlines()
    return next(float(one.rpartition(" ")[2]) for one in lines if one.startswith(f"{series} "))


async def test_a_service_climbs_its_rungs_under_pressure_and_descends_by_itself(
    agent: RetentionAgent,
) -> None:
    assert moves(await agent.play(60.0)) == [None]
    assert (shown(agent).reason, shown(agent).bounding_engines) == (Reason.NO_PRESSURE.value, 1)
    agent.engine.demand_percent = 220.0
    assert moves(await agent.play(180.0)) == [None, 2048, 1024]
    assert shown(agent).budget_tokens == 1024
    agent.engine.demand_percent = 40.0
    assert moves(await agent.play(1800.0))[-1] is None
    told = [line.split('"reason":"')[1].split('"')[0] for line in agent.journal.text().splitlines()]
    assert told[:2] == ["MemoryShort", "MemoryShort"]
    assert told[-1] == "NoPressure"
    assert counter(agent, "loadline_retention_changes_total") == len(told)


async def test_a_lost_fact_ends_the_budget_and_none_comes_back(agent: RetentionAgent) -> None:
    agent.engine.demand_percent, agent.engine.recalled = 220.0, 3
    assert moves(await agent.play(600.0)) == [None, 2048, None]
    assert shown(agent).reason == Reason.RECALL_LOST.value
    assert (shown(agent).advice or "").endswith("instead of retention, or more replicas")


async def test_without_an_answer_to_the_probe_no_request_is_bounded(agent: RetentionAgent) -> None:
    agent.engine.demand_percent, agent.engine.status = 220.0, 401
    assert moves(await agent.play(300.0)) == [None]
    assert shown(agent).reason == Reason.BASELINE_UNKNOWN.value
    assert counter(agent, 'loadline_retention_canaries_total{outcome="refused"}') >= 3.0


async def test_the_spec_narrows_the_policy(agent: RetentionAgent) -> None:
    agent.engine.demand_percent = 220.0
    agent.retention = Retention(mode=RetentionMode.ENFORCE, quality_class=QualityClass.HIGH)
    assert moves(await agent.play(300.0)) == [None, 2048]
    assert shown(agent).reason == Reason.QUALITY_CLASS.value
    agent.retention = Retention(mode=RetentionMode.OBSERVE)
    assert moves(await agent.play(60.0))[-1] is None
    assert (shown(agent).reason, shown(agent).bounding_engines) == (Reason.NOT_ALLOWED.value, 0)


async def test_a_policy_only_lowers_what_the_spec_sets(agent: RetentionAgent) -> None:
    agent.engine.demand_percent, agent.engine.at_start = 220.0, 1536
    agent.retention = Retention(mode=RetentionMode.ENFORCE, budget_tokens=1536)
    assert 2048 not in await agent.play(600.0)


async def test_a_budget_is_whole_blocks(agent: RetentionAgent) -> None:
    agent.engine.demand_percent = 130.0
    agent.document = retention_document(QUICK.replace("[2048, 1024]", "[2040]"))
    assert moves(await agent.play(120.0)) == [None, 2048]


@pytest.mark.parametrize(
    ("retention", "kept", "reason"),
    [
        (Retention(mode=RetentionMode.ENFORCE, budget_tokens=512), 512, Reason.BOUNDED),
        (Retention(mode=RetentionMode.ENFORCE), None, Reason.NO_BUDGET),
        (Retention(mode=RetentionMode.OBSERVE), None, Reason.NOT_ALLOWED),
    ],
)
async def test_without_a_policy_the_engine_does_as_it_was_started_to(
    agent: RetentionAgent, retention: Retention, kept: int | None, reason: Reason
) -> None:
    document = built_in(Loop.KV_RETENTION)
    assert isinstance(document, ServiceDocument)
    agent.retention, agent.document = retention, document
    agent.engine.at_start, agent.engine.demand_percent = kept, 220.0
    assert moves(await agent.play(60.0)) == [kept]
    assert (shown(agent).reason, shown(agent).budget_tokens) == (reason.value, kept)
    assert agent.engine.prompts == 0


@pytest.mark.parametrize(
    ("unbounded", "reason"), [("Attention", Reason.ENGINE_UNABLE), ("Failure", Reason.PLUGIN_FAILED)]
)
async def test_an_engine_that_cannot_bound_is_shown_with_its_reason(
    agent: RetentionAgent, unbounded: str, reason: Reason
) -> None:
    agent.engine.demand_percent, agent.engine.changes = 220.0, {"unbounded": unbounded}
    assert moves(await agent.play(60.0)) == [None]
    assert (shown(agent).reason, shown(agent).bounding_engines) == (reason.value, 0)
    assert agent.engine.prompts == 0


async def test_ranks_that_count_no_folds_bound_nothing_that_is_known(agent: RetentionAgent) -> None:
    agent.engine.changes = {"folds": None}
    await agent.play(30.0)
    assert (shown(agent).reason, shown(agent).bounding_engines) == (Reason.READINGS_UNKNOWN.value, 0)


async def test_an_engine_that_does_not_take_its_settings_only_observes(agent: RetentionAgent) -> None:
    agent.engine.demand_percent, agent.engine.changes = 220.0, {"kept_tokens": None}
    await agent.play(120.0)
    assert shown(agent).reason == Reason.OBSERVING.value


async def test_an_engine_without_counts_is_unable_after_a_while_and_not_at_once(
    agent: RetentionAgent,
) -> None:
    agent.engine.answers = False
    await agent.play(UNCOUNTED_S - 5.0)
    assert agent.statuses.of(SERVICE) is None
    await agent.play(30.0)
    assert shown(agent).reason == Reason.ENGINE_UNABLE.value
    agent.retention = Retention()
    await agent.play(6.0)
    assert agent.statuses.of(SERVICE) is None


async def test_counts_that_cannot_be_end_the_budget_and_are_counted(agent: RetentionAgent) -> None:
    agent.engine.demand_percent = 220.0
    await agent.play(180.0)
    told = agent.engine.report()
    broken = told.model_copy(update={"counters": {Loop.KV_RETENTION.value: {"policy": ""}}})
    section = agent.loop.section(broken, agent.document)
    assert section.settings == {}
    assert counter(agent, 'loadline_retention_faults_total{part="counts"}') == 1.0
    assert shown(agent).reason == Reason.READINGS_UNKNOWN.value


async def test_without_an_agent_the_lease_lapses_and_one_that_was_restarted_begins_without_a_budget(
    agent: RetentionAgent,
) -> None:
    agent.engine.demand_percent = 220.0
    await agent.play(180.0)
    agent.away = True
    assert moves(await agent.play(15.0))[-1] is None
    agent.away = False
    agent.restart()
    assert (await agent.play(3.0))[-1] is None


async def test_what_a_predecessor_has_written_stands_until_engines_have_reported(
    agent: RetentionAgent,
) -> None:
    before = RetentionStatus(engines=1, bounding_engines=1, budget_tokens=1024, reason="MemoryShort")
    kept = ServiceOnNode(service=SERVICE, kv_cache=KvCacheStatus(retention=before))
    agent.statuses.recall([kept])
    await agent.play(REPORTED_WITHIN_S - 3.0)
    assert shown(agent) == before
    await agent.play(9.0)
    assert shown(agent).budget_tokens is None


async def test_figures_hold_while_nobody_acts_on_them(agent: RetentionAgent) -> None:
    agent.engine.demand_percent = 220.0
    await agent.play(180.0)
    first = shown(agent)
    await agent.play(HOLD_S / 2)
    assert shown(agent) == first
    await agent.play(HOLD_S)
    assert shown(agent).folded_tokens != first.folded_tokens
