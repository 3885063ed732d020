"""The API server stores what is quoted from others, by the operator's requests and by the agent's."""

import asyncio
import os
import unicodedata
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

import pytest

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import from_kubeconfig
from loadline_api import generate, names
from loadline_api.api_errors import Invalid
from loadline_api.conditions import Condition, ConditionType, condition, merge
from loadline_api.reasons import Reason
from loadline_operator import events
from loadline_operator.kube.apply import Applier
from loadline_operator.kube.connections import Connection
from loadline_operator.kube.kinds import DEPLOYMENTS, EVENTS, INFERENCE_SERVICES, POWER_DOMAINS, Key, Kind
from loadline_operator.metrics import Metrics
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import service

pytestmark = pytest.mark.cluster

NOW = datetime(2026, 1, 2, tzinfo=UTC)
TYPES = tuple(ConditionType)
AT_ONCE = 16
"""Conditions that one status can hold."""

PASSES = len(TYPES) if "LOADLINE_EVERY_CONDITION" in os.environ else 1
"""How often all texts are written, each time in another condition: once, or in every one."""

CHAT, ROW = Key("default", "odd-chat"), Key("", "odd-row")
DOMAIN: Object = {
    "apiVersion": names.API_VERSION,
    "kind": "PowerDomain",
    "metadata": {"name": ROW.name},
    "spec": {
        "budgetWatts": 243_200,
        "breaker": {"curve": [{"percent": 105}, {"percent": 130, "seconds": 40}]},
        "nodeSelector": {"matchLabels": {"row": "odd"}},
        "hostWatts": {"max": 2600},
    },
}


def texts() -> Iterator[str]:
    """Each odd character alone, some of every kind, and texts above the limit by each width of UTF-8."""
    yield "model 🚀 failed"
    yield from (f"a{one}b" for one in map(chr, range(0x300)) if not one.isprintable())
    by_category: dict[str, list[str]] = {}
    for code in range(0x300, 0x110000):
        by_category.setdefault(unicodedata.category(chr(code)), []).append(chr(code))
    for known in by_category.values():
        picked = known[:: max(1, len(known) // 16)]
        yield from (f"a{one}b" for one in [*picked, known[-1]])
        yield "".join(picked)
    yield from (f"{'a' * start}{wide * 2000}" for start in range(4) for wide in ("é", "模", "🚀", "\x07"))


def conditions(told: list[str], types: tuple[ConditionType, ...]) -> tuple[Condition, ...]:
    wanted = [
        condition(type, so=False, reason=Reason.OBSERVED, message=text)
        for type, text in zip(types, told, strict=False)
    ]
    return merge((), wanted, now=NOW)


@pytest.fixture(scope="module")
def server(bed: Bed) -> Iterator[Bed]:
    """The bed with a service and a domain."""
    bed.apply([*map(generate.crd, generate.DEFINITIONS), service(CHAT.name), DOMAIN])
    yield bed
    bed.client.delete(POWER_DOMAINS.path(ROW))
    bed.client.delete(INFERENCE_SERVICES.path(CHAT))


@pytest.fixture
async def applier(server: Bed) -> AsyncIterator[Applier]:
    made = Applier((await Connection.open(server.kubeconfig)).client(), Metrics())
    yield made
    await made.close()


@pytest.fixture
async def kube(server: Bed) -> AsyncIterator[Kube]:
    made = Kube(from_kubeconfig(server.kubeconfig))
    yield made
    await made.close()


def batches() -> Iterator[tuple[Condition, ...]]:
    every = list(texts())
    assert len(every) >= 500
    for shift in range(PASSES):
        types = (*TYPES[shift:], *TYPES[:shift])[:AT_ONCE]
        for start in range(0, len(every), AT_ONCE):
            yield conditions(every[start : start + AT_ONCE], types)


def told(found: Any) -> list[str]:
    return [one["message"] for one in found["status"]["conditions"]]


@pytest.mark.parametrize(
    ("kind", "key"), [(INFERENCE_SERVICES, CHAT), (POWER_DOMAINS, ROW)], ids=["service", "domain"]
)
async def test_every_text_is_written_by_the_operator_and_read_back(
    applier: Applier, kind: Kind, key: Key, record_property: Callable[[str, Any], None]
) -> None:
    record_property("texts", len(list(texts())))
    record_property("conditions", PASSES)
    for wanted in batches():
        status = {"conditions": [one.to_api() for one in wanted]}
        made = await applier.apply_status(kind, {**kind.manifest(key), "status": status})
        assert told(made) == [one.message for one in wanted]
        found = await applier.get(kind, key)
        assert told(found) == told(made)
    await applier.apply_status(kind, {**kind.manifest(key), "status": {"conditions": []}})


async def test_every_text_is_written_by_an_agent_and_read_back(kube: Kube) -> None:
    path = names.POWER_DOMAINS.path(ROW.name)
    for wanted in batches():
        status = {"conditions": [one.to_api() for one in wanted]}
        body = {**POWER_DOMAINS.manifest(ROW), "status": status}
        await kube.apply(path, body, manager="agent", subresource="status")
        assert told(await kube.get(path)) == [one.message for one in wanted]


async def test_every_text_fits_into_an_event(applier: Applier) -> None:
    for number, text in enumerate(list(texts())[::7]):
        event = events.service_failing(
            CHAT, uid="u", version=str(number), reason="Observed", text=text, now=NOW
        )
        await applier.create_event(EVENTS, event)
        found = await applier.get(EVENTS, Key.of(event))
        assert found is not None
        assert found["message"] == event["message"]


async def test_what_people_write_reaches_the_workload_as_it_is(applier: Applier) -> None:
    """Nothing is shown here, so nothing is escaped: what YAML can't have as a character goes as an escape."""
    value = "hi 🚀 \x07 \x7f \x85 \u2028 \ufeff \uffff \n"
    container = {"name": "vllm", "image": "theirs", "env": [{"name": "GREETING", "value": value}]}
    labels = {"app": "odd"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    made = await applier.apply(DEPLOYMENTS, {**DEPLOYMENTS.manifest(CHAT), "spec": spec})
    assert made["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] == value
    await applier.delete(DEPLOYMENTS, CHAT, uid=made["metadata"]["uid"])


async def test_an_annotation_with_line_separators_ends_no_watch(applier: Applier, kube: Kube) -> None:
    version = (await kube.list(names.POWER_DOMAINS.path())).version
    note = "one\x85two\u2028three\u2029four\nfive"
    operations = [{"op": "add", "path": "/metadata/annotations", "value": {"example.com/note": note}}]
    await applier.patch(POWER_DOMAINS, ROW, operations)
    async with aclosing(kube.watch(names.POWER_DOMAINS.path(), version)) as changes, asyncio.timeout(20.0):
        async for event in changes:
            if event.type == "MODIFIED":
                assert event.object["metadata"]["annotations"]["example.com/note"] == note
                return


ENV = {"name": "A", "value": "1"}
MISTAKES: dict[str, Object] = {
    "a-number-for-a-text": {"env": [{**ENV, "value": 1}, {**ENV, "name": "B", "value": 2}]},
    "a-name-twice": {"env": [ENV, ENV]},
    "no-such-source": {"env": [{"name": "A", "valueFrom": {"x": 1}}]},
    "bad-names": {"env": [{**ENV, "name": "A="}, {**ENV, "name": "=B"}]},
    "bad-amounts": {"resources": {"limits": {"a": "1", "b": "2", "cpu": "-1", "memory": "-2"}}},
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_that_is_refused_twice_has_one_text(applier: Applier, mistake: str) -> None:
    """In the engine and in our copy of it: the API server names them in any order."""
    container = {"name": "vllm", "image": "theirs", **MISTAKES[mistake]}
    pod = {"containers": [container], "initContainers": [{**container, "name": "fetch-model"}]}
    labels = {"app": "odd"}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    said = set()
    for _ in range(30):
        with pytest.raises(Invalid) as refused:
            await applier.apply(DEPLOYMENTS, {**DEPLOYMENTS.manifest(CHAT), "spec": spec})
        said.add(str(refused.value))
    assert len(said) == 1
    assert "\n" not in next(iter(said))
