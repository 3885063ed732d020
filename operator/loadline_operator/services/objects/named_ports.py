"""
The ports by which pods are found, by name: `http`, where requests, probes and scrapes go.

The number may be a template's; the name is ours, and whoever asks for it would be left
without an answer if a template took it away. A sidecar may have it instead, and answer in
the engine's place.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from loadline_operator.kube.kinds import Manifest

METRICS_PORT = "metrics"


def number_of(container: Mapping[str, Any], name: str) -> int | None:
    """The number of a container's port of that name."""
    ports = container.get("ports")
    found = [
        one.get("containerPort")
        for one in (ports if isinstance(ports, list) else ())
        if isinstance(one, Mapping) and one.get("name") == name
    ]
    return found[0] if found and type(found[0]) is int else None


def kept(container: Manifest, ports: Iterable[Manifest], *, containers: Iterable[Any]) -> Manifest:
    """The container with those of `ports` whose names no container of the pod has.

    What is no list of ports is left as it is, since the API server says best what is wrong with it.
    """
    there = container.get("ports") or []
    if not isinstance(there, list):
        return container
    known = [name for one in containers for name in _names(one)]
    missing = [port for port in ports if port["name"] not in known]
    return {**container, "ports": [*there, *missing]} if missing else container


def _names(container: Any) -> list[Any]:
    ports = container.get("ports") if isinstance(container, Mapping) else None
    return [one.get("name") for one in (ports if isinstance(ports, list) else ()) if isinstance(one, Mapping)]
