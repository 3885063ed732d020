"""The port for workers over real HTTP: who is answered, who is refused and why, and what that costs."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest

from loadline_agent.metrics import WORKER_OUTCOMES
from loadline_agent.workers import worker_servers
from loadline_agent.workers.refusals import STATUSES
from loadline_agent.workers.token_reviews import KEPT_S, LONGEST_TOKEN, REFUSED_S, TokenPod
from loadline_agent.workers.worker_servers import ALL_BURST, REPORTS_BURST, REVIEWS_BURST
from loadline_api.worker_messages import (
    LONGEST_WORKER_MESSAGE,
    WORKER_PATH,
    SettingsSection,
    WorkerReport,
    decode_worker_settings,
    encode,
)
from testbed.clocks import Clock
from testbed.doubles.worker_agents import NODE, OTHER, POD, SERVICE, TOKEN, WorkerAgent, report, token

SECTIONS = {"kv": SettingsSection(policy="keep-all", policy_hash="3f2a")}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def agent(clock: Clock) -> AsyncIterator[WorkerAgent]:
    async with WorkerAgent(sections=SECTIONS, clock=clock) as agent:
        yield agent


async def post(
    agent: WorkerAgent,
    body: bytes | WorkerReport | None = None,
    *,
    bearer: str | None = TOKEN,
    source: str = "127.0.0.1",
) -> tuple[int, bytes]:
    """The status and the text that a request gets, by default of the worker in POD."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer is not None else {}
    told = report() if body is None else body
    data = encode(told) if isinstance(told, WorkerReport) else told
    url = f"http://127.0.0.1:{agent.port}{WORKER_PATH}"
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.post(url, data=data, headers=headers) as response,
    ):
        return response.status, await response.read()


def changed(**changes: Any) -> bytes:
    return json.dumps({**json.loads(encode(report())), **changes}).encode()


async def test_a_worker_gets_the_settings_of_its_service(agent: WorkerAgent) -> None:
    status, body = await post(agent)
    told = decode_worker_settings(body)
    assert (status, told.generation, told.sections) == (200, 1, SECTIONS)
    assert agent.counted("answered") == 1.0
    assert [one["service"] for one in agent.server.shown()] == [SERVICE]


@pytest.mark.parametrize(
    ("body", "bearer", "reason", "sentence"),
    [
        (None, None, "NoToken", "send the pod's projected token"),
        (None, "x" * (LONGEST_TOKEN + 1), "NoToken", "send the pod's projected token"),
        (None, "false", "WrongToken", "audience `loadline-worker`"),
        (report(OTHER), TOKEN, "ForeignPod", "the token is that of pod prod/chat-main-0"),
        (report(replace(POD, uid="before")), TOKEN, "ForeignPod", "report for it alone"),
        (report(service="code"), TOKEN, "OtherService", "belongs to prod/chat, pool main"),
        (report(pool="prefill"), TOKEN, "OtherService", "belongs to prod/chat, pool main"),
        (b"{", TOKEN, "Unreadable", "report"),
        (changed(version=2), TOKEN, "Unreadable", "report.version is 2"),
        (changed(counters={"kv": {"n": "x" * 300}}), TOKEN, "Unreadable", "shorten texts"),
        (b" " * (LONGEST_WORKER_MESSAGE + 1), TOKEN, "Unreadable", f"{LONGEST_WORKER_MESSAGE} bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 20 else "",
)
async def test_what_is_refused_gets_the_reasons_status_and_a_sentence_and_is_counted(
    agent: WorkerAgent, body: bytes | WorkerReport | None, bearer: str | None, reason: str, sentence: str
) -> None:
    status, text = await post(agent, body, bearer=bearer)
    assert status == STATUSES[reason]
    assert sentence in text.decode()
    assert agent.counted(reason) == 1.0
    assert agent.server.shown() == []


@pytest.mark.parametrize(
    ("pod", "services", "reason", "status"),
    [
        (replace(POD, node="node-1"), None, "OtherNode", 403),
        (replace(POD, uid=""), None, "NotAPod", 403),
        (POD, {}, "UnknownPod", 404),
    ],
    ids=["another-node", "no-pod", "no-service"],
)
async def test_a_pod_that_is_not_an_engine_of_this_node_is_refused(
    agent: WorkerAgent, pod: TokenPod, services: dict[Any, Any] | None, reason: str, status: int
) -> None:
    agent.pods[TOKEN] = pod
    agent.services = agent.services if services is None else services
    assert (await post(agent))[0] == status
    assert agent.counted(reason) == 1.0


async def test_a_pod_without_a_label_for_its_pool_says_it_itself(agent: WorkerAgent) -> None:
    agent.services[POD.namespace, POD.name] = SERVICE, ""
    assert (await post(agent, report(pool="decode")))[0] == 200


async def test_an_agent_that_does_not_know_the_policies_yet_gives_no_settings(agent: WorkerAgent) -> None:
    agent.sections = None
    assert (await post(agent))[0] == 503
    assert agent.counted("NoSettings") == 1.0


async def test_a_review_is_kept_for_a_while(agent: WorkerAgent, clock: Clock) -> None:
    for _ in range(3):
        assert (await post(agent))[0] == 200
    clock.now += KEPT_S - 1.0
    assert ((await post(agent))[0], agent.reviews) == (200, 1)
    clock.now += 1.0
    assert ((await post(agent))[0], agent.reviews) == (200, 2)


async def test_a_review_is_not_kept_beyond_the_tokens_end(agent: WorkerAgent, clock: Clock) -> None:
    short = token("pod-0", expires_s=time.time() + 2.0)
    agent.pods[short] = POD
    assert (await post(agent, bearer=short))[0] == 200
    clock.now += 2.0
    del agent.pods[short]
    assert (await post(agent, bearer=short))[0] == 401


async def test_a_bad_token_is_reviewed_again_soon(agent: WorkerAgent, clock: Clock) -> None:
    for _ in range(3):
        assert (await post(agent, bearer="new"))[0] == 401
    assert agent.reviews == 1
    agent.pods["new"] = POD
    clock.now += REFUSED_S
    assert (await post(agent, bearer="new"))[0] == 200


async def test_without_the_api_server_tokens_that_were_reviewed_are_known_and_no_others(
    agent: WorkerAgent, clock: Clock
) -> None:
    await post(agent)
    agent.api_is_away = True
    assert (await post(agent))[0] == 200
    assert (await post(agent, bearer="another"))[0] == 503
    clock.now += KEPT_S
    assert (await post(agent))[0] == 503
    assert agent.counted("NotReviewed") == 2.0
    agent.api_is_away = False
    assert (await post(agent))[0] == 200


async def test_a_worker_that_reports_too_often_is_refused_and_stops_no_other(agent: WorkerAgent) -> None:
    agent.pods["other"] = OTHER
    statuses = [(await post(agent))[0] for _ in range(int(REPORTS_BURST) + 3)]
    assert statuses == [200] * int(REPORTS_BURST) + [429] * 3
    assert (await post(agent, report(OTHER), bearer="other"))[0] == 200


async def test_an_address_with_many_false_tokens_costs_few_reviews_and_stops_no_other(
    agent: WorkerAgent,
) -> None:
    for number in range(int(REVIEWS_BURST) + 20):
        await post(agent, bearer=f"false-{number}", source="127.0.0.9")
    assert agent.reviews == REVIEWS_BURST
    assert agent.counted("TooMany") == 20.0
    assert (await post(agent))[0] == 200


async def test_an_address_that_sends_without_pause_stops_no_other(agent: WorkerAgent) -> None:
    statuses = {(await post(agent, bearer="false", source="127.0.0.9"))[0] for _ in range(int(ALL_BURST) + 1)}
    assert statuses == {401, 429}
    assert (await post(agent))[0] == 200


async def test_all_requests_together_have_a_bound(
    agent: WorkerAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.server._all, "_burst", 2.0)
    assert [(await post(agent))[0] for _ in range(3)] == [200, 200, 429]


async def test_a_body_that_does_not_come_is_given_up(
    agent: WorkerAgent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_servers, "BODY_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
    head = f"POST {WORKER_PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 9\r\n"
    writer.write(f"{head}\r\n".encode())
    assert b"400" in await asyncio.wait_for(reader.readline(), 5.0)
    writer.transport.abort()


async def test_a_restarted_agent_goes_on_counting_generations(agent: WorkerAgent) -> None:
    for strength in range(3):
        section = SettingsSection(policy="keep-all", policy_hash="3f2a", settings={"strength": strength})
        agent.sections = {"kv": section}
        last = decode_worker_settings((await post(agent))[1]).generation
    await agent.server.close()
    async with WorkerAgent(sections=SECTIONS, port=agent.port) as successor:
        _, body = await post(successor, report(highest=last, generation=last))
    assert decode_worker_settings(body).generation == last + 1 == 4


def test_every_refusal_is_a_word_of_the_metric() -> None:
    assert {"answered", *STATUSES} == set(WORKER_OUTCOMES)


def test_what_the_double_says_is_this_node() -> None:
    assert POD.node == NODE
