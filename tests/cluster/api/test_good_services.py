"""Nothing that can work is refused: what the rules about InferenceServices let through."""

from typing import Any

import pytest

from loadline_api import names
from loadline_api.workload_refs import ATTACHABLE
from testbed.cluster.bed import Bed

SPLIT: dict[str, Any] = {"prefill": {"perDecode": "0.5"}, "router": {}}


def taken(bed: Bed, name: str = "chat", **spec: Any) -> dict[str, Any]:
    """The spec as the API server stores it; it would be refused with ApiError."""
    body = {
        "apiVersion": names.API_VERSION,
        "kind": names.INFERENCE_SERVICES.kind,
        "metadata": {"name": name},
        "spec": spec if "workloadRef" in spec else {"model": {"uri": "hf://org/model"}, **spec},
    }
    path = names.INFERENCE_SERVICES.path(namespace="default")
    stored = bed.client.create(f"{path}?dryRun=All&fieldValidation=Strict", body)
    return dict(stored["spec"])


def test_a_service_with_everything_is_taken(charted: Bed) -> None:
    spec: dict[str, Any] = {
        "model": {"uri": "hf://org/model@refs/pr/1", "name": "org/chat:v2"},
        "scaling": {"minReplicas": 1, "maxReplicas": 4},
        "parallelism": {"tensor": 4, "data": 2, "expert": True, "nodes": 2},
        "engine": {"maxModelLength": 32768, "maxSequences": 256, "arguments": ["--seed=7", "--enable-lora"]},
        "prefill": {"perDecode": "0.5", "parallelism": {"tensor": 2}},
        "template": {"spec": {"containers": [{"name": "vllm", "env": [{"name": "A", "value": "b"}]}]}},
        "router": {"replicas": 2, "policy": "PowerOfTwo"},
        "rolloutStrategy": {"maxSurge": "25%", "maxUnavailable": 0},
        "slo": {"ttftMs": 2000, "itlMs": 40, "percentile": 95},
        "power": {"maxWatts": 350},
        "experts": {"policyRef": {"name": "gentle"}},
        "kvCache": {
            "dtype": "fp8",
            "policyRef": {"name": "bulk.v2"},
            "admission": {
                "mode": "Enforce",
                "estimator": "Buckets",
                "victim": "Deadline",
                "reservePercent": 0,
            },
        },
    }
    stored = taken(charted, **spec)
    assert stored["template"] == spec["template"]
    assert stored["replicas"] == 1


@pytest.mark.parametrize("cache", [{}, {"admission": {}}, {"admission": {"mode": "Off"}}], ids=str)
def test_a_scheduler_of_your_own_is_taken_where_ours_is_not_asked_for(
    charted: Bed, cache: dict[str, Any]
) -> None:
    stored = taken(charted, engine={"arguments": ["--scheduler-cls=my.Scheduler"]}, kvCache=cache)
    assert stored["kvCache"].get("admission", {}).get("mode") in {None, "Off"}


def test_a_service_with_all_of_retention_is_taken(charted: Bed) -> None:
    retention = {
        "mode": "Enforce",
        "policyRef": {"name": "rungs"},
        "policy": "TrimKv",
        "budgetTokens": 512,
        "mostTokens": 512,
        "bufferTokens": 128,
        "sinkTokens": 0,
        "recentTokens": 256,
        "protectTokens": 256,
        "gatesPath": "/gates/chat.safetensors",
        "qualityClass": "High",
        "onProbeFailure": "Refuse",
    }
    words = ["--block-size=128", "--enable-prefix-caching"]
    cache = {"dtype": "bfloat16", "admission": {"mode": "Enforce"}, "retention": retention}
    stored = taken(charted, engine={"arguments": words}, parallelism={"tensor": 2}, kvCache=cache)
    assert stored["kvCache"]["retention"] == retention


@pytest.mark.parametrize("retention", [{}, {"mode": "Off"}], ids=str)
def test_what_retention_excludes_is_taken_where_it_is_not_asked_for(
    charted: Bed, retention: dict[str, Any]
) -> None:
    words = ["--speculative-config={}", "--worker-cls=my.Worker", "--block-size=128"]
    stored = taken(
        charted,
        engine={"arguments": words},
        prefill={"replicas": 1},
        router={},
        kvCache={"dtype": "fp8", "retention": retention},
    )
    found = stored["kvCache"]["retention"]
    assert (found["mode"], found["policy"], found["bufferTokens"]) == ("Off", "Streaming", 256)
    assert "budgetTokens" not in found


@pytest.mark.parametrize(
    "uri",
    [
        "hf://gpt2",
        "hf://org/model",
        "hf://Qwen/Qwen3-30B-A3B-Instruct-2507-FP8@main",
        "hf://org/model@3f8a0c7",
        "pvc://weights",
        "pvc://weights/llama/70b",
        "pvc://weights.v2/",
        "oci://ghcr.io/org/llama:70b",
        "oci://registry:5000/llama@sha256:" + "0" * 64,
        "oci://ghcr.io/org/llama:70b/weights",
        "oci://llama@sha256:" + "0" * 64,
        "oci://llama:70b@sha256:" + "0" * 64,
        "oci://ghcr.io/org/llama:70b@sha256:" + "0" * 64,
        "hf://gpt2@refs/pr/1",
        "hf://hf_user@v1",
        "file:///models/llama",
    ],
)
def test_addresses_of_every_scheme_are_taken(charted: Bed, uri: str) -> None:
    assert taken(charted, model={"uri": uri})["model"]["uri"] == uri


@pytest.mark.parametrize(
    "argument",
    [
        "--seed=7",
        "--enable-prefix-caching",
        "--no-enable-chunked-prefill",
        "--models-cache=/tmp",
        "--port-range=1-2",
        '--speculative-config={"method": "ngram"}',
        "--max-num-batched=8192",
        "--ssl-certfile=/tls/tls.crt",
        "--ssl-cert-reqs=1",
        "--model-impl=auto",
        "--data-parallel-size-local=1",
        "--an-option-of-a-plugin={\n}",
        "--hf-overrides.rope=1",
        "--shutdown-timeout=30",
        "--otlp-traces-endpoint=https://traces.example:4317/a@b",
        "--otlp-traces-endpoint=$(TRACES)",
        "--all2all-backend=deepep_low_latency",
    ],
)
def test_an_argument_that_only_begins_like_one_of_ours_is_taken(charted: Bed, argument: str) -> None:
    assert taken(charted, engine={"arguments": [argument]})["engine"]["arguments"] == [argument]


@pytest.mark.parametrize(
    ("main", "prefill"), [(4, 4), (4, 2), (2, 4), (1, 8), (6, 3)], ids=lambda tensor: str(tensor)
)
def test_a_split_of_which_one_degree_divides_the_other_is_taken(
    charted: Bed, main: int, prefill: int
) -> None:
    own = {"perDecode": "1", "parallelism": {"tensor": prefill}}
    taken(charted, parallelism={"tensor": main}, prefill=own, router={})


def test_a_prefill_pool_takes_after_the_main_one(charted: Bed) -> None:
    assert "parallelism" not in taken(charted, parallelism={"tensor": 3}, **SPLIT)["prefill"]


@pytest.mark.parametrize(("api_version", "kind"), ATTACHABLE)
def test_every_known_workload_may_be_attached_to(charted: Bed, api_version: str, kind: str) -> None:
    ref = {"apiVersion": api_version, "kind": kind, "name": "llama.v2"}
    bounds = {"minReplicas": 0, "maxReplicas": 4}
    taken(charted, workloadRef=ref, scaling=bounds, slo={"itlMs": 50}, kvCache={}, experts={}, priority=-5)


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 10_000},
        {"replicas": 0, "parallelism": {"tensor": 1024}},
        {"replicas": 10_000, "prefill": {"perDecode": "1"}, "router": {}},
        {"replicas": 1, "prefill": {"perDecode": "9999"}, "router": {}},
        {"replicas": 0, "prefill": {"perDecode": "9999.9999"}, "router": {}},
        {"replicas": 1250, "parallelism": {"tensor": 64, "nodes": 8}},
    ],
    ids=str,
)
def test_as_much_as_a_pool_may_have_is_taken(charted: Bed, spec: dict[str, Any]) -> None:
    taken(charted, **spec)


@pytest.mark.parametrize(
    "removal",
    [
        {"container": "vllm", "path": "resources.limits[nvidia.com/gpu]"},
        {"container": "vllm", "path": "resources.limits['nvidia.com/gpu']"},
        {"container": "vllm", "path": "volumeMounts[/dev/shm]"},
        {"container": "logs", "path": "ports"},
        {"path": "securityContext"},
        {"path": "metadata.annotations[example.com/mesh]"},
    ],
    ids=lambda removal: removal["path"],
)
def test_what_a_template_removes_is_stored_beside_its_parts(charted: Bed, removal: dict[str, str]) -> None:
    template = {"remove": [removal], "spec": {"hostIPC": True, "nonsense": {"a": [1]}}}
    stored = taken(charted, template=template, router={"template": template})
    assert stored["template"] == stored["router"]["template"] == template


@pytest.mark.parametrize("surge", [0, 1, 10_000, "0%", "1%", "99%", "100%"])
def test_pods_may_roll_by_count_or_percentage(charted: Bed, surge: int | str) -> None:
    taken(charted, rolloutStrategy={"maxSurge": surge, "maxUnavailable": 1})


@pytest.mark.parametrize("name", ["a", "c" * 53, "chat-2"])
def test_names_that_fit_are_taken(charted: Bed, name: str) -> None:
    taken(charted, name)
