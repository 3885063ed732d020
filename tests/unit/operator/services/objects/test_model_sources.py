"""Where a model comes from, and what a pod needs to have it."""

import shlex

import pytest

from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.engine_traits import HubModel
from loadline_operator.services.objects.model_sources import fetching, image_and_path, source_of

PLAIN, CACHED = Defaults(), Defaults(model_cache="/var/lib/models")


def test_a_model_of_the_hub_is_fetched_by_name_and_revision() -> None:
    source = source_of("hf://org/llm@refs/pr/1", PLAIN)
    assert source.model == "org/llm"
    assert source.arguments == ("--revision=refs/pr/1",)
    assert source.hub == HubModel("org/llm", "refs/pr/1")
    assert fetching([source.hub])[:4] == ["hf", "download", "org/llm", "--revision=refs/pr/1"]
    assert source_of("hf://org/llm", PLAIN).arguments == ()


def test_other_formats_of_the_same_weights_are_not_fetched() -> None:
    excluded = [one for one in fetching([HubModel("org/llm")]) if one.startswith("--exclude=")]
    assert "--exclude=original/*" in excluded
    assert not any("safetensors" in one or ".bin" in one or ".json" in one for one in excluded)


def test_several_are_fetched_one_after_the_other_until_one_fails() -> None:
    shell, options, script = fetching(
        [HubModel("org/llm"), HubModel("org/draft", "v 2"), HubModel("org/llm")]
    )
    assert (shell, options) == ("sh", "-ec")
    llm, draft = script.splitlines()
    assert llm.split()[:3] == ["hf", "download", "org/llm"]
    assert shlex.split(draft)[:4] == ["hf", "download", "org/draft", "--revision=v 2"]


def test_of_a_tokenizer_no_weights_are_fetched() -> None:
    *_, words = fetching([HubModel("org/llm"), HubModel("org/words", weights=False)])[-1].splitlines()
    assert "'--exclude=*.safetensors'" in words
    assert fetching([HubModel("org/llm"), HubModel("org/llm", weights=False)]) == fetching(
        [HubModel("org/llm")]
    )


def test_what_is_fetched_stays_on_the_node_or_with_the_pod() -> None:
    kept, own = source_of("hf://org/llm", CACHED), source_of("hf://org/llm", PLAIN)
    assert kept.volume == {
        "name": "model-cache",
        "hostPath": {"path": "/var/lib/models", "type": "DirectoryOrCreate"},
    }
    assert own.volume == {"name": "model-cache", "emptyDir": {}}
    assert kept.environment == own.environment == {"HF_HUB_CACHE": own.directory}


@pytest.mark.parametrize(
    ("uri", "model"), [("pvc://weights", "/model"), ("pvc://weights/llm/v2/", "/model/llm/v2")]
)
def test_a_claim_is_mounted_to_be_read(uri: str, model: str) -> None:
    source = source_of(uri, CACHED)
    assert source.model == model
    assert source.volume is not None
    assert source.volume["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert source.hub is None


def test_an_image_is_mounted_and_pulled_by_the_kubelet() -> None:
    source = source_of("oci://registry.example:5000/models/llm:v2/weights", PLAIN)
    assert source.volume == {
        "name": "model",
        "image": {"reference": "registry.example:5000/models/llm:v2"},
    }
    assert source.model == "/model/weights"


def test_a_file_is_the_templates_affair() -> None:
    source = source_of("file:///models/tiny", PLAIN)
    assert (source.model, source.volume, source.hub) == ("/models/tiny", None, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("llm", ("llm", "")),
        ("org/llm", ("org/llm", "")),
        ("llm:v1", ("llm:v1", "")),
        ("llm:v1/weights", ("llm:v1", "weights")),
        ("llm:2/weights", ("llm:2/weights", "")),
        ("host:5000/llm", ("host:5000/llm", "")),
        ("host:5000/org/llm:v1", ("host:5000/org/llm:v1", "")),
        ("host:5000/org/llm:v1/a/b", ("host:5000/org/llm:v1", "a/b")),
        ("host/org/llm@sha256:ab/a", ("host/org/llm@sha256:ab", "a")),
        ("host/org/llm:v1@sha256:ab/a", ("host/org/llm:v1@sha256:ab", "a")),
    ],
)
def test_a_path_in_an_image_begins_after_tag_or_digest(text: str, expected: tuple[str, str]) -> None:
    assert image_and_path(text) == expected
