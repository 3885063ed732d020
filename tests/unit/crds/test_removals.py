"""What a template may take out of a pod: the form of its paths, and what stays."""

import re

import pytest
from pydantic import ValidationError

from loadline_api.removals import FORM, KEPT, Removal, check_removals, removals_of


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("livenessProbe", ("livenessProbe",)),
        ("resources.limits[nvidia.com/gpu]", ("resources", "limits", "nvidia.com/gpu")),
        ("resources.limits['nvidia.com/gpu']", ("resources", "limits", "nvidia.com/gpu")),
        ('resources.limits["amd.com/gpu"]', ("resources", "limits", "amd.com/gpu")),
        ("env[HF_TOKEN]", ("env", "HF_TOKEN")),
        ("env[HF_TOKEN].valueFrom.secretKeyRef", ("env", "HF_TOKEN", "valueFrom", "secretKeyRef")),
        ("volumeMounts[/dev/shm]", ("volumeMounts", "/dev/shm")),
        ("metadata.annotations[a.b/c][d]", ("metadata", "annotations", "a.b/c", "d")),
        ("startupProbe.httpGet", ("startupProbe", "httpGet")),
    ],
)
def test_a_path_is_written_as_the_api_server_writes_fields(path: str, steps: tuple[str, ...]) -> None:
    assert Removal(container="logs", path=path).steps == steps


@pytest.mark.parametrize(
    "path",
    [
        "/resources/limits/nvidia.com~1gpu",
        "resources.limits.nvidia.com/gpu",
        ".livenessProbe",
        "livenessProbe.",
        "env[]",
        "env[A",
        "env]A[",
        "env[A]name",
        "a..b",
        "env[a[b]]",
        "$.livenessProbe",
        "liveness probe",
        "",
    ],
)
def test_other_forms_are_no_path(path: str) -> None:
    with pytest.raises(ValidationError):
        Removal(container="vllm", path=path)


STAYS = [
    ("vllm", "name"),
    ("vllm", "ports"),
    ("vllm", "ports[http]"),
    ("vllm", "ports['http'].name"),
    ("router", "ports[metrics].containerPort"),
    ("vllm", "env"),
    ("vllm", "env[LOADLINE_SERVICE]"),
    ("vllm", 'env["VLLM_HOST_IP"].valueFrom.fieldRef'),
    ("vllm", "env[VLLM_NIXL_SIDE_CHANNEL_PORT].value"),
    (None, "containers"),
    (None, "containers[vllm]"),
    (None, "spec.containers['router']"),
    (None, "containers[vllm].livenessProbe"),
    (None, "spec"),
    (None, "metadata"),
    (None, "metadata.labels"),
    (None, "metadata.labels[loadline.dev/service]"),
    (None, "serviceAccountName"),
    (None, "spec.serviceAccountName"),
]
GOES = [
    ("vllm", "ports[grpc]"),
    ("vllm", "ports[http].protocol"),
    ("vllm", "env[HF_TOKEN]"),
    ("vllm", "envFrom"),
    ("vllm", "resources"),
    ("vllm", "lifecycle"),
    ("logs", "ports"),
    ("logs", "env"),
    ("logs", "name"),
    (None, "containers[logs]"),
    (None, "containers[vllm-exporter]"),
    (None, "volumes[shm]"),
    (None, "spec.securityContext.seccompProfile"),
    (None, "initContainers[warm]"),
    (None, "metadata.labels[example.com/team]"),
    (None, "metadata.annotations[loadline.dev/x]"),
]


@pytest.mark.parametrize(("container", "path"), STAYS)
def test_what_others_find_a_pod_by_stays(container: str | None, path: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"{path} can't be removed: ")):
        Removal(container=container, path=path)


@pytest.mark.parametrize(("container", "path"), GOES)
def test_all_else_may_go(container: str | None, path: str) -> None:
    assert Removal(container=container, path=path).path == path


def test_the_expressions_mean_the_same_to_the_api_server() -> None:
    """It reads them as RE2, which knows neither look-ahead nor references."""
    for pattern in (FORM, *(one.pattern for one in KEPT)):
        assert not re.search(r"\(\?[=!<]|\\[1-9]", pattern)


def test_what_was_never_admitted_takes_nothing_away() -> None:
    """A service that was stored before, or whose definition was loosened, must still become its pods."""
    good = {"container": "vllm", "path": "livenessProbe"}
    odd = [{"path": "/a"}, {"path": 5}, {}, None, "livenessProbe", {"path": "a", "b": 1}, good]
    assert removals_of({"remove": odd}) == (Removal(**good),)
    assert removals_of({"remove": "all"}) == removals_of({}) == ()


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        ("livenessProbe", "remove is not a list: write a list of"),
        ([{"path": "/a"}], r"remove\[0\]: join field names by dots"),
        ([{"container": "vllm", "path": "ports"}], r"remove\[0\]: ports can't be removed: probes, Services"),
    ],
)
def test_a_cluster_wide_template_is_checked_alike(remove: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_removals({"remove": remove})
