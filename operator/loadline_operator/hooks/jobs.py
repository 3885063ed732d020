"""
What the chart's hooks have in common: a ServiceAccount, requests to the API server, a timeout, an exit
status.

Helm runs them as Jobs before an install, an upgrade or a removal, and on `helm test`. Each does one
thing and ends. A user reads the output after `helm` has failed, so the hooks print whole sentences.
They keep no state, and share only the client of the API server with the operator.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from loadline_api.api_errors import NotFound, Unavailable
from loadline_api.conditions import ConditionType
from loadline_api.names import Resource
from loadline_api.power_domains import Mode
from loadline_api.reasons import Reason
from loadline_api.visible_texts import visible_lines
from loadline_operator.kube.api_requests import JSON, ApiRequests
from loadline_operator.kube.connections import Connection
from loadline_operator.kube.kinds import Manifest
from loadline_operator.metrics import Metrics
from loadline_policies.errors import LoadlineError

MERGE = "application/merge-patch+json"

AGAIN_S = 1.0
"""Between two attempts. For example, the API server rejects a kind while its definition is changing."""


class HookFailed(LoadlineError):
    """The hook failed; the text says what was not done, and what to do about it."""


class Api:
    """Requests to the API server, each repeated until it is answered or the hook's time is over."""

    def __init__(self, requests: ApiRequests, *, deadline_s: float) -> None:
        self._requests, self._deadline_s = requests, deadline_s

    @property
    def over(self) -> bool:
        """Whether the hook's time is over."""
        return time.monotonic() > self._deadline_s

    async def get(self, path: str) -> Manifest:
        """The object or list at a path; KubeError if the API server refuses."""
        return await self._request("GET", path)

    async def items(self, resource: Resource) -> list[Manifest]:
        """All objects of a kind, unparsed, since any version wrote them; none if it isn't served."""
        try:
            return list((await self.get(resource.path()))["items"])
        except NotFound:
            return []

    async def patch(
        self, path: str, body: Manifest, *, content: str = MERGE, query: Mapping[str, str] | None = None
    ) -> Manifest:
        """Patch the object at a path, with a JSON merge patch by default; returns the patched object."""
        return await self._request("PATCH", path, body=body, content=content, query=query)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        body: Manifest | None = None,
        content: str = JSON,
        query: Mapping[str, str] | None = None,
    ) -> Manifest:
        while True:
            try:
                return await self._requests.send(
                    method.lower(), method, path, body=body, query=query, content=content
                )
            except Unavailable:
                if self.over:
                    raise
            await asyncio.sleep(AGAIN_S)


UNTOLD = frozenset({Reason.NODES_SILENT, Reason.NOT_REFRESHED})
"""Reasons with which condition Enforcing is Unknown although nodes may be armed."""

Job = Callable[[Api, argparse.Namespace], Awaitable[None]]
"""What a hook does; it raises HookFailed when it could not, and prints what it did."""


def enforces(one: Manifest) -> bool:
    """Whether a NodeCapacity or PowerDomain reports enforced limits, or limits that are about to be set.

    A PowerDomain in mode Enforce counts too if its state is unknown, because nodes or coordinator are silent.
    """
    found = find_enforcing(one)
    asked = (one.get("spec") or {}).get("mode") == Mode.ENFORCE
    telling = {Reason.MODE_ENFORCE, *(UNTOLD if asked else ())}
    return found is not None and (found["status"] == "True" or found["reason"] in telling)


def find_enforcing(one: Manifest) -> Manifest | None:
    """The condition Enforcing of a NodeCapacity or PowerDomain; None if it has none."""
    conditions = (one.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == ConditionType.ENFORCING), None)


def parser(module: str, description: str, *, timeout_s: int) -> argparse.ArgumentParser:
    """An argument parser with the options that every hook has."""
    options = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    options.add_argument("--kubeconfig", type=Path, help="kubeconfig to use instead of the pod's account")
    options.add_argument(
        "--timeout-seconds", type=float, default=timeout_s, help="timeout in seconds (default: %(default)s)"
    )
    return options


def run(job: Job, options: argparse.Namespace) -> int:
    """Run a hook; 0 if it succeeds, 1 if it fails, with the error on stderr."""
    try:
        asyncio.run(_run(job, options))
    except LoadlineError as error:
        print(visible_lines(f"error: {error}"), file=sys.stderr)
        return 1
    return 0


async def _run(job: Job, options: argparse.Namespace) -> None:
    connection = await Connection.open(options.kubeconfig)
    requests = ApiRequests(connection.client(), Metrics())
    try:
        await job(Api(requests, deadline_s=time.monotonic() + options.timeout_seconds), options)
    finally:
        await requests.close()
