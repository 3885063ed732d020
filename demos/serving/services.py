"""
An InferenceService from its user's side: reads its status, and sends it requests.

A wait is for a condition. If it gives up, the error has the last status and the ends of the logs of the
pods that aren't ready, which usually contain the cause.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import httpx

from demos.serving import completions
from loadline_api.names import ENGINE_PORT, INFERENCE_SERVICES
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import KubectlFailed
from testbed.cluster.waits import wait_for
from testbed.doubles.operators import pods_of

T = TypeVar("T")

STANDSTILL_S = 240.0
"""Give up after so long without progress: on two idle cores a compiling engine logs nothing for a minute."""

READY_S = 1800.0
"""Give up after so long in any case: three engines that start on two idle cores take four minutes."""

LOG_LINES = 15

LOOK_EVERY_S = 0.25

TRANSFERRED = 'source="external_kv_transfer"'


class Service:
    """One InferenceService of a bed."""

    def __init__(self, bed: Bed, *, name: str, namespace: str) -> None:
        self.bed, self.name, self.namespace = bed, name, namespace

    @property
    def now(self) -> Object:
        return self.bed.client.get(INFERENCE_SERVICES.path(self.name, namespace=self.namespace))

    @property
    def current(self) -> bool:
        """Whether the operator has observed the newest spec."""
        now: dict[str, Any] = self.now
        return bool(now.get("status", {}).get("observedGeneration") == now["metadata"]["generation"])

    @property
    def model(self) -> str:
        """The model name that clients request."""
        return str(self.now["spec"]["model"].get("name", self.name))

    @property
    def url(self) -> str:
        """The URL of the service from this machine: the cluster IP of its Service."""
        front = self.bed.client.get(f"/api/v1/namespaces/{self.namespace}/services/{self.name}")
        return f"http://{front['spec']['clusterIP']}:{ENGINE_PORT}"

    def condition(self, type: str) -> Object:
        """A condition of the status; empty if it is not set."""
        found = (one for one in self.now.get("status", {}).get("conditions", ()) if one["type"] == type)
        return next(found, {})

    def until(
        self, type: str, status: str, *, reason: str | None = None, limit_s: float = STANDSTILL_S
    ) -> Object:
        """Wait until the condition has this status (and reason, if given); returns the condition."""

        def holds() -> Object | None:
            found = self.condition(type)
            same = found.get("status") == status and (reason is None or found.get("reason") == reason)
            return found if same and self.current else None

        return self.wait(holds, f"{type}={status}{f' ({reason})' if reason else ''}", limit_s=limit_s)

    def wait(
        self,
        found: Callable[[], T | None],
        what: str,
        *,
        limit_s: float = STANDSTILL_S,
        show: Callable[[str], None] = lambda text: None,
    ) -> T:
        """Wait until `found` returns a value; GaveUp after `limit_s` seconds without progress.

        Progress is a change of the condition Ready, or of the logs of pods that aren't ready: an engine
        that loads or compiles writes some. GaveUp contains the ends of those logs.
        """
        return wait_for(
            found,
            f"{self.namespace}/{self.name}: {what}",
            standstill_s=limit_s,
            most_s=READY_S,
            seen=self._progress,
            show=show,
            why=self._why_not,
            every_s=LOOK_EVERY_S,
        )

    def _progress(self) -> str:
        ready = self.condition("Ready")
        said = f"{ready.get('reason', 'Unknown')}: {ready.get('message', 'not reconciled yet')}"
        steps = [f"{pod['metadata']['name']}: {self._log(pod, lines=1)}" for pod in self._unready()]
        return "\n".join([said, *steps])

    def _why_not(self) -> str:
        found = []
        for pod in self._unready():
            name = pod["metadata"]["name"]
            found += [f"pod {name}, the end of its log:", self._log(pod, lines=LOG_LINES)]
            found += [f"see `kubectl describe pod -n {self.namespace} {name}`"]
        return "\n".join(found)

    def _unready(self) -> list[Object]:
        return [pod for pod in self.pods() if not _is_ready(pod)]

    def _log(self, pod: Object, *, lines: int) -> str:
        """The last lines of the logs of a pod's containers, or a sentence that there are none."""
        name = pod["metadata"]["name"]
        try:
            said = self.bed.kubectl("logs", "-n", self.namespace, name, "--all-containers", f"--tail={lines}")
        except KubectlFailed:
            return "no container has started yet"
        return "\n".join(said.strip().splitlines()[-lines:]) or "nothing logged yet"

    def scale(self, replicas: int) -> None:
        """Run `kubectl scale` on the service."""
        self.bed.kubectl(
            "scale", INFERENCE_SERVICES.full_name, self.name, "-n", self.namespace, f"--replicas={replicas}"
        )

    def ready_replicas(self, pool: str = "main") -> int:
        """The number of ready replicas of a pool, from the status."""
        pools = {one["name"]: one for one in self.now.get("status", {}).get("pools", ())}
        return int(pools.get(pool, {}).get("readyReplicas", 0))

    def pods(self, pool: str | None = None) -> list[Object]:
        """The service's pods that are not being deleted."""
        return pods_of(self.bed, name=self.name, namespace=self.namespace, pools=[pool] if pool else ())

    def complete(self, prompt: str, *, tokens: int = 16) -> str:
        """The greedy completion of a prompt, through the Service."""
        return completions.complete(self.url, self.model, prompt, tokens=tokens)

    def counters(self, pool: str, prefix: str) -> dict[str, float]:
        """All metrics series with this prefix, summed over the pool's pods."""
        sums: dict[str, float] = {}
        for pod in self.pods(pool):
            address = pod["status"]["podIP"]
            text = httpx.get(f"http://{address}:{ENGINE_PORT}/metrics", timeout=10, trust_env=False).text
            for line in text.splitlines():
                if line.startswith(prefix):
                    series, value = line.rsplit(" ", 1)
                    sums[series] = sums.get(series, 0.0) + float(value)
        return sums

    def external_kv_tokens(self) -> float:
        """Prompt tokens whose KV cache decode engines received from prefill engines."""
        found = self.counters("main", "vllm:prompt_tokens_by_source_total")
        return sum(value for series, value in found.items() if TRANSFERRED in series)


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
