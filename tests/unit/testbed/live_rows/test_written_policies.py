"""Which policy document is in force after each edit."""

from testbed.doubles.agents import POLICY
from testbed.live_rows.bad_policies import BAD, BETTER
from testbed.live_rows.written_policies import WrittenPolicy

FIRST = WrittenPolicy(good=False, hash="").then(POLICY)


def test_what_cannot_be_used_leaves_the_last_good_one() -> None:
    assert FIRST.good
    for text, _ in BAD.values():
        assert FIRST.then(text) == WrittenPolicy(good=False, hash=FIRST.hash)


def test_a_good_one_is_another_one() -> None:
    (text, _) = BAD["a bomb"]
    better = FIRST.then(text).then(BETTER)
    assert better.good
    assert better.hash != FIRST.hash
