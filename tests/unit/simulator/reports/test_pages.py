"""The report's page and file: whole, alone, and about the recording."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadline_sim.plant.recordings import Recording
from loadline_sim.reports import formats, pages
from loadline_sim.reports.findings import Findings, found_in
from loadline_sim.reports.runs import Run
from loadline_sim.reports.styles import ROLES

VOID = frozenset({"meta", "br", "link", "img", "hr", "input", "path", "circle", "use", "rect", "line"})


@pytest.fixture(scope="module")
def found(recording: Recording, run: Run) -> Findings:
    return found_in(recording, run)


@pytest.fixture(scope="module")
def page(found: Findings) -> str:
    return pages.html(found)


class Outline(HTMLParser):
    """Ids, and tags that were opened and not closed."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


def test_the_page_loads_nothing(page: str) -> None:
    loaded = re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page)
    assert loaded == []


def test_the_page_is_well_formed_and_its_ids_are_unique(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))


def test_every_reference_in_a_drawing_has_its_target(page: str) -> None:
    outline = Outline()
    outline.feed(page)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(outline.ids)


def test_drawings_take_their_colours_from_the_page(page: str) -> None:
    assert not any(colour in page for colour in ROLES.values())
    sheet = page[: page.index("</style>")]
    assert all(f"--{role}:" in sheet for role in ROLES)


@pytest.mark.parametrize(
    "said",
    [
        "<h1>52 servers on a power budget for 40</h1>",
        "Kill the coordinator",
        "<code>kubectl patch</code>",
        "0.612 × Azure 2023",
        "What is simulated",
        "simulated, from published measurements",
        "prefill 3.1 %",
        "enforce_seconds_above_budget",
    ],
)
def test_the_page_says(page: str, said: str) -> None:
    assert said in page


def test_what_a_person_wrote_is_escaped(recording: Recording, run: Run) -> None:
    assert formats.prose("<b> & `x<y`") == "&lt;b&gt; &amp; <code>x&lt;y</code>"


def test_the_same_run_gives_the_same_page(found: Findings, page: str) -> None:
    assert pages.html(found) == page


def test_both_files_are_written_and_the_summary_is_strict_json(found: Findings, tmp_path: Path) -> None:
    page, summary = pages.write(found, tmp_path / "new" / "demo")
    assert page.read_text("utf-8").startswith("<!doctype html>")
    read = json.loads(summary.read_text("utf-8"), parse_constant=pytest.fail)
    assert read["ok"] is True
    trips = {"value": 0, "goal": "= 0", "ok": True, "reason": "", "timing": False}
    assert read["checks"]["enforce_trips"] == trips
    assert read["load"]["cores"] >= 1
    assert len(read["acts"]) == 8
    assert read["latencies"]["high"]["p50_ratio"] == pytest.approx(1.004)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.4213, "421 ms"),
        (0.00782, "7.8 ms"),
        (0.00069, "0.69 ms"),
        (2.714, "2.71 s"),
        (13.7, "13.7 s"),
        (60, "60 s"),
    ],
)
def test_seconds_have_three_digits(value: float | None, shown: str) -> None:
    assert formats.seconds(value) == shown


@pytest.mark.parametrize(
    ("count", "shown"), [(17.3e6, "17.3 MB"), (826e6, "826 MB"), (1.306e9, "1.31 GB"), (0.8651e6, "0.87 MB")]
)
def test_bytes_have_three_digits(count: float, shown: str) -> None:
    assert formats.megabytes(count) == shown


@pytest.mark.parametrize(("ratio", "shown"), [(1.004, "+0.4 %"), (0.99, "−1.0 %"), (float("nan"), "–")])
def test_a_ratio_is_shown_as_a_change(ratio: float, shown: str) -> None:
    assert formats.change(ratio) == shown


@pytest.mark.parametrize(("value", "shown"), [(1410.0, "1 410"), (0.70441, "0.7044"), (None, "–")])
def test_numbers_have_no_idle_digits(value: float | None, shown: str) -> None:
    assert formats.number(value) == shown
