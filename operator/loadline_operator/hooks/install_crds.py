"""
Updates the CustomResourceDefinitions, before an install and before an upgrade.

Helm creates the definitions in a chart's `crds/` and never updates them, and an old definition makes the
API server drop new fields silently. So this hook applies the definitions of its own image, which match the
operator in the same image. It never deletes a definition: that would delete every object of the kind.

It applies under Helm's field manager and removes all others. Helm 4 applies `crds/` at an install, and
would report a conflict for a field that another manager has set differently.

    python -m loadline_operator.definitions
"""

import argparse
import asyncio
from collections.abc import Sequence

from loadline_api.api_errors import NotFound, WriteConflict
from loadline_api.generate import DEFINITIONS, crd
from loadline_operator.hooks import jobs
from loadline_operator.hooks.jobs import Api, HookFailed
from loadline_operator.kube.api_requests import APPLY
from loadline_operator.kube.kinds import Manifest

DEFINITIONS_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

MANAGER = "helm"
"""Helm's own field manager."""

TIMEOUT_S = 60
PAUSE_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply all definitions; 0 once the API server serves them."""
    module, summary = (
        "loadline_operator.definitions",
        "Create or update Loadline's CustomResourceDefinitions.",
    )
    return jobs.run(bring, jobs.parser(module, summary, timeout_s=TIMEOUT_S).parse_args(arguments))


async def bring(api: Api, options: argparse.Namespace) -> None:
    """Apply every definition, then wait until all are served."""
    names = [await _bring_one(api, crd(definition)) for definition in DEFINITIONS]
    while waiting := [name for name in names if not is_served(await api.get(_path(name)))]:
        if api.over:
            raise HookFailed(
                f"the API server doesn't serve {', '.join(waiting)} after {options.timeout_seconds:g} s:"
                " see their status.conditions"
            )
        await asyncio.sleep(PAUSE_S)


def is_served(definition: Manifest) -> bool:
    """Whether the API server has accepted the names and serves the kind."""
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def helms(fields: list[Manifest]) -> list[Manifest]:
    """Those entries of `managedFields` that may stay: Helm's apply, and the server's own status."""
    return [
        entry
        for entry in fields
        if entry.get("subresource") or (entry["manager"], entry["operation"]) == (MANAGER, "Apply")
    ]


async def _bring_one(api: Api, wanted: Manifest) -> str:
    name = str(wanted["metadata"]["name"])
    before = await _generation(api, name)
    query = {"fieldManager": MANAGER, "force": "true"}
    there = await api.patch(_path(name), wanted, content=APPLY, query=query)
    after = there["metadata"]["generation"]
    print(f"{name}: {'created' if before is None else 'updated' if before != after else 'unchanged'}")
    while not await _is_helms(api, name):
        pass  # the server wrote the status in between
    return name


async def _generation(api: Api, name: str) -> int | None:
    try:
        return int((await api.get(_path(name)))["metadata"]["generation"])
    except NotFound:
        return None


async def _is_helms(api: Api, name: str) -> bool:
    """Remove other field managers; the values stay, and are those just applied. False: try again."""
    metadata = (await api.get(_path(name)))["metadata"]
    kept = helms(metadata["managedFields"])
    if len(kept) == len(metadata["managedFields"]):
        return True
    alone = {"resourceVersion": metadata["resourceVersion"], "managedFields": kept}
    try:
        await api.patch(_path(name), {"metadata": alone})
    except WriteConflict:
        return False
    return True


def _path(name: str) -> str:
    return f"{DEFINITIONS_PATH}/{name}"
