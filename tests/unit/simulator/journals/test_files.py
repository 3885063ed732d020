"""Journals are read line by line, whatever state their files are in, and each bad line has a number."""

import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from loadline_policies.errors import InvalidTrace
from loadline_sim.journals import files
from loadline_sim.journals.entries import Other
from loadline_sim.journals.files import Reading


def line(decider: str = "leadership", **more: object) -> str:
    entry = {
        "time": "2026-01-01T12:00:00.000+00:00", "component": "agent", "node": "node-0", "decider": decider,
        "kind": "PowerDomain", "name": "row", "observation": None, "decision": None, "reason": "",
    }  # fmt: skip
    return json.dumps(entry | more)


@pytest.fixture
def journal(tmp_path: Path) -> Callable[..., Path]:
    def write(text: str, name: str = "journal.jsonl") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode())
        return path

    return write


def read(*paths: Path, skip_bad: bool = False) -> tuple[list[str], Reading]:
    reading = Reading()
    found = files.read(paths, reading, skip_bad=skip_bad)
    return [f"{place.file}:{place.line}" for place, entry in found if isinstance(entry, Other)], reading


def test_files_are_read_in_the_order_given(journal: Callable[..., Path]) -> None:
    older, newer = journal(f"{line()}\n{line()}\n", "j.1"), journal(f"{line()}\n", "j")
    places, reading = read(older, newer)
    assert places == ["j.1:1", "j.1:2", "j:1"]
    assert reading.lines == 3


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress], ids=["gz", "xz"])
def test_packed_files_are_read_as_they_are(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / ("j.jsonl.gz" if pack is gzip.compress else "j.jsonl.xz")
    path.write_bytes(pack(f"{line()}\n".encode() * 1000))
    places, _ = read(path)
    assert len(places) == 1000
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InvalidTrace, match="give the whole file"):
        read(path)


@pytest.mark.parametrize("cut", [1, 50, 100])
def test_a_cut_last_line_is_normal_and_is_said(journal: Callable[..., Path], cut: int) -> None:
    places, reading = read(journal(f"{line()}\n{line()[:-cut]}"))
    assert places == ["journal.jsonl:1"]
    assert reading.cut == ["journal.jsonl line 2"]
    assert not reading.skipped.count


def test_a_last_line_that_only_lacks_its_end_is_whole(journal: Callable[..., Path]) -> None:
    places, reading = read(journal(f"{line()}\n{line()}"))
    assert len(places) == 2
    assert not reading.cut


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (line()[:-5], r"journal.jsonl line 2 entry is .*: leave the line out"),
        (line(node=5), r"journal.jsonl line 2 node is 5: "),
        (line("power/polca"), r"journal.jsonl line 2 observation is null"),
        (line(reason="x" * files.MOST_LINE_BYTES), r"journal.jsonl line 2 entry is .*: it is longer than"),
        (
            line(reason="x" * 3 * files.MOST_LINE_BYTES),
            r"journal.jsonl line 2 entry is .*: it is longer than",
        ),
    ],
    ids=["half", "field", "observation", "long", "longer"],
)
def test_a_bad_line_is_refused_with_its_number_or_left_out_and_counted(
    journal: Callable[..., Path], bad: str, says: str
) -> None:
    path = journal(f"{line()}\n{bad}\n{line()}\n")
    with pytest.raises(InvalidTrace, match=says):
        read(path)
    places, reading = read(path, skip_bad=True)
    assert places == ["journal.jsonl:1", "journal.jsonl:3"]
    assert reading.skipped.count == 1


def test_empty_lines_are_counted_and_passed_over(journal: Callable[..., Path]) -> None:
    places, reading = read(journal(f"\n{line()}\n\n"))
    assert places == ["journal.jsonl:2"]
    assert not reading.skipped.count


def test_the_share_that_is_read_rises_to_all_of_it(journal: Callable[..., Path]) -> None:
    shares: list[float] = []
    path = journal(f"{line()}\n" * 5000)
    assert len(list(files.read([path], Reading(), told=shares.append))) == 5000
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert len(shares) > 5


def test_a_file_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "no.jsonl")
