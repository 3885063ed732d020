"""Candidates change as seldom as possible, and the holder stays."""

from hypothesis import given
from hypothesis import strategies as st

from loadline_operator.domains import facts
from loadline_operator.domains.coordinator_candidates import choose

NAMES = [f"row-a-{index:02d}" for index in range(12)]


def nodes(count: int) -> tuple[facts.Node, ...]:
    return tuple(facts.Node(name=name, labels={}, ready=True) for name in NAMES[:count])


def test_at_most_five_ready_nodes_with_an_agent_are_chosen() -> None:
    assert choose(nodes(12), known=NAMES[2:], before=()) == tuple(NAMES[2:7])


def test_a_node_without_an_agent_is_no_candidate() -> None:
    assert choose(nodes(3), known=[], before=NAMES[:3]) == ()


def test_those_that_are_stay() -> None:
    assert choose(nodes(12), known=NAMES, before=NAMES[7:]) == tuple(NAMES[7:])


def test_the_holder_stays_though_its_kubelet_is_silent() -> None:
    silent = facts.Node(name="row-a-11", labels={}, ready=False)
    chosen = choose((*nodes(11), silent), known=NAMES, before=NAMES[:5], holder="row-a-11")
    assert chosen == (*NAMES[:4], "row-a-11")


def test_a_holder_that_has_left_the_domain_goes() -> None:
    assert "gone" not in choose(nodes(3), known=NAMES, before=["gone"], holder="gone")


@given(
    st.sets(st.sampled_from(NAMES)),
    st.sets(st.sampled_from(NAMES)),
    st.lists(st.sampled_from(NAMES), max_size=5, unique=True),
    st.sampled_from([*NAMES, ""]),
)
def test_choosing_again_chooses_the_same(
    ready: set[str], known: set[str], before: list[str], holder: str
) -> None:
    members = [facts.Node(name=name, labels={}, ready=name in ready) for name in NAMES]
    once = choose(members, known=known, before=before, holder=holder)
    assert choose(members, known=known, before=once, holder=holder) == once
    assert len(once) <= 5
    assert set(once) <= known
