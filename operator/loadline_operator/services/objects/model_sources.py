"""
Where a model's files come from, and how they get into the engine's pod.

Weights are the slowest part of a start, so none is fetched twice where it can be helped:
a claim or an image is mounted as it is, and what the Hub has is fetched by a container
of its own before the engine starts, into one directory of the node if there is one. The
Hub's own file locks let several pods of a node wait for one download. The engine then
runs offline, so that a Hub that is away or a branch that has moved can't stop it.

What else an engine loads of the Hub (a draft, a tokenizer, an adapter) is fetched by the
same container into the same directory; of some only what describes a model is needed.

What the engine is told as its model is the same text in every pool, since engines that
hand each other KV compare it.
"""

import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.objects.defaults import Defaults
from loadline_operator.services.objects.engine_traits import HubModel

FETCHER = "fetch-model"
"""The init container that fetches from the Hub."""

CACHE = "/models-cache"
MODEL = "/model"
"""Where pods mount the Hub's cache, and what a claim or an image holds."""

OTHER_FORMATS = ("original/*", "onnx/*", "openvino/*", "*.onnx", "*.msgpack", "*.h5", "*.ot", "*.tflite")
"""What repositories hold of the same weights for other engines."""

WEIGHTS = ("*.safetensors", "pytorch_model*.bin", "*.pth", "*.gguf")
"""What describes no model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A model as a pod has it; `hub` is what is to be fetched, if somebody must."""

    model: str
    arguments: tuple[str, ...] = ()
    hub: HubModel | None = None
    environment: dict[str, str] = field(default_factory=dict)
    volume: Manifest | None = None
    directory: str = ""


def source_of(uri: str, defaults: Defaults) -> Source:
    """How the model of a URI gets into a pod."""
    scheme, _, rest = uri.partition("://")
    makers = {"hf": _hub, "pvc": _claim, "oci": _image, "file": _file}
    return makers[scheme](rest, defaults)


def _hub(rest: str, defaults: Defaults) -> Source:
    name, _, revision = rest.partition("@")
    chosen = (f"--revision={revision}",) if revision else ()
    cache = defaults.model_cache
    kept: Manifest = {"hostPath": {"path": cache, "type": "DirectoryOrCreate"}} if cache else {"emptyDir": {}}
    return Source(
        model=name,
        arguments=chosen,
        hub=HubModel(name, revision),
        environment={"HF_HUB_CACHE": CACHE},
        volume={"name": "model-cache", **kept},
        directory=CACHE,
    )


def fetching(models: Iterable[HubModel]) -> list[str]:
    """The command that fetches models, one after the other; the first that can't be had ends it."""
    wanted = tuple(dict.fromkeys(models))
    whole = {(one.name, one.revision) for one in wanted if one.weights}
    first, *others = [
        _download(one) for one in wanted if one.weights or (one.name, one.revision) not in whole
    ]
    return ["sh", "-ec", "\n".join(map(shlex.join, (first, *others)))] if others else first


def _download(one: HubModel) -> list[str]:
    left_out = OTHER_FORMATS if one.weights else (*OTHER_FORMATS, *WEIGHTS)
    chosen = [f"--revision={one.revision}"] if one.revision else []
    return ["hf", "download", one.name, *chosen, *(f"--exclude={pattern}" for pattern in left_out)]


def _claim(rest: str, defaults: Defaults) -> Source:
    claim, _, path = rest.partition("/")
    volume = {"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    return _mounted(volume, path)


def _image(rest: str, defaults: Defaults) -> Source:
    reference, path = image_and_path(rest)
    return _mounted({"name": "model", "image": {"reference": reference}}, path)


def _file(rest: str, defaults: Defaults) -> Source:
    return Source(model="/" + rest.lstrip("/"))


def _mounted(volume: Manifest, path: str) -> Source:
    inside = path.strip("/")
    return Source(model=f"{MODEL}/{inside}" if inside else MODEL, volume=volume, directory=MODEL)


def image_and_path(text: str) -> tuple[str, str]:
    """An image's reference and the path in it: the path begins after the tag or the digest.

    Without either, all of the text is the reference, since nothing else tells them apart.
    """
    parts = text.split("/")
    for index, part in enumerate(parts):
        is_port = index == 0 and len(parts) > 1 and part.partition(":")[2].isdigit()
        if (":" in part or "@" in part) and not is_port:
            return "/".join(parts[: index + 1]), "/".join(parts[index + 1 :])
    return text, ""
