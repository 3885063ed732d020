"""The page and the summary of a simulated fleet: whole, alone, and no surer than its engine's model."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from loadline_sim.capacity.engines import engine_of
from loadline_sim.capacity.objectives import Objectives
from loadline_sim.capacity.questions import Answer, Design, Result, figures_of
from loadline_sim.capacity.sizes import Size
from loadline_sim.reports import capacity_pages
from loadline_sim.reports.capacity_pages import Report
from loadline_sim.reports.styles import ROLES
from loadline_sim.serving.loops import Outcomes
from loadline_sim.traffic.traces import Trace

COUNT = 200
TTFT_S = np.linspace(0.1, 1.0, COUNT)


def result(kept: float, pace: float = 1.0) -> Result:
    return Result(
        ttft=figures_of(TTFT_S * pace),
        tpot=figures_of(np.full(COUNT, 0.05 * pace)),
        e2e=figures_of((TTFT_S + 5.0) * pace),
        kept_share=kept,
    )


def answer(*, kept: float = 0.995, slower: float = 0.992, faster: float = 0.999) -> Answer:
    trace = Trace(np.linspace(0.0, 300.0, COUNT), np.full(COUNT, 1000), np.full(COUNT, 101))
    return Answer(
        design=Design(engine=engine_of("h100-bloom-176b"), servers=3, prefill_servers=1),
        objectives=Objectives(ttft_s=1.0, tpot_s=0.1),
        trace=trace,
        outcomes=Outcomes(TTFT_S, TTFT_S + 5.0),
        result=result(kept),
        faster=result(faster, 0.9),
        slower=result(slower, 1.1),
    )


def report(one: Answer | None = None) -> Report:
    one = one or answer()
    size = Size(
        design=one.design, share=0.995, is_met=True, alone_share=1.0, fewest=3, most=None, simulated=7
    )
    return Report(
        answer=one, trace_name="week.csv", seed=1, notes=("3 bad rows are left out.",), sizes=(size,)
    )


@pytest.fixture(scope="module")
def page() -> str:
    return capacity_pages.html(report())


def test_the_page_loads_nothing_and_takes_its_colours_from_itself(page: str) -> None:
    assert re.findall(r"<(?:script|link|img|iframe)\b|@import|url\((?!#)", page) == []
    assert not any(colour in page for colour in ROLES.values())


def test_ids_are_unique_and_references_have_their_targets(page: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', page)) <= set(ids)


@pytest.mark.parametrize(
    "said",
    [
        "3 bad rows are left out.",
        "no engine ran",
        "Prefix caching",
        "3 servers, 1 of them for prompts",
        "3 to more",
    ],
)
def test_the_page_says_what_a_reader_must_know(page: str, said: str) -> None:
    assert said in page


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (answer(), "That holds also if the engine's steps are 4.1 % slower"),
        (answer(slower=0.98), "The engine's model can't decide it: with steps 4.1 % faster or slower"),
        (answer(kept=0.97, slower=0.9), "The engine's model can't decide it"),
        (
            answer(kept=0.9, slower=0.8, faster=0.95),
            "faster by the engine's error (4.1 %) wouldn't be enough",
        ),
        (replace(answer(), objectives=Objectives()), "no objective was given"),
    ],
    ids=["kept", "kept-but-unsure", "missed-but-unsure", "missed", "none"],
)
def test_the_verdict_is_no_surer_than_the_model(one: Answer, says: str) -> None:
    assert says in capacity_pages.verdict(one)


def test_the_summary_is_plain_and_has_the_sizes(tmp_path: Path) -> None:
    _, path = capacity_pages.write(report(), tmp_path)
    found = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    assert found["ok"] is True
    assert found["result"]["ttft_s"]["p99"] == pytest.approx(0.991, abs=0.001)
    assert found["sizes"][0]["fewest"] == 3
    assert found["sizes"][0]["most"] is None
    assert found["trace"]["cached_share"] is None


def test_requests_that_nobody_served_are_unknown_and_not_zero(tmp_path: Path) -> None:
    nothing = np.full(COUNT, np.nan)
    lost = figures_of(nothing)
    none = Result(ttft=lost, tpot=lost, e2e=lost, kept_share=0.0)
    one = replace(answer(), outcomes=Outcomes(nothing, nothing), result=none, faster=none, slower=none)
    found = capacity_pages.summary_of(report(one))
    assert found["unserved"] == COUNT
    assert found["result"] == {
        "kept_share": 0.0,
        **{
            f"{name}_s": {"mean": None, "p50": None, "p90": None, "p99": None}
            for name in ("ttft", "tpot", "e2e")
        },
    }
    assert "–" in capacity_pages.html(report(one))
