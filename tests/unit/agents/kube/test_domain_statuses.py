"""What people see of a domain, and when it is worth a write."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.domain_statuses import DomainStatusWriter, View, due, news, status_of
from loadline_api.conditions import ConditionType, find
from loadline_api.power_domains import CoordinatorDomainStatus
from loadline_api.quantities import MOST_COUNTED, MOST_REPORTED_WATTS
from loadline_api.refreshes import REFRESH_SECONDS
from loadline_policies import documents
from loadline_policies.errors import UnsafeDomain
from loadline_policies.power.protocol.domain_states import DomainState, ReleaseWait
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.gpu_limits import HoldReason
from loadline_policies.power.protocol.member_evidence import Evidence
from loadline_policies.power.protocol.messages import Epoch

NO_KUBE = cast(Kube, None)
"""Of which nothing may be asked."""

BUDGET_WATTS = 243_200.0
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
DEFAULT = Path(documents.__file__).parent / "defaults" / "power.yaml"
ROW = Domain(
    name="row-a",
    budget_watts=BUDGET_WATTS,
    members=frozenset({"node-00", "node-01"}),
    document=documents.parse_power(DEFAULT.read_text()),
)
CALM = DomainState(
    watts=200_000.4,
    load=0.82,
    age_s=0.3,
    headroom_watts=43_199.6,
    level="Normal",
    held=HoldReason.NOT,
    heat=0.254,
    brakes=0,
    nodes=2,
    silent=(),
    enforcing=True,
    agreed=True,
    safety=None,
    problem=None,
    policy_hash="abc",
    evidence=Evidence(heard_watts=200_000.4, armed=2, lowest_watts=90_000.0, budget_watts=BUDGET_WATTS),
)
ABOVE = replace(CALM, load=1.01, evidence=replace(CALM.evidence, heard_watts=1.01 * BUDGET_WATTS))
UNHOLDABLE = replace(CALM, evidence=replace(CALM.evidence, lowest_watts=3e5, unholdable=True))


def status(
    domain_state: DomainState = CALM, *, enforce: bool = True, node: str = "node-00"
) -> CoordinatorDomainStatus:
    return status_of(View(Epoch(1, "u"), replace(ROW, enforce=enforce), domain_state), node, now=NOW)


def worth(written: CoordinatorDomainStatus, wanted: CoordinatorDomainStatus, age_s: float) -> bool:
    return due(written, wanted, budget_watts=BUDGET_WATTS, age_s=age_s)


def test_a_status_has_whole_watts_and_percent() -> None:
    given = status()
    assert (given.observed_watts, given.headroom_watts, given.heat_percent) == (200_000, 43_200, 25)
    assert (given.coordinator, given.nodes_reporting) == ("node-00", 2)
    assert given.observed_time == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize("beyond", [1e12, 1e300, float("inf")])
def test_a_number_beyond_its_bound_is_told_as_the_bound(beyond: float) -> None:
    """Else the API server would refuse the whole status, and a person would see nothing."""
    told = status(replace(CALM, watts=beyond, headroom_watts=-beyond, heat=beyond))
    assert (told.observed_watts, told.headroom_watts) == (MOST_REPORTED_WATTS, -MOST_REPORTED_WATTS)
    assert told.heat_percent == MOST_COUNTED


WAITS = ReleaseWait(nodes=("node-00", "node-01"), lacking_watts=540.4, long=False)
LONG = replace(CALM, release=replace(WAITS, long=True))
UNSAFE = UnsafeDomain("ReactionTooSlow", "breaker.curve bears …")


def test_a_relief_that_begins_or_ends_is_written_at_once_and_one_that_goes_on_is_not() -> None:
    held, let_off = (status(replace(CALM, level="High", relieved=names)) for names in ((), ("prod/chat",)))
    assert worth(held, let_off, 1.0)
    assert worth(let_off, held, 1.0)
    assert not worth(let_off, let_off, REFRESH_SECONDS - 0.1)


@pytest.mark.parametrize(
    "changed",
    [
        replace(CALM, level="LowDeep"),
        replace(CALM, problem=UNSAFE),
        replace(CALM, silent=("node-01",)),
        ABOVE,
        UNHOLDABLE,
        replace(CALM, evidence=replace(CALM.evidence, armed=0)),
        replace(CALM, policy_hash="def"),
        replace(CALM, level="High", relieved=("prod/chat",)),
    ],
)
def test_a_change_of_state_is_written_at_once(changed: DomainState) -> None:
    assert worth(status(), status(changed), 1.0)


def test_a_new_coordinator_is_written_at_once() -> None:
    assert worth(status(), status(node="node-01"), 1.0)
    assert due(None, status(), budget_watts=BUDGET_WATTS, age_s=0.0)


def test_watts_are_written_every_ten_seconds_if_they_moved() -> None:
    moved = status(replace(CALM, watts=CALM.watts + 0.03 * BUDGET_WATTS))
    assert not worth(status(), moved, 9.0)
    assert worth(status(), moved, 10.0)


@given(st.floats(min_value=-0.0199, max_value=0.0199), st.floats(min_value=0.0, max_value=REFRESH_SECONDS))
def test_small_moves_wait_for_the_next_refresh(share: float, age_s: float) -> None:
    near = status(replace(CALM, watts=CALM.watts + share * BUDGET_WATTS, heat=0.9))
    assert worth(status(), near, age_s) == (age_s >= REFRESH_SECONDS)


def test_what_has_not_changed_is_refreshed_as_often_as_the_status_promises() -> None:
    promised = status().refresh_seconds
    assert promised is not None
    assert not worth(status(), status(), promised - 0.1)
    assert worth(status(), status(), promised)


def test_only_what_turned_is_news() -> None:
    silent = status(replace(CALM, silent=("node-01",)))
    assert {one.reason for one in news(status(), silent)} == {"NodesSilent"}
    assert news(silent, silent) == ()


def test_a_first_look_is_news_only_where_it_is_bad() -> None:
    assert news(None, status()) == ()
    assert [one.reason for one in news(None, status(ABOVE))] == ["AboveBudget"]
    assert [one.reason for one in news(None, status(UNHOLDABLE))] == ["CannotBeHeld"]


async def test_a_coordinator_that_has_heard_nobody_yet_says_nothing() -> None:
    unheard = replace(CALM, held=HoldReason.NEW, level="Acquainting", silent=("node-00", "node-01"))
    writer = DomainStatusWriter(NO_KUBE, "node-00", domain=lambda: ROW, clock=lambda: 0.0)
    writer.tell(Epoch(1, "u"), unheard)
    await writer.step()
    assert writer.problem is None


def sentence(domain_state: DomainState) -> str:
    found = find(status(domain_state, enforce=False).conditions, ConditionType.ENFORCING)
    assert found is not None
    return found.message


def test_a_release_says_who_waits_and_how_many_watts_the_next_one_lacks() -> None:
    told = sentence(replace(CALM, release=WAITS))
    assert told == "node-00, node-01 wait to be released; the next lacks 541 W of headroom."


def test_one_that_takes_long_says_what_a_person_can_do_and_is_worth_a_warning() -> None:
    assert "For ten minutes no node could be released: node-00, node-01 wait" in sentence(LONG)
    assert "lacks 541 W of headroom. So reduce the load on the domain or raise budgetWatts" in sentence(LONG)
    assert "`loadline release --node node-00`" in sentence(LONG)
    before = status(replace(CALM, release=WAITS), enforce=False)
    assert [one.reason for one in news(before, status(LONG, enforce=False))] == ["ReleaseWaits"]


def test_one_that_takes_long_though_there_is_headroom_says_where_to_look() -> None:
    free = ReleaseWait(nodes=("node-00",), lacking_watts=0.0, long=True)
    assert "node-00 waits to be released; there is enough headroom. So check the agents on them" in sentence(
        replace(CALM, release=free)
    )
