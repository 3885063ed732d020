"""
An agent's port for workers as it is in the product, before an API server that only reviews tokens.

A test says which token is bound to which pod, to which service each pod belongs, and which settings
there are.
"""

import base64
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self

import httpx

from loadline_agent.kube.clients import Kube
from loadline_agent.kube.credentials import Credentials
from loadline_agent.metrics import Metrics
from loadline_agent.workers.token_reviews import TokenPod, TokenReviews
from loadline_agent.workers.worker_records import Sections
from loadline_agent.workers.worker_servers import WorkerServer
from loadline_api.names import TOKEN_NODE_NAME, TOKEN_POD_NAME, TOKEN_POD_UID
from loadline_api.worker_messages import WORKER_AUDIENCE, WorkerPod, WorkerReport
from testbed.clocks import Clock

NODE: Final = "node-0"
POD: Final = TokenPod(namespace="prod", name="chat-main-0", uid="uid-0", node=NODE)
OTHER: Final = replace(POD, name="chat-main-1", uid="uid-1")
SERVICE: Final = "prod/chat"


def token(name: str, *, expires_s: float | None = None) -> str:
    """A token with the form of a projected one."""
    claims = json.dumps({"sub": name, "exp": time.time() + 3600.0 if expires_s is None else expires_s})
    return f"head.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.signature"


TOKEN: Final = token("pod-0")


def report(pod: TokenPod = POD, **changes: Any) -> WorkerReport:
    """What the worker in a pod reports."""
    said = WorkerPod(uid=pod.uid, name=pod.name, namespace=pod.namespace)
    told = WorkerReport(pod=said, service="chat", pool="main", ranks=2, generation=0)
    return told.model_copy(update=changes)


def reviewed(pod: TokenPod | None, *, audience: str = WORKER_AUDIENCE) -> dict[str, Any]:
    """The status of a TokenReview of a pod's token; without a pod, of a token that is no good."""
    if pod is None:
        return {"authenticated": False, "error": "invalid bearer token"}
    extra = {TOKEN_POD_NAME: [pod.name], TOKEN_POD_UID: [pod.uid], TOKEN_NODE_NAME: [pod.node]}
    user = {"username": f"system:serviceaccount:{pod.namespace}:engine", "extra": extra}
    return {"authenticated": True, "audiences": [audience], "user": user}


@dataclass
class WorkerAgent:
    """One node's port for workers, as an async context manager.

    Reports are answered by `answers`, if that is set, else with `sections`. `reviews` counts what the API
    server was asked.
    """

    pods: dict[str, TokenPod] = field(default_factory=lambda: {TOKEN: POD})
    services: dict[tuple[str, str], tuple[str, str]] = field(
        default_factory=lambda: {(one.namespace, one.name): (SERVICE, "main") for one in (POD, OTHER)}
    )
    sections: Sections | None = field(default_factory=dict)
    answers: Callable[[WorkerReport], Sections] | None = None
    clock: Callable[[], float] = field(default_factory=Clock)
    api_is_away: bool = False
    reviews: int = 0
    port: int = 0
    metrics: Metrics = field(default_factory=Metrics)

    async def __aenter__(self) -> Self:
        credentials = Credentials(server="http://api.test")
        self._kube = Kube(credentials, transport=httpx.MockTransport(self._review))
        self.server = WorkerServer(
            TokenReviews(self._kube, clock=self.clock, wall=time.time),
            node=NODE,
            service_of=lambda namespace, name: self.services.get((namespace, name)),
            settings_for=lambda report: self.answers(report) if self.answers else self.sections,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.port = await self.server.open("127.0.0.1", port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.close()
        await self._kube.close()

    def counted(self, outcome: str) -> float:
        """How many reports had this outcome."""
        line = f'loadline_worker_reports_total{{outcome="{outcome}"}} '
        return next(float(one.removeprefix(line)) for one in self._series() if one.startswith(line))

    def _series(self) -> list[str]:
        return self.metrics.text().decode().splitlines()

    def _review(self, request: httpx.Request) -> httpx.Response:
        self.reviews += 1
        if self.api_is_away:
            return httpx.Response(503)
        spec = json.loads(request.content)["spec"]
        assert spec["audiences"] == [WORKER_AUDIENCE]
        return httpx.Response(201, json={"status": reviewed(self.pods.get(spec["token"]))})
