"""Whose GPUs a node's GPUs are."""

from typing import Any

import pytest

from loadline_agent.owners import owner_of

GPUS = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}


def pod(
    *,
    service: str | None = "chat",
    phase: str = "Running",
    containers: list[dict[str, Any]] | None = None,
    **spec: object,
) -> dict[str, Any]:
    labels = {"loadline.dev/service": service} if service else {}
    metadata = {"name": "chat-0", "namespace": "prod", "labels": labels}
    used = [GPUS] if containers is None else containers
    return {"metadata": metadata, "spec": {"containers": used, **spec}, "status": {"phase": phase}}


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_a_bound_pod_that_has_not_ended_draws(phase: str) -> None:
    assert owner_of(pod(phase=phase)) == "prod/chat"


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_draws_nothing(phase: str) -> None:
    assert owner_of(pod(phase=phase)) is None


def test_a_pod_of_no_service_owns_nothing() -> None:
    assert owner_of(pod(service=None)) is None


def test_a_router_without_gpus_lends_its_priority_to_nobody() -> None:
    assert owner_of(pod(containers=[{"resources": {"limits": {"cpu": "1"}}}, {}])) is None


def test_one_container_with_a_gpu_is_enough() -> None:
    assert owner_of(pod(containers=[{}, GPUS])) == "prod/chat"


def test_a_claimed_device_counts_as_a_gpu() -> None:
    claims = [{"name": "gpu", "resourceClaimName": "one"}]
    assert owner_of(pod(containers=[{}], resourceClaims=claims)) == "prod/chat"
