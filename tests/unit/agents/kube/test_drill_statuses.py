"""What people see of a drill: what was read back, and what a predecessor saw."""

from dataclasses import replace

from loadline_agent.kube.drill_statuses import ended, inherited, status_of
from loadline_api.drills import LISTED_NODES, DrillStatus
from loadline_policies.power.protocol.drill_states import DrilledNode, DrillOrder, DrillOutcome, DrillState

ORDER = DrillOrder(
    text="2026-01-02T03:04:05Z/10", requested_s=1_767_323_045.0, seconds=10.0, age_s=1.0, read_s=7.0
)


def node(name: str, at_safe: int = 8, after_s: float | None = 1.4, over: float | None = 0.0) -> DrilledNode:
    return DrilledNode(node=name, gpus=8, gpus_at_safe=at_safe, after_s=after_s, over_watts=over)


HELD = DrillState(
    order=ORDER,
    outcome=DrillOutcome.DONE,
    begun_age_s=1.5,
    nodes=(node("quick"), node("slow", after_s=2.6), node("lost", 0, None, None), node("high", 7, None, 0.6)),
    watts_before=9_000.2,
    highest_watts=8_000.2,
    safe_watts=8_500.0,
    budget_watts=10_000.0,
)
REFUSED = DrillState(order=ORDER, outcome=DrillOutcome.REFUSED, message="nodes don't report: node-3")


def test_a_refusal_is_the_order_and_why() -> None:
    told = status_of(REFUSED).to_api()
    assert told == {
        "order": ORDER.text,
        "outcome": "Refused",
        "message": "nodes don't report: node-3",
    }


def test_a_hold_is_told_in_whole_watts_and_never_below_what_was_drawn() -> None:
    told = status_of(HELD)
    assert (told.nodes, told.nodes_at_safe, told.gpus, told.gpus_at_safe) == (4, 2, 32, 23)
    assert (told.watts_before, told.highest_watts, told.safe_watts) == (9_001, 8_001, 8_500)
    assert told.held_time == "2026-01-02T03:04:06Z"


def test_who_wasnt_at_safe_is_named_first_then_who_was_last() -> None:
    listed = status_of(HELD).listed
    assert [one.node for one in listed] == ["lost", "high", "slow", "quick"]
    assert [one.after_milliseconds for one in listed] == [None, None, 2600, 1400]
    assert [one.over_watts for one in listed] == [None, 1, 0, 0]


def test_a_row_of_two_thousand_nodes_names_the_worst() -> None:
    many = tuple(node(f"node-{index:04}", after_s=index / 1000) for index in range(2000))
    told = status_of(replace(HELD, nodes=many))
    assert (told.nodes, len(told.listed)) == (2000, LISTED_NODES)
    assert told.listed[0].node == "node-1999"


def test_nothing_measured_is_nothing_told() -> None:
    told = status_of(replace(HELD, outcome=DrillOutcome.HOLDING, nodes=(), highest_watts=None)).to_api()
    assert "highestWatts" not in told
    assert told["nodes"] == 0


def test_a_hold_ends_with_its_coordinator_and_what_it_saw_stays() -> None:
    before = ended(DrillStatus(order="one", outcome="Holding", nodes=4, nodes_at_safe=3))
    assert before is not None
    assert (before.outcome, before.nodes_at_safe) == ("Stopped", 3)
    assert "coordinator has changed" in before.message
    assert inherited(None, before) is before
    assert inherited(status_of(REFUSED).model_copy(update={"order": "one"}), before) is before
    assert inherited(status_of(HELD), before) == status_of(HELD), "another order is our own"


def test_what_was_over_stays_as_it_was() -> None:
    done = DrillStatus(order="one", outcome="Done")
    assert ended(done) is done
    assert ended(None) is None
    assert inherited(None, None) is None
