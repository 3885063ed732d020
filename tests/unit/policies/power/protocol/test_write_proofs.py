"""A GPU whose writes fail isn't believed again before several have gone right, over some time."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.power.protocol.write_proofs import (
    PROBE_EVERY_S,
    PROVEN_AFTER_S,
    PROVEN_BY_WRITES,
    WriteProof,
    probes,
)


def test_nothing_speaks_against_a_gpu_to_which_nothing_was_written() -> None:
    assert WriteProof().able


def test_one_failure_is_enough_and_one_success_is_not() -> None:
    proof = WriteProof()
    proof.failed()
    assert not proof.able
    proof.succeeded(0.0)
    proof.succeeded(PROVEN_AFTER_S)
    assert not proof.able, "two writes are too few"
    proof.succeeded(PROVEN_AFTER_S + 1.0)
    assert proof.able


def test_many_successes_at_once_are_no_proof() -> None:
    proof = WriteProof()
    proof.failed()
    for _ in range(10):
        proof.succeeded(1.0)
    assert not proof.able


@given(st.lists(st.tuples(st.floats(0.1, 20.0), st.booleans()), max_size=60))
def test_an_able_gpu_has_not_failed_within_the_time_of_proof(steps: list[tuple[float, bool]]) -> None:
    proof, now, failed_s = WriteProof(), 0.0, -float("inf")
    for wait_s, good in steps:
        now += wait_s
        if good:
            proof.succeeded(now)
        else:
            proof.failed()
            failed_s = now
        assert not proof.able or now - failed_s >= PROVEN_AFTER_S


def test_a_probe_turns_so_often_that_proof_comes_in_time() -> None:
    turns = [probes(now) for now in range(int(2 * PROVEN_AFTER_S))]
    assert sum(one != other for one, other in pairwise(turns)) >= PROVEN_BY_WRITES
    assert probes(0.0) != probes(PROBE_EVERY_S)
