"""Searches go on where they ended: from whole lines, of the same inputs, of the same sources."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from loadline_sim.studies import searches
from loadline_sim.studies.bisections import Bisection
from loadline_sim.studies.searches import Frozen, Piece, finished


class Held(Frozen):
    """Whether a place holds."""

    ok: bool


class Small(Piece[Held]):
    """Holds up to a place, and says on a file that it was asked."""

    place: int
    highest: int
    asked: str

    def outcome(self) -> Held:
        with Path(self.asked).open("a", encoding="utf-8") as file:
            file.write(f"{self.place}\n")
        return Held(ok=self.place <= self.highest)


class SmallSearch(Frozen):
    """Searches up to 20."""

    highest: int
    asked: str

    def next_place(self, outcomes: Mapping[int, Held]) -> int | None:
        return Bisection(low=0, high=20, start=10).next_place({at: one.ok for at, one in outcomes.items()})

    def piece(self, place: int) -> Small:
        return Small(place=place, highest=self.highest, asked=self.asked)


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    return tmp_path / "asked"


def ran(asked: Path, *, jobs: int = 1, resume: bool = True, highest: int = 13) -> dict[int, Held]:
    search = SmallSearch(highest=highest, asked=str(asked))
    return finished([search], Held, asked.parent / "outcomes.jsonl", jobs=jobs, resume=resume)[0]


def count(asked: Path) -> int:
    return len(asked.read_text("utf-8").splitlines())


def test_what_was_simulated_is_not_simulated_again(asked: Path) -> None:
    first = ran(asked)
    times = count(asked)
    assert ran(asked) == first
    assert count(asked) == times
    assert max(place for place, one in first.items() if one.ok) == 13


def test_other_inputs_are(asked: Path) -> None:
    ran(asked)
    times = count(asked)
    assert max(place for place, one in ran(asked, highest=4).items() if one.ok) == 4
    assert count(asked) > times


def test_without_resuming_all_of_it_is(asked: Path) -> None:
    ran(asked)
    times = count(asked)
    ran(asked, resume=False)
    assert count(asked) == 2 * times


@pytest.mark.parametrize("last", ['{"name": "x", "resu', '{"name": 1, "result": {}}', "[]", "\x00\xff"])
def test_half_a_file_is_gone_on_with(asked: Path, last: str) -> None:
    whole = ran(asked)
    file = asked.parent / "outcomes.jsonl"
    lines = file.read_text("utf-8").splitlines()
    file.write_bytes("\n".join([*lines[:2], last]).encode("latin-1"))
    times = count(asked)
    assert ran(asked) == whole
    assert count(asked) == times + len(lines) - 2
    assert ran(asked) == whole
    assert count(asked) == times + len(lines) - 2


def test_an_outcome_of_another_shape_is_none(asked: Path) -> None:
    whole = ran(asked)
    file = asked.parent / "outcomes.jsonl"
    file.write_text(file.read_text("utf-8").replace('"ok": true', '"ok": "perhaps"'), "utf-8")
    assert ran(asked) == whole


def test_a_changed_source_or_measurement_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    (tmp_path / "data").mkdir()
    for name in ("serving/loops.py", "data/steps.csv", "fits.py"):
        before = searches.sources_hash(tmp_path)
        (tmp_path / name).write_text("1", "utf-8")
        added = searches.sources_hash(tmp_path)
        (tmp_path / name).write_text("2", "utf-8")
        assert len({before, added, searches.sources_hash(tmp_path)}) == 3


def test_what_only_shows_outcomes_changes_no_hash(tmp_path: Path) -> None:
    before = searches.sources_hash(tmp_path)
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "pages.py").write_text("1", "utf-8")
    assert searches.sources_hash(tmp_path) == before


def test_every_folder_is_there() -> None:
    assert all((searches.ROOT / folder).is_dir() for folder in searches.FOLDERS)
    assert (searches.ROOT / "fits.py").is_file()


def test_inputs_name_a_piece() -> None:
    assert Small(place=1, highest=2, asked="").name == Small(place=1, highest=2, asked="").name
    assert Small(place=1, highest=2, asked="").name != Small(place=2, highest=2, asked="").name
