"""What an agent writes of a decision is read back as the very objects that the policy was given."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.journals import Component, Journal, JournalEntry, plain
from loadline_api.power_journals import PowerJournal
from loadline_policies.documents import SCHEMA, content_of, parse_power
from loadline_policies.errors import InvalidInput
from loadline_policies.power import baselines, polca
from loadline_policies.power.documents import PowerDocument
from loadline_policies.power.protocol.domains import Domain
from loadline_policies.power.protocol.messages import Epoch
from loadline_policies.power.protocol.policy_runs import PolicyStep
from loadline_policies.power.relief import reliefs
from loadline_policies.power.relief.claims import Claim
from loadline_policies.power.rows import Cap, Row
from loadline_policies.registry import POWER
from loadline_sim.journals import entries
from loadline_sim.journals.entries import DocumentEntry, Other, PolicyEntry, ReliefEntry

NUMBERS = st.floats(min_value=0.0, max_value=1e9)
TIMES = st.floats(min_value=-1e9, max_value=1e9)
TEXTS = st.text(max_size=20)
STATES = {
    polca.State: st.builds(polca.State, st.sampled_from(polca.Level), TIMES | st.just(float("-inf"))),
    baselines.OneThresholdState: st.builds(baselines.OneThresholdState, st.booleans(), st.none() | TIMES),
    baselines.NoState: st.just(baselines.NoState()),
}
DOCUMENTS = st.builds(
    lambda policy, first, high, relief: parse_power(
        json.dumps(
            {
                "schema": SCHEMA,
                "loop": "power",
                "policy": policy,
                "highPriorityFrom": high,
                "sloRelief": relief,
                "settings": {"threshold1Percent": first} if policy == "polca" else {},
            }
        )
    ),
    st.sampled_from(sorted(POWER)),
    st.integers(6, 88),
    st.integers(-1000, 10**9),
    st.booleans(),
)
CAPS = st.builds(Cap, st.none() | st.integers(1, 3000), st.none() | NUMBERS)
CLAIMS = st.builds(
    Claim,
    service=TEXTS,
    node=TEXTS,
    priority=st.integers(),
    missed=st.none() | NUMBERS,
    gpus=st.lists(TEXTS, max_size=3).map(tuple),
    capped=st.booleans(),
    rise_watts=NUMBERS,
)
ROOMS = st.builds(
    reliefs.Room,
    watts=NUMBERS,
    bound_watts=TIMES,
    settle_s=NUMBERS,
    low=CAPS,
    shut=st.none() | st.sampled_from(reliefs.End),
)


def lines_of(step: PolicyStep, *, budget_watts: float = 1000.0) -> list[str]:
    """What a coordinator's agent writes of a decision: its document, and the decision."""
    lines: list[str] = []
    domain = Domain(name="row", budget_watts=budget_watts, members=frozenset(), document=step.document)
    journal_into(lines).decided(step, domain, Epoch(3, "uid"))
    return lines


def journal_into(lines: list[str]) -> PowerJournal:
    def written(entry: JournalEntry, line: str) -> None:
        lines.append(line)

    return PowerJournal(Journal(Component.AGENT, node="node-0", wall=lambda: 0.25, written=written))


@given(DOCUMENTS, st.data(), NUMBERS, NUMBERS | st.just(float("inf")), TIMES)
def test_a_decision_is_read_back_as_it_was_given_and_decides_the_same(
    document: PowerDocument, data: st.DataObject, load: float, age_s: float, now: float
) -> None:
    row, state = Row(load, age_s), data.draw(STATES[type(document.policy.start)])
    decision = document.policy.decide(row, state, document.config, now)
    step = PolicyStep(document=document, row=row, state=state, now=now, decision=decision)
    introduced, entry = (entries.parsed(line) for line in lines_of(step))
    assert isinstance(introduced, DocumentEntry)
    assert introduced.document == document
    assert introduced.hash_then == document.hash
    assert isinstance(entry, PolicyEntry)
    assert (entry.row, entry.given, entry.now_s, entry.policy) == (row, state, now, document.policy)
    assert (entry.budget_watts, entry.epoch, entry.node, entry.domain) == (1000.0, 3, "node-0", "row")
    again = entry.policy.decide(entry.row, entry.given, introduced.document.config, entry.now_s)
    assert (plain(again.actions), plain(again.state)) == (entry.caps, entry.state_after)


@given(st.lists(CLAIMS, max_size=4, unique_by=lambda claim: claim.key).map(tuple), ROOMS, TIMES)
def test_a_relief_is_read_back_as_it_was_given(
    claims: tuple[Claim, ...], room: reliefs.Room, now: float
) -> None:
    lines: list[str] = []
    journal, state = journal_into(lines), reliefs.State()
    for moment in (now, now + 100.0):
        before, state = state, journal.relieve(claims, room, state, moment).state
        if not lines:
            continue
        entry = entries.parsed(lines.pop())
        assert isinstance(entry, ReliefEntry)
        assert (entry.claims, entry.room, entry.state, entry.now_s) == (claims, room, before, moment)
        assert entry.state_after == plain(state)


@given(DOCUMENTS)
def test_what_a_document_says_is_that_document_again(document: PowerDocument) -> None:
    assert parse_power(json.dumps(content_of(document))) == document


def good() -> dict[str, Any]:
    document = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\n")
    row, state = Row(0.5, 0.1), polca.State()
    decision = document.policy.decide(row, state, document.config, 5.0)
    step = PolicyStep(document=document, row=row, state=state, now=5.0, decision=decision)
    line: dict[str, Any] = json.loads(lines_of(step)[1])
    return line


def changed(path: str, value: object) -> str:
    line = good()
    *folders, last = path.split(".")
    place = line
    for folder in folders:
        place = place[folder]
    place[last] = value
    return json.dumps(line)


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("observation.row.load", "much", "observation.row.load"),
        ("observation.row.load", -0.5, "observation.row.load"),
        ("observation.row.load", True, "observation.row.load"),
        ("observation.row.load", None, "observation.row.load"),
        ("observation.row.age_s", "nan", "observation.row.age_s"),
        ("observation.now_s", "inf", "observation.now_s"),
        ("observation.state.level", "Melted", "observation.state.level"),
        ("observation.state.since_s", "soon", "observation.state.since_s"),
        ("observation.state", {"level": "Normal", "since_s": "-inf", "more": 1}, "observation.state"),
        ("observation.state", {"level": "Normal"}, "observation.state"),
        ("observation.state", [], "observation.state"),
        ("observation.budget_watts", 0, "observation.budget_watts"),
        ("observation", 5, "observation"),
        ("decision.caps", [], "decision.caps"),
        ("decider", 5, "decider"),
        ("component", "engine", "component"),
        ("time", "noon", "time"),
        ("node", "n" * 600, "node"),
    ],
)
def test_a_value_that_no_agent_writes_is_refused_by_its_field(path: str, value: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        entries.parsed(changed(path, value))
    assert refused.value.field == field
    assert refused.value.fix


@pytest.mark.parametrize(
    "line", ["", "{", "[]", "5", '{"time":', "\x00", "[" * 5000, '{"a": NaN}', b"\xff\xfe"]
)
def test_a_line_that_is_no_entry_is_refused(line: str | bytes) -> None:
    with pytest.raises(InvalidInput):
        entries.parsed(line)


@pytest.mark.parametrize("decider", ["leadership", "leaf/lease", "experts", "power/of-tomorrow"])
def test_lines_of_others_are_known_by_their_decider(decider: str) -> None:
    entry = entries.parsed(changed("decider", decider))
    assert entry == Other(time="1970-01-01T00:00:00.250+00:00", decider=decider)


def test_a_document_of_another_version_is_refused_by_its_setting() -> None:
    document = parse_power(f"schema: {SCHEMA}\nloop: power\npolicy: polca\n")
    row, state = Row(0.5), polca.State()
    decision = document.policy.decide(row, state, document.config, 0.0)
    step = PolicyStep(document=document, row=row, state=state, now=0.0, decision=decision)
    line = json.loads(lines_of(step)[0])
    line["decision"]["document"]["settings"]["threshold3Percent"] = 99
    with pytest.raises(InvalidInput, match=r"decision.document.settings.threshold3Percent is 99: remove it"):
        entries.parsed(json.dumps(line))


def test_a_key_that_a_later_version_adds_is_no_reason_to_refuse_a_line() -> None:
    line = good() | {"cluster": "a"}
    line["observation"]["nodes"] = 52
    assert isinstance(entries.parsed(json.dumps(line)), PolicyEntry)
    del line["observation"]["epoch"], line["observation"]["budget_watts"]
    entry = entries.parsed(json.dumps(line))
    assert isinstance(entry, PolicyEntry)
    assert entry.draw_watts is None
    assert replace(entry, budget_watts=200.0).draw_watts == 100.0
