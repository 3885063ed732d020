"""Whose GPUs a node's GPUs are."""

from loadline_agent.workloads.gpu_owners import Placement, placed
from loadline_agent.workloads.pods import NodePod

EIGHT = tuple(f"GPU-{index}" for index in range(8))


def pod(
    service: str = "chat", gpus: int = 1, *, claims: bool = False, shares: frozenset[str] = frozenset()
) -> NodePod:
    return NodePod(
        namespace="prod", labels=frozenset(), service=service, gpus=gpus, claims=claims, shares=shares
    )


PODS = {"prod/chat-0": pod(), "prod/code-0": pod("code", gpus=2)}


def service_of(pod: NodePod) -> str | None:
    return f"{pod.namespace}/{pod.service}" if pod.service else None


def owners(placement: Placement) -> list[tuple[str, ...]]:
    return [placement.owners(uuid) for uuid in EIGHT[:4]]


def test_a_gpu_belongs_to_the_service_whose_pod_has_it() -> None:
    gpus = {"prod/chat-0": frozenset({"GPU-0"}), "prod/code-0": frozenset({"GPU-1", "GPU-2"})}
    placement = placed(PODS, service_of=service_of, gpus=gpus)
    assert owners(placement) == [("prod/chat",), ("prod/code",), ("prod/code",), ()]
    assert {name: (share.pods, share.count) for name, share in placement.shares.items()} == {
        "prod/chat": (1, 1),
        "prod/code": (1, 2),
    }


def test_a_gpu_that_is_shared_in_time_belongs_to_all_who_share_it() -> None:
    shared = frozenset({"GPU-0"})
    assert owners(placed(PODS, service_of=service_of, gpus=dict.fromkeys(PODS, shared)))[:2] == [
        ("prod/chat", "prod/code"),
        (),
    ]


def test_while_the_kubelet_is_silent_every_gpu_is_everybodys() -> None:
    placement = placed(PODS, service_of=service_of, gpus=None)
    assert owners(placement) == [("prod/chat", "prod/code")] * 4
    assert placement.shares["prod/code"].count == 2


def test_a_pod_whose_devices_cannot_be_told_may_be_anywhere() -> None:
    gpus = {"prod/chat-0": frozenset({"GPU-0"}), "prod/code-0": None}
    assert owners(placed(PODS, service_of=service_of, gpus=gpus))[:2] == [
        ("prod/chat", "prod/code"),
        ("prod/code",),
    ]


def test_a_claim_of_which_the_kubelet_does_not_tell_may_be_of_any() -> None:
    pods = {"prod/chat-0": pod(claims=True)}
    for gpus in ({}, {"prod/chat-0": frozenset({"GPU-0"})}):
        assert owners(placed(pods, service_of=service_of, gpus=gpus)) == [("prod/chat",)] * 4


def test_a_gpu_of_a_claim_belongs_to_its_pod() -> None:
    pods = {"prod/chat-0": pod(claims=True)}
    placement = placed(
        pods,
        service_of=service_of,
        gpus={"prod/chat-0": frozenset({"GPU-1"})},
        of_claims=frozenset({"prod/chat-0"}),
    )
    assert owners(placement) == [(), ("prod/chat",), (), ()]
    assert placement.shares["prod/chat"].count == 1


def test_the_gpu_that_hami_has_chosen_counts_and_not_the_kubelets_id() -> None:
    chosen = {"prod/chat-0": pod(shares=frozenset({"GPU-2"}))}
    gpus = {"prod/chat-0": frozenset({"GPU-0"})}
    renumbered = frozenset({"prod/chat-0"})
    placement = placed(chosen, service_of=service_of, gpus=gpus, renumbered=renumbered)
    assert owners(placement) == [(), (), ("prod/chat",), ()]
    own_words = placed(chosen, service_of=service_of, gpus=gpus)
    assert owners(own_words)[0] == ("prod/chat",), "an annotation alone takes no GPU of others"


def test_a_pod_that_has_no_device_yet_owns_none() -> None:
    assert owners(placed(PODS, service_of=service_of, gpus={})) == [()] * 4


def test_a_pod_of_no_service_and_an_engine_without_gpus_own_nothing() -> None:
    pods = {"prod/theirs-0": pod(""), "prod/chat-0": pod(gpus=0)}
    assert placed(pods, service_of=service_of, gpus=None).shares == {}


def test_a_service_is_held_back_if_one_of_its_gpus_is() -> None:
    share = placed(PODS, service_of=service_of, gpus={"prod/chat-0": frozenset({"GPU-0"})}).shares[
        "prod/chat"
    ]
    assert share.among({"GPU-0", "GPU-5"})
    assert not share.among({"GPU-5"})


def test_a_service_of_whom_nobody_knows_where_it_is_may_be_held_back() -> None:
    share = placed(PODS, service_of=service_of, gpus=None).shares["prod/chat"]
    assert share.among({"GPU-5"})
    assert not share.among(frozenset())
