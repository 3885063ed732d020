"""
A pod that runs the host's engine: six gigabytes are mounted, not copied into an image.

For tests only. The part of a pod template that is made here goes into a service's
`template`, or into the operator's defaults for all engines: a small image to stand in,
and from the host, read only and at their own paths, the engine's environment, the Python
that it was made from and the system's libraries. The model comes to `/models/tiny`.
Nothing of the host can be written; what the engine writes goes to its home and `/tmp`,
which last as long as the pod.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadline_api.names import ENGINE_CONTAINER
from testbed.engines.venvs import ENVIRONMENT, Venv
from testbed.images.builds import Image

Object = dict[str, Any]

MODEL = "/models/tiny"
MODEL_URI = f"file://{MODEL}"
"""What the service's `model.uri` says."""

ARGUMENTS = ("--dtype=float32", "--enforce-eager", "--max-model-len=2048")
"""What the service's `engine.arguments` say: without compiling, and exact enough to compare texts."""

TRANSFER_DEVICE = "cpu"
"""The operator's `kvBufferDevice`."""

PLUGINS = "/opt/plugins"
LIBRARIES = ("/usr", "/lib", "/lib64", "/bin")
ASKED_MEMORY, MOST_MEMORY = "2Gi", "6Gi"
"""An engine takes some 2 GiB, one of them its KV cache; more while it starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineMounts:
    """What a pod needs to be an engine; `plugins` is a directory with packages for the engine to find."""

    venv: Venv
    model: Path
    image: Image
    plugins: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)

    def template(self) -> Object:
        """The part of a pod template."""
        return {"spec": {"containers": [self._container()], "volumes": self._volumes()}}

    def router_template(self) -> Object:
        """As `template`, for the router out of the same environment; its own image does as well."""
        mounts = [one for one in self._mounts() if one["mountPath"] != MODEL]
        named = {one["name"] for one in mounts}
        container = {
            "name": "router",
            "image": self.image.name,
            "imagePullPolicy": "Never",
            "command": [str(self.venv.router)],
            "volumeMounts": mounts,
        }
        volumes = [one for one in self._volumes() if one["name"] in named]
        return {"spec": {"containers": [container], "volumes": volumes}}

    def hosted(self) -> dict[str, Path]:
        """Where in the pod which directory of the host is seen; all of them read only."""
        own = [self.venv.path, self.venv.base, *map(Path, LIBRARIES)]
        # On a merged system all but /usr are links into it, in the image as on the host.
        kept = {str(path): path for path in own if not path.is_symlink()}
        added = {PLUGINS: self.plugins} if self.plugins else {}
        return {**kept, MODEL: self.model, **added}

    def _container(self) -> Object:
        paths = [str(self.venv.path / "bin"), "/usr/bin", "/bin"]
        told = {**ENVIRONMENT, "PATH": os.pathsep.join(paths), "USER": "engine", **self.environment}
        if self.plugins:
            told["PYTHONPATH"] = PLUGINS
        return {
            "name": ENGINE_CONTAINER,
            "image": self.image.name,
            "imagePullPolicy": "Never",
            "command": [str(self.venv.python), "-m", "vllm.entrypoints.openai.api_server"],
            "env": [{"name": name, "value": value} for name, value in told.items()],
            "resources": {"requests": {"memory": ASKED_MEMORY}, "limits": {"memory": MOST_MEMORY}},
            "volumeMounts": [*self._mounts(), {"name": "engine-tmp", "mountPath": "/tmp"}],
        }

    def _mounts(self) -> list[Object]:
        return [
            {"name": f"engine-{number}", "mountPath": inside, "readOnly": True}
            for number, inside in enumerate(self.hosted())
        ]

    def _volumes(self) -> list[Object]:
        hosted = enumerate(self.hosted().values())
        volumes: list[Object] = [
            {"name": f"engine-{number}", "hostPath": {"path": str(path), "type": "Directory"}}
            for number, path in hosted
        ]
        return [*volumes, {"name": "engine-tmp", "emptyDir": {}}]
