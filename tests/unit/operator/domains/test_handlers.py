"""What becomes of a domain that is deleted while the operator's own write to it is under way."""

from collections.abc import Callable
from typing import Any, cast

import pytest

from loadline_api.api_errors import Forbidden, Invalid, KubeError, NotFound, Unavailable, WriteConflict
from loadline_api.names import API_VERSION, lease_name
from loadline_operator.contexts import Context
from loadline_operator.domains import facts
from loadline_operator.domains.handlers import READERS, Domains
from loadline_operator.kube.kinds import EVENTS, LEASES, NODES, POWER_DOMAINS, Key, Kind, Manifest
from loadline_operator.metrics import Metrics
from loadline_operator.policies.documents import PolicyIndex

ROW = Key("", "row-a")
Seen = Callable[[Manifest, bool], None]


class Documents:
    policy_index = PolicyIndex(system_namespace="system")

    def __init__(self) -> None:
        self.moved: list[Any] = []


class Journal:
    def write(self, *_: Any, **__: Any) -> None:
        return None


class Applier:
    """Answers each write with what was written, after the events that `meanwhile` tells."""

    def __init__(self) -> None:
        self.meanwhile: dict[Kind, Callable[[Manifest], None]] = {}
        self.refuses: dict[Kind, Exception] = {}

    async def apply(self, kind: Kind, manifest: Manifest) -> Manifest:
        metadata = {**manifest["metadata"], "uid": f"uid-{kind.kind}", "resourceVersion": "8"}
        made = {**manifest, "metadata": metadata}
        self._happen(kind, made)
        return made

    async def apply_status(self, kind: Kind, manifest: Manifest) -> Manifest:
        made = {**domain("8"), "status": manifest["status"]}
        self._happen(kind, made)
        return made

    def _happen(self, kind: Kind, made: Manifest) -> None:
        if kind in self.refuses:
            raise self.refuses[kind]
        if kind in self.meanwhile:
            self.meanwhile[kind](made)

    async def create_event(self, kind: Kind, manifest: Manifest) -> None:
        self._happen(kind, manifest)


def domain(version: str) -> Manifest:
    spec = {
        "budgetWatts": 243_200,
        "breaker": {"curve": [{"percent": 105}, {"percent": 130, "seconds": 40}]},
        "nodeSelector": {"matchLabels": {"row": "a"}},
        "hostWatts": {"max": 2600},
    }
    metadata = {"name": ROW.name, "uid": "uid-row-a", "generation": 1, "resourceVersion": version}
    return {"apiVersion": API_VERSION, "kind": "PowerDomain", "metadata": metadata, "spec": spec}


@pytest.fixture
def applier() -> Applier:
    return Applier()


@pytest.fixture
async def domains(applier: Applier) -> Domains:
    context = Context(
        applier=cast(Any, applier),
        metrics=Metrics(),
        journal=cast(Any, Journal()),
        system_namespace="system",
    )
    made = Domains(context, cast(Any, Documents()))
    node = {"metadata": {"name": "n", "uid": "n", "resourceVersion": "1", "labels": {"row": "a"}}}
    told(made)[NODES](node, False)
    told(made)[POWER_DOMAINS](domain("7"), False)
    return made


def told(domains: Domains) -> dict[Kind, Seen]:
    """Who is told of each kind's events."""
    return {one.kind: one.seen for one in domains.watched}


async def test_a_domain_deleted_while_its_status_is_written_stays_gone(
    domains: Domains, applier: Applier
) -> None:
    applier.meanwhile[POWER_DOMAINS] = lambda made: told(domains)[POWER_DOMAINS](made, True)
    await domains.reconcile(ROW)
    assert ROW not in domains.domains


async def test_a_lease_deleted_while_it_is_written_stays_gone(domains: Domains, applier: Applier) -> None:
    def deleted(made: Manifest) -> None:
        told(domains)[LEASES](made, False)
        told(domains)[LEASES](made, True)

    applier.meanwhile[LEASES] = deleted
    await domains.reconcile(ROW)
    assert Key("system", lease_name(ROW.name)) not in domains.leases


async def test_what_was_written_is_known_before_the_watch_tells_it(domains: Domains) -> None:
    await domains.reconcile(ROW)
    known = domains.domains.get(ROW)
    assert isinstance(known, facts.Domain)
    assert known.status.conditions


@pytest.mark.parametrize("error", [NotFound, WriteConflict])
async def test_a_domain_that_is_gone_before_its_status_is_written_is_nobodys_business(
    domains: Domains, applier: Applier, error: type[KubeError]
) -> None:
    """Gone, or another of its name by now, of which an event tells; it was a failure with a traceback."""
    applier.refuses[POWER_DOMAINS] = error("gone")
    await domains.reconcile(ROW)


async def test_a_status_that_is_refused_for_another_reason_is_a_failure(
    domains: Domains, applier: Applier
) -> None:
    applier.refuses[POWER_DOMAINS] = Invalid("no", 422)
    with pytest.raises(Invalid):
        await domains.reconcile(ROW)


@pytest.mark.parametrize("error", [Forbidden("no", 403), Unavailable("away")])
async def test_an_event_that_cannot_be_posted_stops_no_domain(
    domains: Domains, applier: Applier, error: Exception
) -> None:
    seen = told(domains)[POWER_DOMAINS]
    too_small = {**domain("7"), "spec": {**domain("7")["spec"], "parent": "not-there"}}
    seen({**too_small, "metadata": {**domain("8")["metadata"], "generation": 2}}, False)
    posted: list[Manifest] = []
    applier.meanwhile[EVENTS] = posted.append
    await domains.reconcile(ROW)
    assert posted
    applier.refuses[EVENTS] = error
    seen({**too_small, "metadata": {**domain("9")["metadata"], "generation": 3}}, False)
    await domains.reconcile(ROW)


@pytest.mark.parametrize("kind", [POWER_DOMAINS, NODES, LEASES])
async def test_whatever_reading_one_object_raises_it_has_no_fact(
    domains: Domains, monkeypatch: pytest.MonkeyPatch, kind: Kind
) -> None:
    def read(raw: Manifest) -> None:
        raise ArithmeticError

    monkeypatch.setitem(READERS, kind, read)
    metadata = {"name": "odd", "uid": "uid-odd", "resourceVersion": "1"}
    told(domains)[kind]({"metadata": metadata}, False)
    table = next(one.table for one in domains.watched if one.kind is kind)
    assert table.has_seen({Key("", "odd"): "uid-odd"})
    assert table.get(Key("", "odd")) is None
