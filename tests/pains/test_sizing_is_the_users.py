"""Nothing guesses sizes: what a user says is what his pods get, and what he doesn't say nobody adds."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kube.kinds import DEPLOYMENTS, Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.manifests import wanted

GENEROUS = Defaults(
    engine_template={
        "containers": [{"name": "vllm", "resources": {"limits": {"memory": "1Ti", "cpu": "99"}}}]
    }
)
"""A cluster whose administrator has an opinion of his own."""

SIZES = frozenset(
    {"--gpu-memory-utilization", "--max-model-len", "--max-num-seqs", "--max-num-batched-tokens"}
)
"""Arguments by which an estimator would size an engine."""

AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "memory": st.integers(1, 4096).map("{}Gi".format),
        "cpu": st.integers(1, 256).map(str),
        "nvidia.com/gpu": st.integers(1, 16).map(str),
    },
)


def made(defaults: Defaults | None = None, **spec: Any) -> Manifest:
    """The service's Deployment of engines."""
    metadata = {"name": "chat", "namespace": "serving", "uid": "uid"}
    one = InferenceService.parse({"metadata": metadata, "spec": {"model": {"uri": "hf://org/llm"}, **spec}})
    (found,) = (
        each.manifest for each in wanted(describe(one, defaults or Defaults())) if each.kind == DEPLOYMENTS
    )
    return found


def engine(deployment: Manifest) -> Manifest:
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(container)


@given(st.integers(0, 10_000), AMOUNTS, AMOUNTS, st.sampled_from([Defaults(), GENEROUS]))
def test_what_a_user_says_is_what_his_pods_get(
    replicas: int, limits: Mapping[str, str], requests: Mapping[str, str], defaults: Defaults
) -> None:
    own = {"name": "vllm", "resources": {"limits": limits, "requests": requests}}
    found = made(defaults, replicas=replicas, parallelism={"tensor": 2}, template={"containers": [own]})
    assert found["spec"]["replicas"] == replicas
    resources = engine(found)["resources"]
    assert {name: resources["limits"][name] for name in limits} == limits
    assert resources.get("requests", {}) == requests


def test_what_nobody_says_nobody_adds() -> None:
    found = engine(made(parallelism={"tensor": 4}))
    assert found["resources"] == {"limits": {"nvidia.com/gpu": "4"}}
    assert not [one for one in found["args"] if one.partition("=")[0] in SIZES]


def test_an_engines_own_sizes_arrive_as_they_were_given() -> None:
    told = {"maxModelLength": 32_768, "maxSequences": 64, "arguments": ["--gpu-memory-utilization=0.8"]}
    arguments = engine(made(engine=told))["args"]
    sizes = {one.partition("=")[0]: one.partition("=")[2] for one in arguments if one.startswith("--")}
    assert {name: sizes.get(name) for name in SIZES} == {
        "--gpu-memory-utilization": "0.8",
        "--max-model-len": "32768",
        "--max-num-seqs": "64",
        "--max-num-batched-tokens": None,
    }
