"""Who may lead next, by tables: what a candidate does about the Lease that it sees."""

import pytest

from loadline_policies.power.protocol.elections import Record, Sighting, Step, next_step, sight
from loadline_policies.power.protocol.messages import Epoch

UID = "8c1f"


def record(holder: str = "", transitions: int = 3, renewed: str = "t0") -> Record:
    return Record(
        uid=UID, holder=holder, transitions=transitions, renewed=renewed, candidates=("a", "b", "c")
    )


@pytest.mark.parametrize(
    ("seen", "node", "held", "unchanged_s", "expected"),
    [
        pytest.param(record(""), "a", None, 0.0, Step.ACQUIRE, id="nobody-holds-it"),
        pytest.param(record(""), "z", None, 99.0, Step.WAIT, id="not-a-candidate"),
        pytest.param(record("b"), "a", None, 14.9, Step.WAIT, id="another-holds-it"),
        pytest.param(record("b"), "a", None, 15.0, Step.ACQUIRE, id="another-has-gone"),
        pytest.param(record("a"), "a", Epoch(3, UID), 2.0, Step.RENEW, id="ours"),
        pytest.param(record("a"), "a", Epoch(3, UID), 99.0, Step.RENEW, id="ours-however-late"),
        pytest.param(record("a"), "a", None, 14.9, Step.WAIT, id="a-predecessor-on-our-node-may-live"),
        pytest.param(record("a"), "a", None, 15.0, Step.ACQUIRE, id="a-predecessor-on-our-node-has-gone"),
        pytest.param(record("a"), "a", Epoch(2, UID), 0.0, Step.WAIT, id="our-epoch-has-passed"),
        pytest.param(record("a"), "a", Epoch(3, "other"), 0.0, Step.WAIT, id="the-lease-was-made-anew"),
    ],
)
def test_the_rule(seen: Record, node: str, held: Epoch | None, unchanged_s: float, expected: Step) -> None:
    assert next_step(seen, node=node, held=held, unchanged_s=unchanged_s) is expected


def test_an_epoch_that_was_given_up_needs_no_waiting() -> None:
    given_up = (Epoch(3, UID),)
    assert next_step(record("a"), node="a", held=None, unchanged_s=0, resigned=given_up) is Step.ACQUIRE
    assert next_step(record("b"), node="a", held=None, unchanged_s=0, resigned=given_up) is Step.WAIT


def test_a_record_is_unchanged_since_it_was_first_seen() -> None:
    seen = sight(sight(sight(None, record("b"), now=100.0), record("b"), now=104.0), record("b"), now=112.0)
    assert seen.unchanged_s == 12.0


def test_a_renewal_starts_the_count_anew() -> None:
    seen = sight(sight(None, record("b"), now=100.0), record("b", renewed="t1"), now=104.0)
    assert seen.unchanged_s == 0.0


def test_an_api_server_that_was_away_starts_the_count_anew() -> None:
    seen = sight(Sighting(record("b"), 100.0, 104.0), record("b"), now=164.0)
    assert seen.unchanged_s == 0.0


def test_new_candidates_are_no_renewal() -> None:
    before = Record(uid=UID, holder="b", candidates=("a", "b"))
    after = Record(uid=UID, holder="b", candidates=("a", "b", "c"))
    assert sight(sight(None, before, now=0.0), after, now=5.0).unchanged_s == 5.0
