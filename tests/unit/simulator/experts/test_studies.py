"""The study as a whole, on the routing that ships; and what it refuses."""

import numpy as np
import pytest

from loadline_policies.errors import InvalidInput
from loadline_sim.experts import precisions, routing_files, studies
from loadline_sim.experts.policies import POLICIES
from loadline_sim.experts.precisions import PRECISIONS
from loadline_sim.experts.preparations import prepare
from loadline_sim.experts.routings import Routing
from loadline_sim.experts.settings import EXAMPLE_PARAMETERS, Settings, slots_of
from loadline_sim.experts.studies import SHARES, Study
from testbed.small_routings import routing_of

HEARD: list[tuple[str, float]] = []


@pytest.fixture(scope="module")
def study() -> Study:
    HEARD.clear()
    return studies.run(routing_files.example(), Settings(), lambda what, share: HEARD.append((what, share)))


def test_every_step_tells_its_progress_to_the_end(study: Study) -> None:
    names = list(dict.fromkeys(name for name, _ in HEARD))
    assert all([share for one, share in HEARD if one == name][-1] == 1.0 for name in names)
    assert len(names) == 4


def test_the_checks_hold_on_real_routing(study: Study) -> None:
    assert study.checks == {"belady_is_best": True, "accesses_add_up": True}


def test_the_same_seed_gives_the_same_study_and_another_splits_otherwise(study: Study) -> None:
    few = study.routing.only(range(6))
    settings = [Settings(seed=seed, batch=1) for seed in (1, 1, 2)]
    one, again, other = (
        studies.outcomes_of(prepare(few, each), each, slots=99, expert_bytes=1e6) for each in settings
    )
    assert one == again != other


def test_more_memory_never_hurts_belady_and_lru(study: Study) -> None:
    for name in ("belady", "lru", "lru-layers"):
        index = [policy.name for policy in POLICIES].index(name)
        hits = [point[index].replay.hits for point in study.curves]
        assert len(hits) == len(SHARES)
        assert hits == sorted(hits)


def test_bytes_and_stalls_follow_from_loads(study: Study) -> None:
    lru = study.of("lru")
    loads = lru.replay.misses
    assert lru.bytes_per_token == pytest.approx(loads * EXAMPLE_PARAMETERS * 2 / 480)
    assert lru.stall_s == pytest.approx(loads * EXAMPLE_PARAMETERS * 2 / 25e9 / 120)


def test_predictors_beat_popularity_on_requests_that_they_have_not_seen(study: Study) -> None:
    means = {one.predictor: one.mean for one in study.prepared.accuracies}
    assert means["popularity"] < means["co-activation"] < 1.0 == means["perfect"]
    assert means["popularity"] < means["linear"] < 1.0


def test_fewer_bytes_an_expert_give_more_slots_and_no_less_hits(study: Study) -> None:
    ordered = sorted(study.precisions, key=lambda one: -one.expert_bytes)
    assert [one.slots for one in ordered] == sorted(one.slots for one in ordered)
    hits = [one.of("belady").replay.hits for one in ordered]
    assert hits == sorted(hits)


def test_a_batch_needs_no_more_experts_than_there_are(study: Study) -> None:
    assert study.batches[0].distinct == study.routing.experts_per_token
    distinct = [one.distinct for one in study.batches]
    assert distinct == sorted(distinct)
    assert distinct[-1] <= study.routing.experts


def test_algorithm_1_needs_fewer_experts_in_the_layer_by_which_it_groups(study: Study) -> None:
    first, best = study.grouped["arrival order"], study.grouped["longest queues first"]
    assert best.first_choices_in_layer < first.first_choices_in_layer
    assert best.in_layer < first.in_layer
    assert best.longest_wait > first.longest_wait


@pytest.mark.parametrize(
    ("name", "mib"), [("bf16", 16.5), ("fp8", 8.252), ("int4", 4.383), ("mxfp4", 4.383), ("qmoe", 0.825)]
)
def test_an_expert_of_deepseek_v2_lite_in_mib(name: str, mib: float) -> None:
    size = precisions.find(name).bytes_of(EXAMPLE_PARAMETERS) / 2**20
    assert size == pytest.approx(mib, rel=1e-3)


def test_only_published_bits_are_marked_as_such() -> None:
    assert [one.name for one in PRECISIONS if one.paper] == ["qmoe"]


@pytest.mark.parametrize(
    ("settings", "slots"),
    [(Settings(), 416), (Settings(slots=26), 26), (Settings(slots=9999), 1664),
     (Settings(memory_gib=1.0), 62), (Settings(memory_gib=1.0, precision="int4"), 233)],
    ids=["a-quarter", "the-least", "no-more-than-there-are", "gib", "gib-int4"],
)  # fmt: skip
def test_slots(settings: Settings, slots: int) -> None:
    expert_bytes = precisions.find(settings.precision).bytes_of(settings.expert_parameters)
    assert slots_of(settings, routing_files.example(), expert_bytes=expert_bytes) == slots


def small(*, requests: int) -> Routing:
    ids = np.zeros((requests, 2, 1), dtype=np.int64)
    return routing_of(ids, experts=2, sequence=list(range(requests)))


@pytest.mark.parametrize(
    ("routing", "settings", "says"),
    [
        (
            small(requests=4),
            {"slots": 1},
            r"--slots is 1: give memory for one expert in each of the 2 layers",
        ),
        (small(requests=4), {"memory_gib": 0.001}, r"--memory-gib is 0.001: .* 2 slots, which are 0.03 GiB"),
        (small(requests=4), {"memory_gib": float("nan")}, r"--memory-gib is nan: give a number above 0"),
        (small(requests=4), {"precision": "int2"}, r"--precision is 'int2': use one of bf16, fp8"),
        (small(requests=4), {"batch": 3}, r"--batch is 3: 2 requests are replayed"),
        (small(requests=1), {}, r"the number of requests is 1: give two or more"),
    ],
    ids=["slots", "memory", "nan", "precision", "batch", "one-request"],
)
def test_settings_that_do_not_fit_are_refused(
    routing: Routing, settings: dict[str, object], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        studies.run(routing, Settings(**settings), lambda what, share: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"slots": 9, "memory_gib": 1.0}, r"--slots is 9: set either `--slots` or `--memory-gib`"),
        ({"link_gbs": 0.0}, r"--link-gbs is 0.0: give a number above 0"),
        ({"link_gbs": float("nan")}, r"--link-gbs is nan"),
        ({"expert_parameters": -1}, r"--expert-params is -1"),
        ({"layer_ms": -1.0}, r"--layer-ms is -1.0: give milliseconds"),
        ({"grouped": 65}, r"--grouped is 65: give at most `--waiting`, 64"),
        ({"queued": 10**30}, r"--queued is 10+: give at most 1000000"),
    ],
    ids=["both", "no-link", "nan", "no-weights", "negative", "no-choice", "too-far"],
)
def test_settings_that_can_not_be_are_refused(settings: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Settings(**settings)  # type: ignore[arg-type]
