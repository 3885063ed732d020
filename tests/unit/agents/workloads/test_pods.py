"""What a pod of the own node means to its agent."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_agent.workloads.pods import pod_of

GPUS = {"resources": {"limits": {"nvidia.com/gpu": "8"}}}


def pod(
    *,
    phase: str = "Running",
    labels: dict[str, str] | None = None,
    containers: list[dict[str, Any]] | None = None,
    ip: str = "10.0.0.7",
    **spec: object,
) -> dict[str, Any]:
    named = {"loadline.dev/service": "chat", "loadline.dev/pool": "main"} if labels is None else labels
    return {
        "metadata": {"name": "chat-0", "namespace": "prod", "labels": named},
        "spec": {"containers": [GPUS] if containers is None else containers, **spec},
        "status": {"phase": phase, "podIP": ip},
    }


@pytest.mark.parametrize("phase", ["Pending", "Running", "Unknown"])
def test_a_bound_pod_that_has_not_ended_draws(phase: str) -> None:
    found = pod_of(pod(phase=phase))
    assert found is not None
    assert (found.namespace, found.service, found.pool, found.gpus) == ("prod", "chat", "main", 8)


@pytest.mark.parametrize("phase", ["Succeeded", "Failed"])
def test_a_pod_that_has_ended_draws_nothing(phase: str) -> None:
    assert pod_of(pod(phase=phase)) is None


def test_a_pod_of_no_service_counts_as_long_as_it_has_gpus() -> None:
    found = pod_of(pod(labels={"app": "theirs"}))
    assert found is not None
    assert (found.service, found.labels) == ("", frozenset({("app", "theirs")}))


@pytest.mark.parametrize(
    "labels", [{}, {"loadline.dev/service": "chat", "loadline.dev/pool": "router"}], ids=["none", "router"]
)
def test_a_pod_without_gpus_that_is_no_engine_is_nothing(labels: dict[str, str]) -> None:
    assert pod_of(pod(labels=labels, containers=[{"resources": {"limits": {"cpu": "1"}}}, {}])) is None


def test_an_engine_without_gpus_is_one_that_draws_nothing() -> None:
    found = pod_of(pod(containers=[{}]))
    assert found is not None
    assert not found.draws


def test_gpus_of_all_containers_are_added_and_those_of_one_that_prepares_are_not() -> None:
    found = pod_of(pod(containers=[GPUS, {}, GPUS], initContainers=[GPUS]))
    assert found is not None
    assert found.gpus == 16


def test_a_claimed_device_counts_as_a_gpu() -> None:
    claims = [{"name": "gpu", "resourceClaimName": "one"}]
    found = pod_of(pod(containers=[{}], resourceClaims=claims))
    assert found is not None
    assert (found.gpus, found.claims) == (1, True)


def test_the_clusters_own_resource_counts_gpus_and_amounts_of_one_do_not() -> None:
    limits = {
        "amd.com/gpu": "2",
        "nvidia.com/gpu": "1",
        "nvidia.com/gpumem": "8k",
        "nvidia.com/gpucores": "30",
    }
    things = pod(containers=[{"resources": {"limits": limits}}])
    found, amd = pod_of(things), pod_of(things, "amd.com/gpu")
    assert found is not None
    assert amd is not None
    assert (found.gpus, amd.gpus) == (1, 3)


def test_hami_says_on_the_pod_which_gpus_it_has_chosen() -> None:
    uuid = "GPU-30f90f49-43ab-0a78-bf5c-93ed41ef2da2"
    things = pod()
    things["metadata"]["annotations"] = {"hami.io/vgpu-devices-allocated": f"{uuid},NVIDIA,3000,30:;"}
    found = pod_of(things)
    assert found is not None
    assert found.shares == {uuid}


@given(st.text())
def test_whatever_a_tenant_writes_as_a_count_is_a_count(said: str) -> None:
    found = pod_of(pod(containers=[{"resources": {"limits": {"nvidia.com/gpu": said}}}]))
    assert found is not None
    assert found.gpus >= 0


def test_a_pod_that_does_not_run_answers_nowhere() -> None:
    running, pending = pod_of(pod()), pod_of(pod(phase="Pending"))
    assert running is not None
    assert pending is not None
    assert (running.host, pending.host) == ("10.0.0.7", None)


def test_a_status_that_changes_nothing_here_is_no_change() -> None:
    before, after = pod(), pod()
    after["status"] |= {"conditions": [{"type": "Ready", "status": "True"}], "startTime": "now"}
    assert pod_of(before) == pod_of(after)
