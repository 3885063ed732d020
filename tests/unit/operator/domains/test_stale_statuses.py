"""A status that nobody refreshes is said to be stale, with its age; one that somebody keeps never is."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.api_errors import WriteConflict
from loadline_api.conditions import COORDINATOR_DOMAIN_CONDITIONS, Condition
from loadline_api.names import API_VERSION, STALE_MANAGER
from loadline_api.refreshes import MISSED, REFRESH_SECONDS, stale_after_s
from loadline_operator.contexts import Context
from loadline_operator.domains.stale_statuses import Ref, StaleStatuses
from loadline_operator.domains.told_statuses import REFRESHED_NODE_CONDITIONS, of_node, spoken
from loadline_operator.kube.kinds import NODE_CAPACITIES, POWER_DOMAINS, Key, Kind, Manifest
from loadline_operator.metrics import Metrics

ROW: Ref = POWER_DOMAINS, Key("", "row-a")
STALE_S = stale_after_s(REFRESH_SECONDS)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME = "2026-01-02T03:04:05Z"


class Journal:
    def write(self, *_: Any, **__: Any) -> None:
        return None


@dataclass
class Server:
    """The API server as far as a status goes: it keeps the last, and refuses who judged an older version."""

    now: float = 0.0
    version: int = 1
    status: dict[str, Any] = field(default_factory=dict)
    selects: bool = True
    later: dict[Ref, float] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def object(self) -> Manifest:
        spec: dict[str, Any] = {"budgetWatts": 243_200}
        if self.selects:
            spec["nodeSelector"] = {"matchLabels": {"row": "a"}}
        metadata = {"name": ROW[1].name, "uid": "u", "resourceVersion": str(self.version)}
        head = {"apiVersion": API_VERSION, "kind": "PowerDomain", "metadata": metadata}
        return {**head, "spec": spec, "status": self.status}

    async def apply_status(self, kind: Kind, manifest: Manifest, *, manager: str) -> Manifest:
        assert (kind, manager) == (POWER_DOMAINS, STALE_MANAGER)
        if manifest["metadata"]["resourceVersion"] != str(self.version):
            raise WriteConflict("the object has been modified", 409)
        self.version += 1
        self.status = {**self.status, **manifest["status"]}
        self.applied.append(manifest["status"]["conditions"][0]["message"])
        return self.object()

    async def create_event(self, kind: Kind, event: Manifest) -> None:
        self.events.append(event["reason"])

    @property
    def conditions(self) -> dict[str, tuple[str, str]]:
        found = map(Condition.model_validate, self.status.get("conditions", ()))
        return {one.type: (one.status, one.reason) for one in found}


@dataclass
class Watcher:
    """The operator's eye on one server, in time that is told."""

    server: Server
    stale: StaleStatuses
    metrics: Metrics

    def see(self) -> None:
        self.stale.see(POWER_DOMAINS, self.server.object(), False)

    def refresh(self, **status: Any) -> None:
        """A coordinator writes its half."""
        self.server.version += 1
        said = [{"type": "WithinBudget", "status": "True", "reason": "BelowBudget"}]
        told = {"refreshSeconds": REFRESH_SECONDS, "observedTime": TIME, "conditions": said}
        self.server.status = {**told, **status}
        self.see()

    async def until(self, now: float) -> None:
        """Let time go on to `now`, with a look at each time that was asked for."""
        while (due_s := self.server.later.pop(ROW, now + 1.0)) <= now:
            self.server.now = due_s
            await self.stale.reconcile(ROW)
            self.see()
        self.server.later[ROW] = due_s
        self.server.now = now


@pytest.fixture
def watcher(monkeypatch: pytest.MonkeyPatch) -> Watcher:
    return watching(monkeypatch)


def watching(monkeypatch: pytest.MonkeyPatch, server: Server | None = None) -> Watcher:
    server = server or Server()
    context = Context(
        applier=cast(Any, server),
        metrics=Metrics(),
        journal=cast(Any, Journal()),
        system_namespace="s",
        clock=lambda: NOW + timedelta(seconds=server.now),
    )
    stale = StaleStatuses(context, clock=lambda: server.now)
    monkeypatch.setattr(
        stale.work_queue, "add_later", lambda key, delay_s: server.later.update({key: server.now + delay_s})
    )
    return Watcher(server, stale, context.metrics)


def stale_count(watcher: Watcher) -> float:
    text = watcher.metrics.text().decode()
    line = next(one for one in text.splitlines() if 'stale_statuses{kind="PowerDomain"}' in one)
    return float(line.split()[-1])


async def test_a_status_that_is_kept_is_left_alone(watcher: Watcher) -> None:
    for turn in range(20):
        watcher.refresh(observedTime=f"2026-01-02T03:05:{turn:02}Z")
        await watcher.until(watcher.server.now + STALE_S - 0.1)
    assert watcher.server.applied == []
    assert stale_count(watcher) == 0


async def test_a_status_that_nobody_refreshes_is_unknown_with_its_age(watcher: Watcher) -> None:
    watcher.refresh()
    await watcher.until(STALE_S - 0.1)
    assert watcher.server.applied == []
    await watcher.until(STALE_S)
    assert watcher.server.conditions == dict.fromkeys(
        sorted(COORDINATOR_DOMAIN_CONDITIONS), ("Unknown", "NotRefreshed")
    )
    assert watcher.server.applied[0].startswith(
        f"This status has not been refreshed for 90 s or longer; the last refresh was at {TIME}."
    )
    assert watcher.server.events == ["NotRefreshed"]
    assert stale_count(watcher) == 1


async def test_the_age_is_told_anew_when_it_has_doubled_and_so_a_few_times_a_day(watcher: Watcher) -> None:
    watcher.refresh()
    await watcher.until(24 * 3600.0)
    ages = [text.split(" for ")[1].split(" or ")[0] for text in watcher.server.applied]
    minutes = [f"{number} min" for number in (3, 6, 12, 24, 48, 96)]
    assert ages == ["90 s", *minutes, "3 h", "6 h", "12 h"]


async def test_a_coordinator_that_comes_back_is_believed_at_once(watcher: Watcher) -> None:
    watcher.refresh()
    await watcher.until(STALE_S)
    watcher.refresh(observedTime="2026-01-02T03:09:00Z")
    assert watcher.server.conditions == {"WithinBudget": ("True", "BelowBudget")}
    assert stale_count(watcher) == 0
    await watcher.until(2 * STALE_S - 0.1)
    assert len(watcher.server.applied) == 1


async def test_a_coordinator_that_is_faster_is_not_written_over(watcher: Watcher) -> None:
    watcher.refresh()
    watcher.server.version += 1  # its refresh, the event of which is on its way
    await watcher.until(STALE_S)
    assert watcher.server.applied == []
    watcher.refresh(observedTime="2026-01-02T03:04:50Z")
    await watcher.until(STALE_S + 10.0)
    assert watcher.server.applied == []


async def test_what_the_operator_itself_writes_refreshes_nothing(watcher: Watcher) -> None:
    watcher.refresh()
    await watcher.until(STALE_S - 1.0)
    watcher.server.version += 1
    watcher.server.status["members"] = ["n1"]
    watcher.see()
    await watcher.until(STALE_S)
    assert len(watcher.server.applied) == 1


async def test_a_row_that_nobody_has_led_yet_says_so_once(watcher: Watcher) -> None:
    watcher.see()
    await watcher.until(24 * 3600.0)
    assert len(watcher.server.applied) == 1
    assert set(watcher.server.conditions.values()) == {("Unknown", "NobodyLeads")}
    assert (watcher.server.events, stale_count(watcher)) == ([], 0)


async def test_a_coordinator_that_promises_no_refresh_is_not_judged(watcher: Watcher) -> None:
    watcher.refresh(refreshSeconds=None)
    await watcher.until(24 * 3600.0)
    assert watcher.server.applied == []


async def test_a_domain_of_domains_has_no_coordinator_to_miss(watcher: Watcher) -> None:
    watcher.server.selects = False
    watcher.see()
    await watcher.until(24 * 3600.0)
    assert watcher.server.applied == []


async def test_a_domain_that_is_gone_is_forgotten(watcher: Watcher) -> None:
    watcher.refresh()
    watcher.stale.see(POWER_DOMAINS, watcher.server.object(), True)
    await watcher.stale.reconcile(ROW)
    assert (watcher.server.applied, stale_count(watcher)) == ([], 0)


async def test_an_operator_that_starts_counts_from_then_and_says_the_same_only_once(
    watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.refresh()
    await watcher.until(STALE_S)
    restarted = watching(monkeypatch, watcher.server)
    restarted.server.now = 0.0
    restarted.see()
    await restarted.until(STALE_S)
    assert len(watcher.server.applied) == 1


@given(st.lists(st.floats(0.0, MISSED * REFRESH_SECONDS - 0.1), min_size=1, max_size=8))
async def test_no_rhythm_of_refreshes_within_the_bound_turns_a_status(gaps: list[float]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        watcher = watching(monkeypatch)
        for number, gap in enumerate(gaps):
            watcher.refresh(observedTime=f"2026-01-02T03:05:{number:02}Z")
            await watcher.until(watcher.server.now + gap)
        assert watcher.server.applied == []


@pytest.mark.parametrize(
    ("age_s", "text"),
    [
        (45.9, "45 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (7199.0, "119 min"),
        (7200.0, "2 h"),
        (1e6, "11 days"),
    ],
)
def test_an_age_is_spoken_in_a_unit_of_its_size(age_s: float, text: str) -> None:
    assert spoken(age_s) == text


def capacity(*types: str, **status: Any) -> Manifest:
    """A NodeCapacity whose agent says that all of these are so."""
    said = [{"type": type, "status": "True", "reason": "Observed"} for type in types]
    return {
        "apiVersion": API_VERSION,
        "kind": "NodeCapacity",
        "metadata": {"name": "n", "uid": "n", "resourceVersion": "1"},
        "spec": {
            "certificate": "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n",
            "address": "h:1",
        },
        "status": {"conditions": said, **status},
    }


def test_of_a_node_whose_agent_is_silent_all_is_in_doubt_but_what_its_record_says() -> None:
    told = of_node(capacity(*REFRESHED_NODE_CONDITIONS, "Enforcing", observedTime=TIME, refreshSeconds=120))
    assert told.stale_after_s == 360.0
    assert told.types == REFRESHED_NODE_CONDITIONS
    assert "Enforcing" not in {one.type for one in told.conditions}


def test_only_conditions_that_an_agent_has_told_are_doubted() -> None:
    told = of_node(capacity("Conflict", observedTime=TIME, refreshSeconds=120))
    assert told.types == {"Conflict"}


@pytest.mark.parametrize("status", [{}, {"observedTime": TIME}, {"refreshSeconds": 120}])
def test_an_agent_that_promises_nothing_is_not_judged(status: dict[str, Any]) -> None:
    assert of_node(capacity(*REFRESHED_NODE_CONDITIONS, **status)).stale_after_s is None


async def test_an_object_that_can_not_be_read_is_not_judged(watcher: Watcher) -> None:
    watcher.stale.see(NODE_CAPACITIES, {**capacity(), "spec": {}}, False)
    assert watcher.server.later == {}
