"""
What a kubelet would do about the chart's hooks, on a bed where no container runs.

Helm waits for a hook's Job to end, and on a bed of control-plane depth it never would. So
`Hooks` runs the container's own command as a local process, with a token of the pod's own
ServiceAccount, and writes the pod's end: what is tested is the chart's command under the
chart's rights, and Helm's waiting for it.
"""

import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.cluster.bed import Bed
from testbed.cluster.clients import STRATEGIC, Object
from testbed.cluster.errors import ApiError
from testbed.cluster.waits import wait_for

TIMEOUT_S = 120.0
HOOKS = "app.kubernetes.io/component in (crds,release,test,upgrade)"
"""Pods of the chart that do one thing and end."""

PAUSE_S = 0.1


class Hooks:
    """Runs the pods of the chart's hooks, here, until the block ends.

    `output` is what each printed last, by the hook's name. Addresses of Services, which mean
    nothing to a local process, are replaced as `addresses` says.
    """

    def __init__(self, bed: Bed) -> None:
        self.output: dict[str, str] = {}
        self.addresses: dict[str, str] = {}
        self._bed = bed
        self._played: set[str] = set()
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._main, name="hooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure

    def _main(self) -> None:
        try:
            while not self._ended.wait(PAUSE_S):
                for pod in self._bed.client.get("/api/v1/pods", labelSelector=HOOKS)["items"]:
                    if pod["metadata"]["uid"] not in self._played:
                        self._played.add(pod["metadata"]["uid"])
                        self._play(pod)
        except Exception as error:  # the thread's end would otherwise be a test that waits for ever
            self._failure = error

    def _play(self, pod: Object) -> None:
        (container,) = pod["spec"]["containers"]
        arguments = [self._addressed(argument) for argument in container.get("args", ())]
        account, namespace = pod["spec"]["serviceAccountName"], pod["metadata"]["namespace"]
        kubeconfig = self._kubeconfig(account, namespace)
        module = container["command"][-1]
        command = [sys.executable, "-m", module, *arguments, "--kubeconfig", str(kubeconfig)]
        done = subprocess.run(command, text=True, capture_output=True, timeout=TIMEOUT_S, check=False)
        self.output[str(container["name"])] = done.stdout + done.stderr
        self._end(pod, container, status=done.returncode)

    def _kubeconfig(self, account: str, namespace: str) -> Path:
        """The account may be new, and the pod there before its token can be asked for."""
        refusal = ""

        def kubeconfig() -> Path | None:
            nonlocal refusal
            try:
                return self._bed.identity(account, namespace).kubeconfig
            except ApiError as error:
                refusal = str(error)
                return None

        what = f"a token of {namespace}/{account}"
        return wait_for(kubeconfig, what, standstill_s=10.0, why=lambda: refusal, every_s=PAUSE_S)

    def _end(self, pod: Object, container: Object, *, status: int) -> None:
        """What a kubelet writes once the container has ended."""
        state = {"terminated": {"exitCode": status, "reason": "Completed" if status == 0 else "Error"}}
        named: dict[str, Any] = {key: container[key] for key in ("name", "image")}
        named |= {"imageID": "", "ready": False, "restartCount": 0, "state": state}
        phase = "Failed" if status else "Succeeded"
        metadata = pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        body = {"status": {"phase": phase, "containerStatuses": [named]}}
        self._bed.client.patch(path, body, content_type=STRATEGIC)

    def _addressed(self, argument: str) -> str:
        for told, meant in self.addresses.items():
            argument = argument.replace(told, meant)
        return argument
