"""
Brings the CustomResourceDefinitions up to date, before an install and before an upgrade.

Helm creates what it finds in a chart's `crds/` and never touches it again, so a new field
would be dropped by the old definition without a word. This hook applies the definitions
of its own image, which are those that the operator of the same image was written for. It
never deletes one: that would delete every object of the kind.

It writes in Helm's name and leaves no other manager behind. Helm 4 applies `crds/` at an
install, and a field that somebody else had set differently would be a conflict there.

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
"""The name under which Helm itself applies."""

TIMEOUT_S = 60
PAUSE_S = 0.5


def main(arguments: Sequence[str] | None = None) -> int:
    """Apply all; 0 once the API server serves them."""
    module, summary = (
        "loadline_operator.definitions",
        "Bring the CustomResourceDefinitions up to date.",
    )
    return jobs.run(bring, jobs.parser(module, summary, timeout_s=TIMEOUT_S).parse_args(arguments))


async def bring(api: Api, options: argparse.Namespace) -> None:
    """Apply every definition, then wait until all are served."""
    names = [await _bring_one(api, crd(definition)) for definition in DEFINITIONS]
    while waiting := [name for name in names if not is_served(await api.get(_path(name)))]:
        if api.over:
            raise HookFailed(f"{', '.join(waiting)}: not served after {options.timeout_seconds:g} s")
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
    print(f"{name}: {'created' if before is None else 'changed' if before != after else 'as it should be'}")
    while not await _is_helms(api, name):
        pass  # the server wrote the status in between
    return name


async def _generation(api: Api, name: str) -> int | None:
    try:
        return int((await api.get(_path(name)))["metadata"]["generation"])
    except NotFound:
        return None


async def _is_helms(api: Api, name: str) -> bool:
    """Drop what other managers claim; the values stay, and are those just applied. False: try again."""
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
