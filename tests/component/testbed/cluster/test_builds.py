"""What a build tells while it lasts: how much is left, and no more lines than that needs."""

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from testbed.cluster.builds import display, duration, is_package, remaining_s


def test_a_build_that_has_not_begun_takes_as_long_as_measured() -> None:
    assert remaining_s(done=0, total=1000, elapsed_s=5.0, cold_s=410.0) == 410.0


def test_half_of_a_build_takes_as_long_as_the_other_half() -> None:
    assert remaining_s(done=500, total=1000, elapsed_s=90.0, cold_s=410.0) == pytest.approx(90.0)


def test_a_slow_start_moves_the_estimate_little() -> None:
    own_pace_s = 60.0 * 99
    assert 410.0 < remaining_s(done=10, total=1000, elapsed_s=60.0, cold_s=410.0) < own_pace_s / 5


@given(
    total=st.integers(0, 3000),
    done=st.integers(0, 3000),
    elapsed_s=st.floats(0, 1e4),
    cold_s=st.floats(0, 1e4),
)
def test_an_estimate_is_never_negative(total: int, done: int, elapsed_s: float, cold_s: float) -> None:
    assert remaining_s(done=done, total=total, elapsed_s=elapsed_s, cold_s=cold_s) >= 0


@pytest.mark.parametrize(
    ("line", "names_one"),
    [
        ("k8s.io/kubernetes/cmd/kubectl\n", True),
        ("internal/cpu\n", True),
        ("go: downloading k8s.io/api v0.36.3\n", False),
        ("# k8s.io/api\n", False),
        ("\tx.go:1:2: undefined\n", False),
        ("\n", False),
    ],
)
def test_packages_are_told_from_downloads_and_errors(line: str, names_one: bool) -> None:
    assert is_package(line) is names_one


@pytest.mark.parametrize(("seconds", "said"), [(410.0, "7 min"), (62.0, "60 s"), (0.0, "10 s")])
def test_a_duration_is_said_as_a_person_would(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_without_a_terminal_the_first_and_the_last_line_are_enough_for_a_short_build() -> None:
    console = Console(file=(written := StringIO()), width=100)
    with display("etcd", console) as report:
        for done in range(10):
            report(done, 10, 40.0)
    assert written.getvalue() == "etcd: 0 of 10 packages, about 40 s left\netcd: built in 10 s\n"


def test_on_a_terminal_the_bar_ends_full() -> None:
    console = Console(file=(written := StringIO()), width=120, force_terminal=True)
    with display("etcd", console) as report:
        report(3, 10, 200.0)
    assert "10/10" in written.getvalue()
    assert "built" in written.getvalue()
