"""
Where the engine in a pod answers with its metrics, as far as the pod itself tells.

Loadline's own pods are made alike, but attached ones are whatever somebody else made of vLLM or
SGLang: another port, TLS, a proxy beside the engine. So the pod is read as its author wrote it, the
surest word first: the annotations that Prometheus' own examples and KServe use; then of the engine's
container the argument `--port`, a port named `http`, a probe, an only port; and at last the engine's
default. Where nothing of it is true, the service says it in `workloadRef.metrics`.

Pure. Somebody else wrote the pod, so a word that can't be is no word.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from loadline_api.engines import TLS
from loadline_api.names import ENGINE_CONTAINER, ENGINE_PORT, HTTP_PORT, SERVICE_LABEL

SGLANG_PORT: Final = 30000
"""Where SGLang listens unless it is told otherwise."""

ANNOTATIONS: Final = ("prometheus.io", "prometheus.kserve.io")
"""Prefixes of `port`, `scheme` and `path`. KServe's agents add theirs to each predictor."""

PROBES: Final = ("readinessProbe", "startupProbe", "livenessProbe")

LONGEST_PATH: Final = 256
LONGEST_COMMAND: Final = 16_384
"""Characters of a command line that are looked through: scripts in a pod may be long."""

_PORT_ARGUMENT = re.compile(r"--port[=\s\"',]+([0-9]{1,5})(?![0-9])")
_TLS_ARGUMENT = re.compile(rf"(?:{'|'.join(TLS)})[=\s]")
_SGLANG = re.compile(r"\bsglang\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEndpoint:
    """Where to ask on the pod's address."""

    port: int = ENGINE_PORT
    scheme: str = "http"
    path: str = "/metrics"

    def url(self, host: str) -> str:
        """The whole of it, for a pod at `host`."""
        return f"{self.scheme}://{f'[{host}]' if ':' in host else host}:{self.port}{self.path}"


def endpoint_of(
    metadata: Mapping[str, Any], spec: Mapping[str, Any], *, has_gpus: Callable[[Mapping[str, Any]], bool]
) -> EngineEndpoint:
    """Where the engine of a pod answers, by the pod's manifest; `has_gpus` is asked of a container."""
    ours = SERVICE_LABEL in (metadata.get("labels") or {})
    container = _engine(_mappings(spec.get("containers")), has_gpus)
    told = {} if ours else _annotated(metadata.get("annotations") or {})
    words = _command(container)
    port = told.get("port") or _port(container, words)
    scheme = told.get("scheme") or _scheme(container, words, port=port)
    return EngineEndpoint(port=port, scheme=scheme, path=told.get("path") or "/metrics")


def _engine(
    containers: list[Mapping[str, Any]], has_gpus: Callable[[Mapping[str, Any]], bool]
) -> Mapping[str, Any]:
    """The container that runs the engine: one with GPUs, else ours by its name, else the first."""
    ranked = sorted(containers, key=lambda one: (not has_gpus(one), one.get("name") != ENGINE_CONTAINER))
    return next(iter(ranked), {})


def _annotated(annotations: Mapping[str, Any]) -> dict[str, Any]:
    """What the annotations tell, as far as it can be so."""
    told: dict[str, Any] = {}
    for prefix in ANNOTATIONS:
        port, scheme, path = (annotations.get(f"{prefix}/{key}") for key in ("port", "scheme", "path"))
        if _is_port(port):
            told.setdefault("port", int(str(port)))
        if scheme in ("http", "https"):
            told.setdefault("scheme", scheme)
        if isinstance(path, str) and path.startswith("/") and len(path) <= LONGEST_PATH:
            told.setdefault("path", path)
    return told


def _command(container: Mapping[str, Any]) -> str:
    """The command line in one text, since it may lie in a shell's one argument."""
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    return " ".join(map(str, words))[:LONGEST_COMMAND]


def _port(container: Mapping[str, Any], words: str) -> int:
    argument = _PORT_ARGUMENT.findall(words)
    if argument and _is_port(argument[-1]):
        return int(argument[-1])
    ports = _ports(container)
    if HTTP_PORT in ports:
        return ports[HTTP_PORT]
    probed = next((port for _, port in _probes(container)), None)
    if probed is not None:
        return probed
    if len(ports) == 1:
        return next(iter(ports.values()))
    return SGLANG_PORT if _SGLANG.search(words) else ENGINE_PORT


def _scheme(container: Mapping[str, Any], words: str, *, port: int) -> str:
    """TLS where the engine is given a certificate, or a probe asks this port by it."""
    probes = dict(reversed([(at, scheme) for scheme, at in _probes(container)]))
    return "https" if _TLS_ARGUMENT.search(words + " ") or probes.get(port) == "HTTPS" else "http"


def _ports(container: Mapping[str, Any]) -> dict[str, int]:
    """The container's ports by name; one without has its number for a name."""
    return {
        str(one.get("name") or one["containerPort"]): int(one["containerPort"])
        for one in _mappings(container.get("ports"))
        if _is_port(one.get("containerPort")) and one.get("protocol", "TCP") == "TCP"
    }


def _probes(container: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Scheme and port of each probe by HTTP."""
    ports = _ports(container)
    for name in PROBES:
        asked = (container.get(name) or {}).get("httpGet") or {}
        said = asked.get("port")
        port = str(ports.get(str(said), said))
        if _is_port(port):
            yield str(asked.get("scheme", "HTTP")), int(port)


def _is_port(said: object) -> bool:
    text = str(said)
    return text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535


def _mappings(things: Iterable[Any] | None) -> list[Mapping[str, Any]]:
    return [one for one in things or () if isinstance(one, Mapping)]
