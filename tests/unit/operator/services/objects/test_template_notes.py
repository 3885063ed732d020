"""What a template says that comes to nothing is told, by its field."""

from typing import Any

import pytest

from loadline_api.inference_services import InferenceService
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.descriptions import describe
from loadline_operator.services.objects.template_notes import template_notes


def told(*, defaults: Defaults | None = None, **spec: Any) -> tuple[str, ...]:
    metadata = {"name": "chat", "namespace": "serving", "uid": "u"}
    whole = {"model": {"uri": "hf://org/llm"}, **spec}
    one = InferenceService.parse({"metadata": metadata, "spec": whole})
    return template_notes(describe(one, defaults or Defaults()))


def removing(*paths: str, container: str | None = "vllm") -> dict[str, Any]:
    named = {"container": container} if container else {}
    return {"remove": [{**named, "path": path} for path in paths]}


NOWHERE = "which no pod has: correct the path or remove the entry"


def test_nothing_is_told_of_a_template_that_does_what_it_says() -> None:
    parts = {
        "containers": [{"name": "vllm", "env": [{"name": "A", "value": "1"}]}],
        "nodeSelector": {"a": "b"},
    }
    assert told() == told(template={**removing("livenessProbe", "resources"), **parts}) == ()


def test_a_path_that_leads_nowhere_is_told() -> None:
    assert told(template=removing("livenesProbe", "lifecycle")) == (
        f"template.remove has livenesProbe of container vllm, {NOWHERE}",
    )
    assert told(template=removing("image", container="logs")) == (
        f"template.remove has image of container logs, {NOWHERE}",
    )
    assert told(template=removing("volumes[shn]", container=None)) == (
        f"template.remove has volumes[shn], {NOWHERE}",
    )


def test_what_two_paths_both_remove_the_second_finds_no_more() -> None:
    assert told(template=removing("resources", "resources.limits")) == (
        f"template.remove has resources.limits of container vllm, {NOWHERE}",
    )


def test_a_path_that_leads_somewhere_in_one_of_the_pods_is_right() -> None:
    """A follower of a group has no probes, and nothing is fetched for a model that is mounted."""
    assert told(template=removing("livenessProbe"), parallelism={"tensor": 2, "nodes": 2}) == ()
    own = {"replicas": 1, "template": {"containers": [{"name": "vllm", "env": [{"name": "A"}]}]}}
    assert len(told(template=removing("env[A]"), prefill=own, router={})) == 1
    assert told(template=removing("env[VLLM_X]"), prefill=own, router={})[0].startswith("template.remove")


def test_what_is_made_last_of_all_is_found_too() -> None:
    late = {**removing("env[HF_HUB_OFFLINE]")}
    assert told(template=late) == ()
    assert told(template=removing("env[NO_COLOR]", container="fetch-model")) == ()
    assert len(told(template=late, model={"uri": "file:///llm"})) == 1
    fetch = removing("command", container="fetch-model")
    assert len(told(template=fetch, model={"uri": "pvc://weights"})) == 1


def test_each_template_is_named_by_its_field() -> None:
    nowhere = removing("nowhere")
    notes = told(
        template=nowhere,
        prefill={"replicas": 1, "template": nowhere},
        router={"template": removing("nowhere", container="router")},
        defaults=Defaults(engine_template=nowhere),
    )
    assert [note.partition(".remove")[0] for note in notes] == [
        "the chart's engine.template",
        "template",
        "prefill.template",
        "router.template",
    ]


@pytest.mark.parametrize(
    ("parts", "told_of"),
    [
        ({"containers": [{"name": "vllm"}, {"name": "vllm"}]}, "template.containers lists vllm 2 times"),
        ({"containers": [{"name": "a"}] * 3}, "template.containers lists a 3 times"),
        ({"spec": {"initContainers": [{"name": "a"}] * 2}}, "template.spec.initContainers lists a 2 times"),
        ({"volumes": [{"name": "v"}, {"name": "v"}]}, "template.volumes lists v 2 times"),
        (
            {"containers": [{"name": "vllm", "env": [{"name": "A", "value": "1"}, {"name": "A"}]}]},
            "template.containers[vllm].env lists A 2 times",
        ),
        (
            {
                "containers": [
                    {
                        "name": "vllm",
                        "volumeMounts": [
                            {"name": "a", "mountPath": "/data"},
                            {"name": "b", "mountPath": "/data/"},
                        ],
                    }
                ]
            },
            "template.containers[vllm].volumeMounts lists /data 2 times",
        ),
        (
            {"containers": [{"name": "vllm", "ports": [{"name": "grpc"}, {"name": "grpc"}]}]},
            "template.containers[vllm].ports lists grpc 2 times",
        ),
        ({"resourceClaims": [{"name": "gpu"}] * 2}, "template.resourceClaims lists gpu 2 times"),
    ],
)
def test_what_is_listed_twice_is_told(parts: dict[str, Any], told_of: str) -> None:
    (note,) = told(template=parts)
    assert note.startswith(told_of)


def test_headers_of_one_name_and_mounts_of_one_volume_are_no_mistake() -> None:
    headers = [{"name": "X", "value": "1"}, {"name": "X", "value": "2"}]
    mounts = [{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/b"}]
    container = {
        "name": "vllm",
        "startupProbe": {"httpGet": {"httpHeaders": headers}},
        "volumeMounts": mounts,
    }
    assert told(template={"containers": [container]}) == ()


@pytest.mark.parametrize(
    "address",
    [
        "http://user:hunter2@proxy:3128",
        "postgres://u:hunter2@db/x",
        "s3+https://k:hunter2@host",
        "a b://u:hunter2@h",
    ],
)
def test_a_password_is_told_without_it(address: str) -> None:
    env = [{"name": "HTTPS_PROXY", "value": address}]
    (note,) = told(template={"spec": {"containers": [{"name": "vllm", "env": env}]}})
    assert note.startswith("template.spec.containers[vllm].env[HTTPS_PROXY].value has a URL with a password")
    assert "hunter2" not in note


@pytest.mark.parametrize(
    "text", ["http://proxy:3128", "http://user@host/a:b", "image:tag@sha256:0", "http://h:1/a@b", "a:b@c"]
)
def test_what_is_no_password_is_not_told(text: str) -> None:
    assert told(template={"containers": [{"name": "vllm", "args": [text]}]}) == ()
