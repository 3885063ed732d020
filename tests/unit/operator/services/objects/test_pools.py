"""Which pools a service has, how large each is, and by which labels its pods are found."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.pools import Phase, Pool, prefill_replicas


def service(**spec: Any) -> InferenceService:
    model = {} if "workloadRef" in spec else {"model": {"uri": "hf://org/llm"}}
    return InferenceService.parse(
        {"metadata": {"name": "chat", "namespace": "serving", "uid": "u"}, "spec": {**model, **spec}}
    )


def pools_of(one: InferenceService) -> tuple[Pool, ...]:
    return describe(one, Defaults()).pools


def sizes(one: InferenceService) -> dict[str, int]:
    return {pool.name: pool.replicas for pool in pools_of(one)}


def test_one_pool_answers_both_phases() -> None:
    (main,) = pools_of(service(replicas=3))
    assert (main.name, main.key.name, main.phase, main.replicas) == ("main", "chat", Phase.MIXED, 3)
    assert main.selector == main.labels == {"loadline.dev/service": "chat", "loadline.dev/pool": "main"}


def test_a_prefill_pool_makes_the_main_one_decode() -> None:
    main, prefill = pools_of(service(replicas=2, prefill={"replicas": 3}, router={}))
    assert (main.phase, main.key.name, main.replicas) == (Phase.DECODE, "chat", 2)
    assert (prefill.phase, prefill.key.name, prefill.replicas) == (Phase.PREFILL, "chat-prefill", 3)
    assert prefill.labels["loadline.dev/pool"] == "prefill"


@pytest.mark.parametrize(
    ("prefill", "replicas", "expected"),
    [
        ({"replicas": 3}, 1, 3),
        ({"replicas": 3}, 0, 0),
        ({"replicas": 0}, 2, 0),
        ({"perDecode": "0.5"}, 0, 0),
        ({"perDecode": "0.5"}, 1, 1),
        ({"perDecode": "0.5"}, 2, 1),
        ({"perDecode": "0.5"}, 3, 2),
        ({"perDecode": "0.1"}, 10, 1),
        ({"perDecode": "1.1"}, 10, 11),
        ({"perDecode": "2"}, 4, 8),
    ],
)
def test_prefill_is_fixed_or_follows_decode(prefill: dict[str, Any], replicas: int, expected: int) -> None:
    assert sizes(service(replicas=replicas, prefill=prefill, router={}))["prefill"] == expected


@given(replicas=st.integers(0, 10_000), tenths=st.integers(1, 99_999))
def test_a_ratio_is_rounded_up_and_never_by_a_whole(replicas: int, tenths: int) -> None:
    one = service(prefill={"perDecode": f"{tenths // 10}.{tenths % 10}"}, router={})
    assert one.spec.prefill is not None
    made = prefill_replicas(one.spec.prefill, replicas)
    assert 0 <= 10 * made - tenths * replicas < 10


def test_prefill_is_spread_like_the_main_pool_unless_told() -> None:
    like = pools_of(service(parallelism={"tensor": 4}, prefill={"replicas": 1}, router={}))
    assert [pool.parallelism.tensor for pool in like] == [4, 4]
    own = {"replicas": 1, "parallelism": {"tensor": 2}}
    assert [
        pool.parallelism.tensor
        for pool in pools_of(service(parallelism={"tensor": 4}, prefill=own, router={}))
    ] == [4, 2]


def test_of_a_group_of_nodes_the_leader_is_counted_and_answers() -> None:
    one = service(parallelism={"tensor": 8, "nodes": 2})
    (main,) = pools_of(one)
    assert main.spans_nodes
    assert main.selector == {**main.labels, "leaderworkerset.sigs.k8s.io/worker-index": "0"}
    assert describe(one, Defaults()).scale_selector == (
        "leaderworkerset.sigs.k8s.io/worker-index=0,loadline.dev/pool=main,loadline.dev/service=chat"
    )


def test_an_attached_service_has_no_pool_of_ours() -> None:
    attached = service(workloadRef={"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"})
    assert pools_of(attached) == ()
    assert describe(attached, Defaults()).scale_selector is None
