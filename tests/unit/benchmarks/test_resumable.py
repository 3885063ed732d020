"""A long search goes on where it ended, and only of the very code that it is of."""

from collections.abc import Callable
from pathlib import Path

from benchmarks.resumable import finished
from loadline_sim.resumable import Piece, code_hash, done


def squared(number: int) -> Piece:
    return {"square": number * number}


def of(*numbers: int) -> dict[str, tuple[Callable[..., Piece], tuple[int]]]:
    return {str(number): (squared, (number,)) for number in numbers}


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    file, said = tmp_path / "here" / "code.jsonl", list[str]()
    finished(of(1, 2), file, jobs=1, said=lambda name, *_: said.append(name))
    assert sorted(said) == ["1", "2"]
    found = finished(of(1, 2, 3), file, jobs=1, said=lambda name, *_: said.append(name))
    assert said[2:] == ["3"]
    assert found == {"1": {"square": 1}, "2": {"square": 4}, "3": {"square": 9}}


def test_a_line_that_was_cut_off_is_done_again(tmp_path: Path) -> None:
    file = tmp_path / "code.jsonl"
    file.write_text('{"name": "1", "result": {"square": 1}}\n{"name": "2", "resu')
    assert done(file) == {"1": {"square": 1}}


def test_nothing_counts_that_other_code_earned(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "rule.py").write_text("LIMIT = 1\n")
    before = code_hash(tmp_path, ["a"])
    assert code_hash(tmp_path, ["a"]) == before
    (tmp_path / "a" / "rule.py").write_text("LIMIT = 2\n")
    assert code_hash(tmp_path, ["a"]) != before


def test_after_its_time_no_further_piece_is_begun_and_the_next_run_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "code.jsonl"
    first = finished(of(*range(200)), file, jobs=1, said=lambda *_: None, most_s=0.0)
    assert 1 <= len(first) < 200
    assert len(finished(of(*range(200)), file, jobs=1, said=lambda *_: None)) == 200
