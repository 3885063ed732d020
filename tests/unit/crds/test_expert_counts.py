"""The experts' section of a report: read as it was written, and refused by name beyond its bounds."""

import json
from math import isfinite
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api import expert_counts
from loadline_api.expert_counts import (
    LARGEST_COUNT,
    LONGEST_NAME,
    MOST_LAYERS,
    MOST_RANKS_NAMED,
    MOST_REASONS,
    BoundCounts,
    EplbCounts,
    ExpertCounts,
    LayerCounts,
    RankLoad,
)
from loadline_policies.errors import InvalidInput
from loadline_policies.experts.capacities import GRID_THOUSANDTHS
from loadline_policies.experts.placements import contiguous
from loadline_policies.experts.shadow_tables import count, shadow_table

COUNTS = count([30, 10, 5, 3], tokens=24, top_k=2, placement=contiguous(4, 2))
LAYER = LayerCounts.of(COUNTS, batches=(3, 1))
SENT = ExpertCounts(
    mode="enforce",
    gamma_thousandths=1500,
    strategy="drop",
    layers={"a": LAYER, "b": LAYER},
    layers_left_out=2,
    bypassed={"MonolithicKernel": 1},
    unbounded={"HashRouting": 1},
    bound=BoundCounts(bounded_batches=2, tokens=48, offered=96, dropped=12, rerouted=6, without_expert=3),
    fullest_ranks=(RankLoad(rank=1, load=1.5),),
    eplb=EplbCounts(steps_since_rearranged=5_000, step_interval=3_000),
)
NONE: dict[str, Any] = {"layers": {}}


def layer(**changes: Any) -> dict[str, Any]:
    return {"layers": {"a": {**LAYER.model_dump(mode="json"), **changes}}}


def test_what_is_read_is_what_was_written() -> None:
    assert expert_counts.decode(json.loads(json.dumps(SENT.encode()))) == SENT


def test_keys_of_a_later_version_are_ignored() -> None:
    assert expert_counts.decode({**layer(later=[1]), "later": {}}).layers == {"a": LAYER}


def test_what_an_earlier_version_does_not_report_is_unknown() -> None:
    found = expert_counts.decode({**NONE, "bound": {"offered": 4, "dropped": 2, "without_expert": 1}})
    assert (found.mode, found.gamma_thousandths, found.strategy, found.eplb) == (None, None, None, None)
    assert found.bound.dropped_fraction == 0.5
    assert found.bound.without_expert_fraction is None


def test_a_section_becomes_a_table_of_a_layer_and_of_all() -> None:
    found = expert_counts.decode(SENT.encode())
    assert found.layers["a"].counts == COUNTS
    assert found.total == COUNTS + COUNTS
    assert ExpertCounts(**NONE).total is None


def test_fractions_are_of_bounded_batches() -> None:
    assert SENT.bound.dropped_fraction == 12 / 96
    assert SENT.bound.without_expert_fraction == 3 / 48
    assert BoundCounts().dropped_fraction is None
    assert BoundCounts(tokens=0).without_expert_fraction is None


MANY = dict.fromkeys(map(str, range(MOST_LAYERS + 1)), LAYER.model_dump(mode="json"))


@pytest.mark.parametrize(
    ("section", "field", "fix"),
    [
        ({}, "experts.layers", "field required"),
        ({"layers": []}, "experts.layers", "use a mapping"),
        ({"layers": MANY}, "experts.layers", "at most 128 items"),
        ({"layers": {"a" * (LONGEST_NAME + 1): {}}}, "experts.layers.a", "at most 256 characters"),
        ({"layers": {"": {}}}, "experts.layers.", "at least 1 character"),
        ({"layers": {"a": None}}, "experts.layers.a", "use a mapping"),
        (layer(pairs=-1), "experts.layers.a.pairs", "greater than or equal to 0"),
        (layer(pairs=1.5), "experts.layers.a.pairs", "integer"),
        (layer(pairs=True), "experts.layers.a.pairs", "integer"),
        (layer(pairs="48"), "experts.layers.a.pairs", "integer"),
        (layer(pairs=LARGEST_COUNT + 1), "experts.layers.a.pairs", "less than or equal to"),
        (layer(rank_most=float("nan")), "experts.layers.a.rank_most", "finite"),
        (layer(rank_most=float("inf")), "experts.layers.a.rank_most", "finite"),
        (layer(rank_most=True), "experts.layers.a.rank_most", "number"),
        (layer(dropped=[0] * (len(GRID_THOUSANDTHS) - 1)), "experts.layers.a.dropped", "at least 5 items"),
        (layer(dropped=[0] * (len(GRID_THOUSANDTHS) + 1)), "experts.layers.a.dropped", "at most 5 items"),
        (layer(dropped=[0, 0, 0, 0, "0"]), "experts.layers.a.dropped.4", "integer"),
        (layer(dropped=[49, 0, 0, 0, 0]), "experts.layers.a", "no more dropped pairs than pairs"),
        (layer(capped_rank_most=[1, 1, 1, 1, -1]), "experts.layers.a.capped_rank_most.4", "greater than"),
        (layer(capped_rank_most=[0, 1, 1, 1, 1]), "experts.layers.a", "loads of at least 1e-06"),
        (layer(rank_mean=1e-300), "experts.layers.a", "loads of at least 1e-06"),
        (layer(rank_mean=0), "experts.layers.a", "loads of at least 1e-06"),
        (layer(batches=[1]), "experts.layers.a.batches.1", "field required"),
        ({**NONE, "mode": "on"}, "experts.mode", "'off', 'observe' or 'enforce'"),
        ({**NONE, "gamma_thousandths": "1500"}, "experts.gamma_thousandths", "integer"),
        ({**NONE, "strategy": 1}, "experts.strategy", "use a string"),
        ({**NONE, "bypassed": {"Failure": -1}}, "experts.bypassed.Failure", "greater than"),
        (
            {**NONE, "unbounded": dict.fromkeys(map(str, range(MOST_REASONS + 1)), 1)},
            "experts.unbounded",
            "64",
        ),
        ({**NONE, "bound": {"offered": 1, "dropped": 1, "rerouted": 1}}, "experts.bound", "no more dropped"),
        ({**NONE, "bound": {"tokens": 1, "without_expert": 2}}, "experts.bound", "no more tokens"),
        (
            {**NONE, "fullest_ranks": [{"rank": 0, "load": 1.0}] * (MOST_RANKS_NAMED + 1)},
            "experts.fullest_ranks",
            "at most 8 items",
        ),
        (
            {**NONE, "eplb": {"steps_since_rearranged": 0, "step_interval": 0}},
            "experts.eplb.step_interval",
            "greater than",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_beyond_its_bounds_is_refused_by_name(section: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        expert_counts.decode(section)
    assert refused.value.field.startswith(field)
    assert fix in refused.value.fix


NUMBERS = st.one_of(st.integers(-5, 2**64), st.floats(), st.text(max_size=3), st.none(), st.booleans())


@given(
    changes=st.dictionaries(
        st.sampled_from([*LayerCounts.model_fields]), st.one_of(NUMBERS, st.lists(NUMBERS))
    )
)
def test_whatever_is_read_has_a_table(changes: dict[str, Any]) -> None:
    try:
        found = expert_counts.decode(layer(**changes))
    except InvalidInput:
        return
    for counts in (found.layers["a"].counts, found.total):
        assert counts is not None
        assert all(isfinite(row.speedup()) for row in shadow_table(counts))
        assert counts.rank_imbalance is None or isfinite(counts.rank_imbalance)
