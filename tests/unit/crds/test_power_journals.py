"""Of a coordinator's decisions a journal gets each change and a sample of the rest, at a bounded rate."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pytest

from loadline_api import power_journals
from loadline_api.journals import Component, Journal, JournalEntry
from loadline_api.power_journals import PowerJournal
from loadline_policies.documents import SCHEMA, parse_power
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.policy_runs import PolicyRun, PolicyStep
from loadline_policies.power.rows import Row

EPOCH = Epoch(7, "uid")


def document(policy: str = "polca", **settings: int) -> PowerDocument:
    said = {"schema": SCHEMA, "loop": "power", "policy": policy, "settings": settings}
    return parse_power(json.dumps(said))


class Bench:
    """A policy at work, and the journal of it: all that was written, and what memory keeps."""

    def __init__(self, used: PowerDocument, *, observations: bool = False) -> None:
        self.written: list[dict[str, Any]] = []
        self.journal = Journal(Component.AGENT, node="node-0", wall=lambda: self.now, written=self._keep)
        self.power = PowerJournal(self.journal, observations=observations)
        self.domain = Domain(name="row", budget_watts=1000.0, members=frozenset(), document=used)
        self.run = PolicyRun(used, self._observe)
        self.now = 0.0

    def draw(self, loads: Iterable[float], *, every_s: float) -> None:
        """The row has these loads, one after another."""
        for load in loads:
            self.run.decide(Row(load, 0.1), self.now)
            self.now += every_s

    def of(self, decider: str) -> list[dict[str, Any]]:
        return [entry for entry in self.written if entry["decider"] == f"power/{decider}"]

    def loads(self) -> list[float]:
        decided = [entry for entry in self.written if "row" in entry["observation"]]
        return [entry["observation"]["row"]["load"] for entry in decided]

    def _observe(self, step: PolicyStep) -> None:
        self.power.decided(step, self.domain, EPOCH)

    def _keep(self, entry: JournalEntry, line: str) -> None:
        self.written.append(json.loads(line))


def test_a_still_row_is_written_once_in_ten_seconds_and_its_document_once() -> None:
    bench = Bench(document())
    bench.draw([0.5] * 350, every_s=0.1)
    assert len(bench.of("polca")) == 4
    assert len(bench.of("document")) == 1
    assert bench.written[0]["decider"] == power_journals.DOCUMENT, "whoever reads an entry knows its document"


def test_an_entry_holds_all_that_the_policy_was_given() -> None:
    bench = Bench(document(threshold1Percent=70))
    bench.draw([0.75], every_s=1.0)
    introduced, entry = bench.written
    assert entry["observation"] == {
        "row": {"load": 0.75, "age_s": 0.1},
        "now_s": 0.0,
        "state": {"level": "Normal", "since_s": "-inf"},
        "policy_hash": bench.domain.document.hash,
        "budget_watts": 1000.0,
        "epoch": 7,
    }
    assert entry["decision"]["state"] == {"level": "LowShallow", "since_s": 0.0}
    assert entry["reason"] == power_journals.MOVED
    assert introduced["decision"]["document"]["settings"]["threshold1Percent"] == 70


def test_each_change_of_caps_is_written_at_once() -> None:
    bench = Bench(document())
    bench.draw([0.5, 0.81, 0.9, 1.01], every_s=0.01)
    levels = [entry["decision"]["caps"]["level"] for entry in bench.of("polca")]
    assert levels == ["Normal", "LowShallow", "LowDeep", "Brake"]


def test_with_observations_the_ends_of_each_second_are_written_in_their_order_and_not_kept_in_memory() -> (
    None
):
    bench = Bench(document(), observations=True)
    bench.draw([0.50, 0.52, 0.49, 0.51, 0.60, 0.30, 0.50, 0.50, 0.50, 0.55], every_s=0.25)
    bench.power.flush()
    assert bench.loads() == [0.50, 0.49, 0.60, 0.30, 0.50, 0.55]
    assert len(bench.journal.text().splitlines()) == 2, "the document, and the first decision"


def test_what_was_held_back_is_written_before_a_change() -> None:
    bench = Bench(document(), observations=True)
    bench.draw([0.5, 0.6, 0.55, 0.9], every_s=0.01)
    assert bench.loads() == [0.5, 0.6, 0.55, 0.9]


def test_a_policy_that_flutters_fills_no_disk() -> None:
    bench = Bench(document(actuationMillis=0, hysteresisPercent=1), observations=True)
    bench.draw([0.78, 0.82] * 5000, every_s=0.001)
    bench.power.flush()
    assert len(bench.of("polca")) <= 10 * (power_journals.MOST_CHANGES + 3)


def test_a_state_that_moves_while_the_caps_stay_is_written_once_a_second() -> None:
    bench = Bench(document("one-threshold-all"))
    bench.draw([1.1] * 1000, every_s=0.01)
    assert len(bench.of("one-threshold-all")) <= 11


def test_a_new_document_is_written_before_the_first_decision_by_it_and_again_after_a_while() -> None:
    bench = Bench(document())
    bench.draw([0.5] * 70, every_s=10.0)
    bench.run.configure(document(threshold1Percent=60))
    bench.draw([0.5], every_s=1.0)
    hashes = [entry["decision"]["policy_hash"] for entry in bench.of("document")]
    assert hashes == [document().hash] * 2 + [document(threshold1Percent=60).hash]
    assert bench.of("polca")[-1]["observation"]["policy_hash"] == hashes[-1]


@pytest.mark.parametrize("nodes", [52, 1024])
def test_two_lines_a_second_are_written_however_many_report(nodes: int) -> None:
    bench = Bench(document(), observations=True)
    bench.draw((0.5 + 0.1 * math.sin(index) for index in range(20 * nodes)), every_s=1 / nodes)
    assert len(bench.of("polca")) <= 2 * 20 + 2
