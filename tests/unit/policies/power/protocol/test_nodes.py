"""A node reports, takes leases and has them carried out, whatever order things happen in."""

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.protocol.messages import Act, Epoch, GpuLimit, Lease, Report
from loadline_policies.power.protocol.node_exchanges import SETTLE_S, SETTLE_TRIES
from loadline_policies.power.protocol.node_outputs import (
    CarryOut,
    Output,
    ReadBack,
    Refused,
    Restore,
    Send,
    Taken,
)
from loadline_policies.power.protocol.node_states import GpuState, Home, NodeState
from loadline_policies.power.protocol.nodes import (
    BROKEN_FOR_S,
    LAST_REPORTS,
    RETRY_S,
    UNPLANNED_AGAIN_S,
    Node,
)

START_S = 100.0
GPU = GpuState(
    uuid="gpu-0",
    sensor_watts=200.0,
    min_watts=100.0,
    max_watts=400.0,
    enforced_watts=300.0,
    requested_watts=300.0,
)
HOME = Home(domain="row", host_idle_watts=500.0, host_max_watts=500.0)


def look(now: float, gpu: GpuState = GPU, **changes: object) -> NodeState:
    state = NodeState(gpus=(gpu,), sampled_s=now, read_s=now)
    return replace(state, **changes)  # type: ignore[arg-type]


def lease(report: Report, sequence: int = 1, *, act: Act = Act.ENFORCE, watts: float = 300.0) -> Lease:
    limit = GpuLimit(uuid="gpu-0", watts=watts, safe_watts=250.0)
    return Lease(
        domain="row",
        epoch=Epoch(1, "uid"),
        sequence=sequence,
        answers=report.sequence,
        lease_s=4.0,
        act=act,
        limits=(limit,) if act is Act.ENFORCE else (),
        plan_version=1,
        trigger_watts=report.watts + 50.0,
        heat=0.5,
        level="Normal",
        policy_hash="abc",
        policy_level="LowDeep",
    )


def only(outputs: Iterable[Output], kind: type[Output]) -> Output:
    (found,) = [one for one in outputs if isinstance(one, kind)]
    return found


def sent(outputs: Iterable[Output]) -> Report:
    send = only(outputs, Send)
    assert isinstance(send, Send)
    return send.report


def made(state: NodeState | None = None) -> Node:
    node = Node("node-0", state or look(START_S), now=START_S, uniform=lambda least, most: most)
    node.settle(HOME)
    return node


@pytest.fixture
def node() -> Node:
    return made()


def armed(node: Node, *, watts: float = 300.0, writes: int = 0, now: float = START_S) -> Report:
    """Bring a node to its first Enforce lease; the report that follows."""
    report = sent(node.poll(now))
    node.answered(report.sequence, lease(report, watts=watts), now)
    node.carried_out(look(now, armed=True, deadline_s=now + 4.0), now, writes=writes)
    return sent(node.poll(now + (SETTLE_TRIES + 1) * SETTLE_S))


def test_a_node_that_was_never_sampled_or_has_no_domain_says_nothing(node: Node) -> None:
    node.looked(NodeState())
    assert node.poll(START_S) == ()
    node.looked(look(START_S))
    node.settle(Home())
    assert node.poll(START_S) == ()


def test_one_report_is_always_under_way(node: Node) -> None:
    report = sent(node.poll(START_S))
    assert node.poll(START_S + 60.0) == ()
    node.answered(report.sequence, lease(report, act=Act.OBSERVE), START_S)
    assert sent(node.poll(START_S)).sequence == report.sequence + 1


def test_a_report_that_failed_is_followed_by_another_after_a_pause(node: Node) -> None:
    report = sent(node.poll(START_S))
    node.unanswered(report.sequence, START_S)
    assert node.wake_s == START_S + RETRY_S[1]
    assert node.poll(START_S + 0.1) == ()
    assert sent(node.poll(node.wake_s)).sequence == report.sequence + 1


def test_a_lease_is_stood_by_once_it_was_carried_out(node: Node) -> None:
    report = sent(node.poll(START_S))
    first = lease(report)
    order = only(node.answered(report.sequence, first, START_S + 0.5), CarryOut)
    assert order == CarryOut(first, START_S + 4.0), "from when its request was sent"
    assert not node.standing.armed
    taken = node.carried_out(look(START_S + 0.6, armed=True), START_S + 0.6, writes=0)
    assert taken == (Taken(first, None),)
    assert node.standing.deadline_s == START_S + 4.0
    following = sent(node.poll(START_S + 0.6))
    assert (following.heat, following.heat_age_s) == (0.5, 0.6), "as old as the question"
    assert following.policy_level == "LowDeep"


def test_an_epoch_is_told_as_long_as_its_lease_lives_and_no_longer(node: Node) -> None:
    following = armed(node)
    assert (following.epoch, following.lease_sequence) == (Epoch(1, "uid"), 1)
    node.unanswered(following.sequence, START_S + 3.0)
    late = sent(node.poll(START_S + 4.1))
    assert (late.epoch, late.lease_sequence, late.armed) == (None, 0, True)


def test_a_promise_that_could_not_be_recorded_leaves_the_node_where_it_was(node: Node) -> None:
    report = sent(node.poll(START_S))
    node.answered(report.sequence, lease(report), START_S)
    node.failed("StateLost", "no space left", START_S)
    assert not node.standing.armed
    assert sent(node.poll(START_S)).faults == ("StateLost",)
    assert node.faults(START_S + BROKEN_FOR_S) == {}


def test_orders_are_carried_out_one_at_a_time(node: Node) -> None:
    armed(node)
    node.looked(look(START_S + 1.0, GPU._replace(sensor_watts=260.0), armed=True))
    urgent = sent(node.poll(START_S + 1.0))
    regular = urgent.sequence - 1
    node.answered(urgent.sequence, lease(urgent, 2, watts=280.0), START_S + 1.0)
    late = lease(replace(urgent, sequence=regular), 3, watts=260.0)
    assert node.answered(regular, late, START_S + 1.1) == ()
    out = node.carried_out(look(START_S + 1.2, armed=True), START_S + 1.2, writes=1)
    assert only(out, CarryOut) == CarryOut(late, START_S + 0.6 + 4.0)


def test_a_draw_past_the_trigger_is_reported_out_of_turn_once(node: Node) -> None:
    armed(node)
    high = look(START_S + 1.0, GPU._replace(sensor_watts=251.0), armed=True)
    assert node.is_news(high, START_S + 1.0)
    node.looked(high)
    (out,) = node.poll(START_S + 1.0)
    assert isinstance(out, Send)
    assert out.out_of_turn
    assert node.poll(START_S + 1.1) == ()


def test_nothing_is_news_without_a_lease(node: Node) -> None:
    high = look(START_S, GPU._replace(sensor_watts=400.0))
    assert not node.is_news(high, START_S)
    armed(node)
    assert node.is_news(high, START_S + 3.9)
    assert not node.is_news(high, START_S + 4.0)


def test_what_was_written_is_read_back_before_the_next_report(node: Node) -> None:
    report = sent(node.poll(START_S))
    node.answered(report.sequence, lease(report, watts=280.0), START_S)
    node.carried_out(look(START_S, armed=True, settled=False), START_S, writes=1)
    assert node.poll(START_S) == ()
    assert node.poll(START_S + SETTLE_S) == (ReadBack(),)
    now = START_S + SETTLE_S + 0.01
    node.looked(look(now, GPU._replace(enforced_watts=280.0, requested_watts=280.0), armed=True))
    assert sent(node.poll(now)).gpus[0].enforced_watts == 280.0


def test_a_limit_that_never_comes_into_force_is_reported_all_the_same(node: Node) -> None:
    report = sent(node.poll(START_S))
    node.answered(report.sequence, lease(report, watts=280.0), START_S)
    node.carried_out(look(START_S, armed=True, settled=False), START_S, writes=1)
    reads, now = 0, START_S
    while not (out := [one for one in node.poll(now) if isinstance(one, Send)]):
        now = node.wake_s
        reads += 1
        node.looked(look(now, armed=True, settled=False))
    assert reads == SETTLE_TRIES + 1
    assert sent(out).gpus[0].enforced_watts == 300.0


@pytest.mark.parametrize("renewed", [False, True])
def test_a_raise_under_way_counts_at_what_was_ordered(node: Node, renewed: bool) -> None:
    """A node that dies before the limit is in force may hold it, and nobody would know."""
    report = armed(node, watts=300.0)
    node.answered(report.sequence, lease(report, 2, watts=400.0), START_S + 1.0)
    node.looked(look(START_S + 1.0, GPU._replace(sensor_watts=260.0), armed=True))
    urgent = sent(node.poll(START_S + 1.0))
    assert urgent.gpus[0].enforced_watts == 400.0, "while it is being written"
    node.carried_out(look(START_S + 1.05, armed=True, settled=False), START_S + 1.05, writes=1)
    if renewed:
        node.answered(urgent.sequence, lease(urgent, 3, watts=400.0), START_S + 1.06)
        node.carried_out(look(START_S + 1.06, armed=True, settled=False), START_S + 1.06, writes=0)
    else:
        node.superseded(urgent.sequence)
    node.looked(look(START_S + 1.1, GPU._replace(sensor_watts=330.0), armed=True, settled=False))
    assert sent(node.poll(START_S + 1.1)).gpus[0].enforced_watts == 400.0, "until it is read back"


def test_what_is_read_back_a_second_after_a_write_counts_alone(node: Node) -> None:
    report = armed(node, watts=300.0)
    node.answered(report.sequence, lease(report, 2, watts=400.0), START_S + 1.0)
    node.carried_out(look(START_S + 1.0, armed=True, settled=False), START_S + 1.0, writes=1)
    node.looked(look(START_S + 2.1, armed=True, settled=False))
    assert sent(node.poll(START_S + 2.1)).gpus[0].enforced_watts == 300.0


def test_a_refused_lease_is_told_and_the_next_report_follows_after_a_pause(node: Node) -> None:
    """A coordinator that answers at once would keep both of them as busy as their network lets them."""
    report = armed(node)
    refused = only(node.answered(report.sequence, lease(report, 1), START_S + 0.7), Refused)
    assert isinstance(refused, Refused)
    assert refused.error.reason == "OldEpoch"
    assert node.poll(START_S + 0.7) == ()
    assert node.wake_s == pytest.approx(START_S + 0.7 + RETRY_S[1])
    assert sent(node.poll(node.wake_s)).sequence == report.sequence + 1


def test_an_answer_counts_once_and_a_late_one_not_at_all(node: Node) -> None:
    report = sent(node.poll(START_S))
    node.answered(report.sequence, lease(report), START_S)
    assert node.answered(report.sequence, lease(report), START_S) == ()
    node.carried_out(look(START_S, armed=True), START_S, writes=0)
    late = sent(node.poll(START_S + 0.1))
    node.unanswered(late.sequence, START_S + 0.2)
    assert node.answered(late.sequence, lease(late, 2), START_S + 0.3) == ()


def test_a_released_node_is_disarmed_only_when_its_record_is() -> None:
    node = made()
    report = armed(node)
    node.answered(report.sequence, lease(report, 2, act=Act.RELEASE), START_S + 0.7)
    node.carried_out(look(START_S + 0.7, armed=True), START_S + 0.7, writes=1)
    assert node.standing.armed, "a GPU kept its limit"
    node.looked(look(START_S + 1.4, armed=True))
    report = sent(node.poll(START_S + 1.4))
    node.answered(report.sequence, lease(report, 3, act=Act.RELEASE), START_S + 1.4)
    node.carried_out(look(START_S + 1.4), START_S + 1.4, writes=1)
    assert not node.standing.armed


def test_a_node_found_armed_has_until_the_deadline_of_its_record() -> None:
    node = made(look(START_S, armed=True, deadline_s=START_S + 2.5))
    assert node.standing.deadline_s == START_S + 2.5
    assert not node.standing.live(START_S + 1.0)
    assert sent(node.poll(START_S)).armed


def test_an_armed_node_reports_to_the_domain_that_armed_it(node: Node) -> None:
    armed(node)
    node.settle(Home())
    assert (node.domain, node.home.host_max_watts) == ("row", 500.0)
    node.settle(Home(domain="other"))
    assert node.domain == "row"


@pytest.mark.parametrize(("recorded", "reports_to"), [("row", "row"), ("", "other")], ids=["named", "older"])
def test_a_restarted_node_reports_to_the_domain_that_its_record_names(recorded: str, reports_to: str) -> None:
    node = made(look(START_S, armed=True, deadline_s=START_S + 2.5, domain=recorded))
    node.settle(Home(domain="other"))
    assert sent(node.poll(START_S)).domain == reports_to


def test_a_node_that_left_and_is_released_tells_so_once_more(node: Node) -> None:
    """Its coordinator counts it as armed until it hears that; one that is gone isn't asked for ever."""
    report = armed(node)
    node.settle(Home())
    node.answered(report.sequence, lease(report, 2, act=Act.RELEASE), START_S + 0.7)
    node.carried_out(look(START_S + 0.7), START_S + 0.7, writes=0)
    node.settle(Home(domain="other"))
    now = START_S + 0.7
    for _ in range(LAST_REPORTS):
        last = sent(node.poll(now))
        assert (last.domain, last.armed, last.lease_sequence) == ("row", False, 2)
        node.unanswered(last.sequence, now)
        node.settle(Home(domain="other"))
        now = node.wake_s
    assert sent(node.poll(now)).domain == "other"


def test_a_limit_that_a_bmc_holds_lower_counts_as_requested(node: Node) -> None:
    node.looked(look(START_S, GPU._replace(requested_watts=400.0)))
    assert sent(node.poll(START_S)).gpus[0].enforced_watts == 400.0


def test_a_gpu_whose_sensor_is_not_believed_counts_at_its_limit(node: Node) -> None:
    node.looked(look(START_S, GPU._replace(ok=False, sensor_watts=0.0)))
    assert sent(node.poll(START_S)).gpus[0].watts == 300.0
    assert made(look(START_S, GPU._replace(ok=False, enforced_watts=None))).state.watts(HOME) == 900.0


@pytest.mark.parametrize(
    ("gpus", "watts"),
    [
        ((GPU._replace(sensor_watts=0.0),), 300.0),
        ((GPU,), 500.0),
        ((GPU._replace(sensor_watts=400.0),), 700.0),
        ((GPU._replace(sensor_watts=480.0),), 700.0),
        ((GPU._replace(ok=False, sensor_watts=0.0, enforced_watts=None),), 700.0),
        ((GPU._replace(sensor_watts=0.0, min_watts=0.0, max_watts=0.0),), 700.0),
        ((), 700.0),
    ],
    ids=["at rest", "half", "full", "above", "in doubt", "without a maximum", "no GPU"],
)
def test_a_host_draws_from_idle_to_most_as_its_gpus_do_and_its_most_in_doubt(
    node: Node, gpus: tuple[GpuState, ...], watts: float
) -> None:
    node.looked(look(START_S, gpus=gpus))
    node.settle(Home(domain="row", host_idle_watts=300.0, host_max_watts=700.0))
    report = sent(node.poll(START_S))
    assert (report.host_watts, report.host_max_watts) == (watts, 700.0)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *("enforce", "observe", "release", "supersede", "lose", "carry", "fail", "look", "rise"),
                *("by hand", "restored"),
            ]
        ),
        st.floats(0.0, 2.0),
        st.booleans(),
    ),
    max_size=40,
)


@given(STEPS)
def test_whatever_happens_the_node_goes_on_reporting(steps: list[tuple[str, float, bool]]) -> None:
    """Either an answer is awaited, or an order is being carried out, or it is known when to go on."""
    node, now, sequence = made(), START_S, 0
    reports: list[Report] = []
    orders: list[CarryOut] = []
    by_hand: list[Restore] = []

    def note(outputs: Iterable[Output]) -> None:
        for one in outputs:
            if isinstance(one, Send):
                reports.append(one.report)
            elif isinstance(one, CarryOut):
                orders.append(one)
            elif isinstance(one, Restore):
                by_hand.append(one)

    note(node.poll(now))
    for kind, wait_s, flag in steps:
        now += wait_s
        state = look(now, armed=node.standing.armed, settled=flag)
        match kind:
            case "enforce" | "observe" | "release" if reports:
                sequence += 1
                report = reports.pop(0 if flag else -1)
                note(node.answered(report.sequence, lease(report, sequence, act=Act(kind.title())), now))
            case "supersede" if reports:
                node.superseded(reports.pop(0).sequence)
            case "lose" if reports:
                node.unanswered(reports.pop(0).sequence, now)
            case "carry" if orders:
                order = orders.pop()
                note(
                    node.carried_out(
                        replace(state, armed=order.lease.act is Act.ENFORCE), now, writes=int(flag)
                    )
                )
            case "fail" if orders:
                orders.pop()
                note(node.failed("StateLost", "no space left", now))
            case "by hand":
                note(node.release(now))
            case "restored" if by_hand:
                by_hand.pop()
                note(node.restored(replace(state, armed=flag), now))
                reports = [report for report in reports if node.awaits(report.sequence)]
                assert node.standing.armed is flag or orders
            case "look":
                node.looked(state)
            case "rise":
                node.looked(replace(state, gpus=(GPU._replace(sensor_watts=200.0 + 100.0 * flag),)))
        note(node.poll(now))
        assert len(orders) + len(by_hand) <= 1
        assert reports or orders or by_hand or node.wake_s < float("inf")
    sequences = [report.sequence for report in reports]
    assert sequences == sorted(set(sequences))


RESTORED = GPU._replace(enforced_watts=400.0, requested_watts=400.0)


def test_a_person_has_a_node_released_without_its_domains_word(node: Node) -> None:
    report = armed(node)
    assert node.release(102.1) == (Restore(),)
    assert node.restored(look(102.3, RESTORED), 102.3) == ()
    assert not node.standing.armed
    assert node.answered(report.sequence, lease(report, 2), 102.4) == (), "that could arm it again"
    after = sent(node.poll(102.5))
    assert (after.domain, after.armed) == ("row", False)


def test_while_it_is_released_by_hand_it_counts_at_its_maximum_and_takes_no_lease(node: Node) -> None:
    report = armed(node)
    node.release(102.1)
    node.unanswered(report.sequence, 102.2)
    during = sent(node.poll(102.2 + RETRY_S[1]))
    assert (during.armed, during.gpus[0].enforced_watts) == (True, 400.0)
    assert node.answered(during.sequence, lease(during, 2), 102.8) == ()
    assert node.restored(look(102.9, RESTORED), 102.9) == (), "the lease that came meanwhile is dropped"
    assert not node.standing.armed


def test_an_order_by_hand_waits_for_the_lease_that_is_being_carried_out(node: Node) -> None:
    report = armed(node)
    only(node.answered(report.sequence, lease(report, 2, watts=290.0), 102.1), CarryOut)
    assert node.release(102.2) == ()
    outputs = node.carried_out(look(102.3, armed=True), 102.3, writes=1)
    assert isinstance(outputs[-1], Restore)


def test_a_node_that_could_not_be_released_by_hand_goes_on_as_it_was(node: Node) -> None:
    report = armed(node)
    node.release(102.1)
    node.answered(report.sequence, lease(report, 2), 102.2)
    outputs = node.restored(look(102.3, armed=True), 102.3)
    assert isinstance(only(outputs, CarryOut), CarryOut), "the answer that came meanwhile is taken"
    assert node.standing.armed


def test_nothing_is_given_back_where_nothing_is_armed(node: Node) -> None:
    assert node.release(START_S) == ()


HEIR = replace(HOME, domain="other", enforced=True, gone="row")
DOWN = look(
    START_S + 10.0, GPU._replace(enforced_watts=250.0, requested_watts=250.0, safe_watts=250.0), armed=True
)


def orphan(node: Node, home: Home = HEIR) -> Report:
    """The first report of a node whose domain is gone, 10 s after its last lease."""
    last = armed(node)
    node.unanswered(last.sequence, START_S + 2.0)
    node.looked(DOWN)
    node.settle(home)
    return sent(node.poll(START_S + 10.0))


def test_an_orphan_reports_to_the_domain_that_selects_it_and_says_whose_it_is(node: Node) -> None:
    report = orphan(node)
    assert (report.domain, report.armed, report.armed_for) == ("other", True, "row")
    assert report.heat is None, "that of another breaker"
    assert node.orphan_of == "row"


@pytest.mark.parametrize(
    "home",
    [
        replace(HEIR, gone=None),
        replace(HEIR, gone="another"),
        replace(HEIR, enforced=False),
        Home(gone="row"),
        replace(HEIR, domain="row", gone=None),
    ],
    ids=["not gone", "another is gone", "it only observes", "nobody selects it", "it is back"],
)
def test_a_node_is_offered_to_nobody_else(node: Node, home: Home) -> None:
    report = orphan(node, home)
    assert (report.domain, report.armed_for) == ("row", None)
    assert (node.orphan_of is not None) == (home.gone == "row")


def test_an_orphan_tells_no_epoch_of_its_old_domain(node: Node) -> None:
    """A higher one would end the coordinator that hears of it."""
    last = armed(node)
    node.unanswered(last.sequence, START_S + 1.0)
    node.settle(HEIR)
    report = sent(node.poll(START_S + 2.0))
    assert node.standing.live(START_S + 2.0)
    assert (report.armed_for, report.epoch, report.lease_sequence) == ("row", None, 0)


def test_an_orphan_that_was_taken_over_is_its_new_domains(node: Node) -> None:
    report = orphan(node)
    offer = replace(lease(report, watts=250.0), domain="other")
    (order,) = node.answered(report.sequence, offer, START_S + 10.1)
    assert isinstance(order, CarryOut)
    node.carried_out(DOWN, START_S + 10.2, writes=0)
    assert (node.armed_for, node.orphan_of) == ("other", None)
    after = sent(node.poll(START_S + 11.0))
    assert (after.domain, after.armed_for) == ("other", None)


def test_an_orphan_that_is_not_planned_for_waits_and_asks_again(node: Node) -> None:
    report = orphan(node)
    offer = replace(lease(report, act=Act.OBSERVE), domain="other")
    assert node.answered(report.sequence, offer, START_S + 10.1) == ()
    assert node.standing.armed
    assert node.poll(START_S + 10.2) == ()
    assert sent(node.poll(START_S + 10.1 + UNPLANNED_AGAIN_S)).armed_for == "row"


def test_a_late_answer_of_the_old_domain_is_not_taken_for_one_of_the_new(node: Node) -> None:
    last = armed(node)
    node.looked(DOWN)
    node.settle(HEIR)
    (refused,) = node.answered(last.sequence, replace(lease(last, 2), domain="other"), START_S + 2.0)
    assert isinstance(refused, Refused)
    assert refused.error.reason == "WrongDomain"
