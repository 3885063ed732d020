"""
A cluster that serves models: a real node with fake GPUs, and Loadline installed by its chart.

It differs from a user's cluster in three ways: the GPUs are fakes below NVML, images are loaded from
files, and the engine's 6 GB are mounted from this machine instead of being part of an image. Only
`values` contains these differences; the manifests are those of `examples/`.

`Engine` chooses what answers requests: vLLM on this machine's CPU with a tiny model, or a stand-in
with the same API, for tests that don't need tokens.
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from demos.serving.helms import Helm
from demos.serving.services import Service
from loadline_api.names import NODE_RESTRICTION_PREFIX, SYSTEM_NAMESPACE
from testbed.cluster.gpus import RUNTIME_CLASS, Gpus
from testbed.cluster.node_beds import NodeBed
from testbed.engines import models, venvs
from testbed.images import builds
from testbed.images.engine_mounts import TRANSFER_DEVICE, EngineMounts

GPUS = 8

ROW = f"{NODE_RESTRICTION_PREFIX}row"
"""The label by which the example's power domain selects its nodes."""

ON_A_CPU = ("--dtype=float32", "--enforce-eager")
"""Arguments that vLLM needs on CPUs; on GPUs it needs none of them."""


class Engine(StrEnum):
    """The program that answers requests: vLLM, or a stand-in for it."""

    VLLM = "vllm"
    STANDIN = "standin"


IMAGES = {Engine.VLLM: "base", Engine.STANDIN: "standin"}


class ServingCluster:
    """A context manager: starts the bed and GPUs, and has methods for what a user does on the cluster.

    vLLM serves `model`, by default a small one without experts, and finds the packages in `plugins`.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        gpus: int = GPUS,
        audit: bool = False,
        model: Path | None = None,
        plugins: Path | None = None,
    ) -> None:
        names = ("loadline", "router", IMAGES[engine])
        self._images = {name: builds.ensure(name) for name in names}
        self._engine, self._count = engine, gpus
        self._pods = self._mounted(model, plugins) if engine is Engine.VLLM else {}
        self.bed = NodeBed(audit=audit)
        self.helm = Helm(self.bed)
        self._gpus: Gpus | None = None

    def __enter__(self) -> Self:
        self.bed.__enter__()
        try:
            self.bed.kubectl("label", "node", self.bed.node.name, f"{ROW}=a")
            self._gpus = self.bed.add_gpus(self._count)
            for image in self._images.values():
                self.bed.load_image(image.archive)
        except BaseException as error:
            self.bed.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bed.__exit__(kind, error, trace)

    @property
    def gpus(self) -> Gpus:
        """The node's fake GPUs, while the cluster runs."""
        assert self._gpus is not None
        return self._gpus

    @property
    def engine_image(self) -> str:
        return self._images[IMAGES[self._engine]].name

    def install(self, **more: Any) -> None:
        """Install the chart, or upgrade its release with these values, and wait until its pods are ready."""
        self.helm.install(merged(self.values(), more))

    def values(self) -> dict[str, Any]:
        """The chart's values for a cluster without a registry and without real GPUs."""
        repository, tag = self._images["loadline"].name.rsplit(":", 1)
        return {
            "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
            "engine": {
                "image": self.engine_image,
                "kvBufferDevice": TRANSFER_DEVICE,
                "template": self._pods,
            },
            "router": {"image": self._images["router"].name},
            "agent": {"runtimeClassName": RUNTIME_CLASS},
        }

    def apply(self, *manifests: Path | Mapping[str, Any], namespace: str = "default") -> None:
        """`kubectl apply`, with files or objects."""
        documents = [one for given in manifests for one in _documents(given)]
        self.bed.kubectl(
            "apply", "--namespace", namespace, "--filename", "-", input=yaml.safe_dump_all(documents)
        )

    def service(self, name: str, namespace: str = "default") -> Service:
        """An InferenceService of the cluster, by name."""
        return Service(self.bed, name=name, namespace=namespace)

    def system_pods(self, component: str) -> list[str]:
        """The names of the chart's pods of a component."""
        selector = f"app.kubernetes.io/name=loadline,app.kubernetes.io/component={component}"
        found = self.bed.kubectl("get", "pods", "-n", SYSTEM_NAMESPACE, "-l", selector, "-o", "name")
        return [line.removeprefix("pod/") for line in found.split()]

    def _mounted(self, model: Path | None, plugins: Path | None) -> dict[str, Any]:
        """A pod template that makes every engine's pod run the vLLM installed on this machine."""
        mounts = EngineMounts(
            venv=venvs.ensure(),
            model=model or models.ensure(),
            image=self._images[IMAGES[self._engine]],
            plugins=plugins,
        )
        template = mounts.template()
        template["spec"]["containers"][0]["command"] += ON_A_CPU
        return template


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `more` laid over it, mapping by mapping, as Helm merges values."""
    return {
        key: merged(base[key], value)
        if isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        else value
        for key, value in {**base, **more}.items()
    }


def _documents(given: Path | Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    if isinstance(given, Path):
        return [one for one in yaml.safe_load_all(given.read_text()) if one]
    return [given]
