"""The cases that `make bench-truth` counts are held by tests that are there."""

from pathlib import Path

import pytest

from benchmarks.truth import CASES, ROOT, Played, held


@pytest.mark.parametrize("name", CASES)
def test_every_test_that_a_case_names_is_there(name: str) -> None:
    assert CASES[name]
    for test in CASES[name]:
        path, _, function = test.partition("::")
        text = (ROOT / Path(path)).read_text("utf-8")
        assert not function or f"def {function.partition('[')[0]}(" in text, test


def test_a_case_is_held_when_all_of_its_tests_were_seen_to_pass() -> None:
    cases = {"both": ["t.py::a", "t.py::b"], "table": ["t.py::c"], "file": ["t.py"], "gone": ["t.py::d"]}
    passed = {"t.py::a": True, "t.py::b": False, "t.py::c[1]": True, "t.py::c[2]": True, "t.py::cc": False}
    assert held(cases, Played(passed=passed)) == {
        "both": False,
        "table": True,
        "file": False,
        "gone": False,
    }
