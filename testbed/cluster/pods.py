"""
The bed plays kubelet for pods: what the scheduler binds runs at once, in name only.

A watch on pods bound to the bed's nodes. Each is given the status that a kubelet
writes once all containers run and are ready; each that is being deleted is removed.
Deployments thus become Available, and no container ever starts. The watch begins
anew, with everything there is, whenever it ends: so an API server that was away is
caught up with, and nothing is remembered but addresses.

`running_status` is pure; `PodRunner` is a thread with an event loop of its own, since
a blocked read of a watch can't be cancelled in any other way.
"""

import asyncio
import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing

import httpx

from loadline_agent.kube.transports import Transport
from testbed.cluster.clients import STRATEGIC, Object, checked
from testbed.cluster.errors import ApiError

POD_NETWORK = ipaddress.ip_network("10.244.0.0/16")

BACK_OFF_S = 0.5
"""Chosen: the pace at which an API server that is away is tried again."""

CONDITIONS = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")


def running_status(pod: Object, *, address: str, now: str) -> Object:
    """The status a kubelet writes for a pod whose containers all run and are ready."""
    spec = pod["spec"]
    return {
        "phase": "Running",
        "hostIP": "127.0.0.1",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": now,
        "conditions": [{"type": c, "status": "True", "lastTransitionTime": now} for c in CONDITIONS],
        "containerStatuses": [_running(c, now) for c in spec["containers"]],
        "initContainerStatuses": [_completed(c, now) for c in spec.get("initContainers", [])],
    }


def _running(container: Object, now: str) -> Object:
    return {**_named(container), "ready": True, "started": True, "state": {"running": {"startedAt": now}}}


def _completed(container: Object, now: str) -> Object:
    """An init container ran and ended, unless it is a sidecar."""
    if container.get("restartPolicy") == "Always":
        return _running(container, now)
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return {**_named(container), "ready": True, "started": False, "state": {"terminated": ended}}


def _named(container: Object) -> Object:
    image = container["image"]
    return {"name": container["name"], "image": image, "imageID": f"none://{image}", "restartCount": 0}


class PodRunner:
    """Sets the pods of some nodes Running, and lets them go when they are deleted."""

    def __init__(self, server: str, context: ssl.SSLContext, *, plays: Callable[[str], bool]) -> None:
        self._server, self._context, self._plays = server, context, plays
        self._addresses = POD_NETWORK.hosts()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self.failures = 0
        self._thread = threading.Thread(target=self._main, name="pod-runner", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop watching; the pods stay as they are."""
        self._loop.call_soon_threadsafe(self._cancel)
        self._thread.join()

    def _main(self) -> None:
        self._task = self._loop.create_task(self._run())
        try:
            self._loop.run_until_complete(_until_cancelled(self._task))
        finally:
            self._loop.close()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        timeout = httpx.Timeout(10.0, read=None)
        async with httpx.AsyncClient(
            base_url=self._server, timeout=timeout, trust_env=False, transport=Transport(verify=self._context)
        ) as http:
            while True:
                try:
                    async with aclosing(_bound_pods(http)) as pods:
                        async for pod in pods:
                            await self._serve(http, pod)
                except (httpx.HTTPError, ApiError):
                    self.failures += 1
                await asyncio.sleep(BACK_OFF_S)

    async def _serve(self, http: httpx.AsyncClient, pod: Object) -> None:
        """What a kubelet would do about this state of this pod: nothing, mostly."""
        metadata, node = pod["metadata"], pod["spec"].get("nodeName")
        if not node or not self._plays(node):
            return
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            await _unless_gone(_delete(http, path=path, uid=metadata["uid"]))
        elif pod["status"].get("phase", "Pending") == "Pending":
            await _unless_gone(self._run_pod(http, path, pod=pod))

    async def _run_pod(self, http: httpx.AsyncClient, path: str, *, pod: Object) -> None:
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status = running_status(pod, address=str(next(self._addresses)), now=now)
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        headers = {"Content-Type": STRATEGIC}
        checked(await http.patch(f"{path}/status", content=json.dumps(body), headers=headers))


async def _bound_pods(http: httpx.AsyncClient) -> AsyncGenerator[Object, None]:
    """Every bound pod there is, then every one that changes, until the server ends the watch."""
    parameters = {"watch": "true", "fieldSelector": "spec.nodeName!="}
    async with http.stream("GET", "/api/v1/pods", params=parameters) as response:
        if not response.is_success:
            await response.aread()
            checked(response)
        async for line in response.aiter_lines():
            event = json.loads(line)
            if event["type"] in {"ADDED", "MODIFIED"}:
                yield event["object"]


async def _delete(http: httpx.AsyncClient, *, path: str, uid: str) -> None:
    """Remove this very pod, not a successor of its name."""
    body = json.dumps({"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
    checked(await http.request("DELETE", path, content=body, headers={"Content-Type": "application/json"}))


async def _unless_gone(act: Coroutine[None, None, None]) -> None:
    """A pod that is no longer there, or no longer this one, needs nothing."""
    try:
        await act
    except ApiError as error:
        if error.code not in {404, 409}:
            raise


async def _until_cancelled(task: asyncio.Task[None]) -> None:
    try:
        await task
    except asyncio.CancelledError:
        return
