"""The cluster's defaults are read whole or refused with the field, the value and the fix."""

from pathlib import Path

import pytest

from loadline_operator.services.objects import defaults
from loadline_operator.services.objects.defaults import Defaults
from loadline_policies.errors import InvalidInput

WHOLE = """
engineImage: mirror.example/vllm:v0.32.0
routerImage: mirror.example/router:v0.1.17
gpuResource: amd.com/gpu
modelCache: /var/lib/models
ipFamily: IPv6
kvBufferDevice: cpu
engineTemplate: {tolerations: [{operator: Exists}]}
routerTemplate: {nodeSelector: {pool: cpu}}
agentUrl: http://loadline-agent-workers.loadline-system.svc:9479
endpointPicker: "{service}-epp"
monitorLabels: {release: prometheus}
"""


def test_an_empty_file_leaves_all_defaults() -> None:
    assert defaults.parse("") == defaults.parse("{}") == defaults.parse("# nothing yet") == Defaults()


@pytest.mark.parametrize(("host", "family"), [("10.96.0.1", None), ("fd00:10:96::1", "IPv6"), ("", None)])
def test_the_family_is_that_of_the_api_servers_service(host: str, family: str | None) -> None:
    assert defaults.with_family(Defaults(), service_host=host).ip_family == family
    assert defaults.with_family(Defaults(ip_family="IPv4"), service_host=host).ip_family == "IPv4"


def test_where_nothing_is_found_nothing_else_was_asked_for() -> None:
    found = defaults.with_family(Defaults(), service_host="10.96.0.1")
    assert found.model_dump(exclude_unset=True) == {}


def test_every_key_is_read() -> None:
    read = defaults.parse(WHOLE)
    changed = {name for name in Defaults.model_fields if getattr(read, name) != getattr(Defaults(), name)}
    assert changed == set(Defaults.model_fields)
    assert (read.engine_image, read.model_cache) == ("mirror.example/vllm:v0.32.0", "/var/lib/models")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "engine_imag: x",
            "engine_imag is 'x': remove it, or upgrade the operator to the version that knows it",
        ),
        ("engineImage: 5", "engineImage is 5: use a string"),
        ("engineImage: ''", "engineImage is '': set a value, or remove the key"),
        (
            "modelCache: models",
            "modelCache is 'models': set it to an absolute path without a slash at its end",
        ),
        (
            "modelCache: /models/",
            "modelCache is '/models/': set it to an absolute path without a slash at its end",
        ),
        ("endpointPicker: 'a b'", "endpointPicker is 'a b': set it to a Service's name, "),
        ("ipFamily: ipv6", "ipFamily is 'ipv6': set it to a known value, or remove the key"),
        ("engineTemplate: [a]", 'engineTemplate is ["a"]: use a mapping'),
        ("monitorLabels: {a: 1}", "monitorLabels.a is 1: use a string"),
        ("[a]", '--defaults is ["a"]: use a mapping of keys to values'),
        ("a: b: c", "--defaults is 'not YAML': mapping values are not allowed here"),
    ],
)
def test_a_fault_names_field_value_and_fix(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        defaults.parse(text)
    assert str(caught.value).startswith(sentence)


def test_a_missing_file_is_told_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"--defaults is '.*none\.yaml': name a readable file"):
        defaults.read(tmp_path / "none.yaml")
    (tmp_path / "some.yaml").write_text("gpuResource: amd.com/gpu")
    assert defaults.read(tmp_path / "some.yaml").gpu_resource == "amd.com/gpu"
