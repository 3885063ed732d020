"""
The demo of a served model: the first steps of a new user, on a real Kubernetes node.

It starts a cluster, runs `helm install`, applies an example with separate prefill and decode
engines, streams a completion, reads the counters that prove the split, runs `kubectl scale`, edits a
policy, and prints the status. Every step prints the command that a user would type. The demo is a
test as well: a step that fails ends it with an error.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml
from rich.console import Console

from demos.serving import completions
from demos.serving.clusters import Engine, ServingCluster
from loadline_api.names import DEFAULT_POWER_POLICY, POLICY_KEY, POWER_DOMAINS, SYSTEM_NAMESPACE
from testbed.cluster.errors import BedError
from testbed.cluster.waits import wait_for

EXAMPLES = Path(__file__).parents[2] / "examples"
CHAT, DOMAIN = EXAMPLES / "chat-pd.yaml", EXAMPLES / "power-domain.yaml"
NAME = "chat-pd"
PROMPT = "The load line of a ship shows how deep she may lie in the water, and the captain says:"
HOT_S = 2.0
"""The goal: seconds until an edited policy is in force."""


class Demonstration:
    """The demo's steps on one cluster, printed on one console."""

    def __init__(self, cluster: ServingCluster, console: Console) -> None:
        self._cluster, self._console = cluster, console
        self._service = cluster.service(NAME)
        self._shown: list[str] = []

    def play(self) -> None:
        self._install()
        self._apply()
        self._ask()
        self._count()
        self._scale()
        self._edit()
        self._look()

    def _install(self) -> None:
        with self._act("helm install", "helm install loadline charts/loadline --wait"):
            self._cluster.install()

    def _apply(self) -> None:
        with self._act(
            "two prefill engines, one decode engine, a router", f"kubectl apply -f examples/{CHAT.name}"
        ):
            self._cluster.apply(CHAT, DOMAIN)
            self._show_until_ready()

    def _show_until_ready(self) -> None:
        """Show the condition Ready and the logs of starting pods whenever they change."""

        def ready() -> bool | None:
            is_so = self._service.condition("Ready").get("status") == "True"
            return True if is_so and self._service.current else None

        self._service.wait(ready, "Ready=True", show=self._show)

    def _show(self, seen: str) -> None:
        lines = seen.splitlines()
        for line in (one for one in lines if one not in self._shown):
            self._console.print(f"    {line}", style="dim", highlight=False, markup=False, soft_wrap=True)
        self._shown = lines

    def _ask(self) -> None:
        command = f'curl {self._service.url}/v1/completions -d \'{{"model": "{NAME}", "stream": true, …}}\''
        with self._act("stream a completion", command):
            self._console.print(f"    [dim]{PROMPT}[/]", end="", highlight=False)
            for piece in completions.stream(self._service.url, self._service.model, PROMPT):
                self._console.print(piece, end="", style="bold", highlight=False)
            self._console.print()

    def _count(self) -> None:
        with self._act(
            "check that prefill and decode were split",
            "curl DECODE_POD:8000/metrics | grep external_kv_transfer",
        ):
            tokens = self._service.external_kv_tokens()
            sent = sum(self._service.counters("main", "vllm:nixl_bytes_transferred_sum").values())
            self._console.print(f"    prompt tokens whose KV cache came from prefill: [bold]{tokens:.0f}[/]")
            self._console.print(f"    bytes that NIXL transferred: [bold]{sent:,.0f}[/]")
            if tokens <= 0:
                raise BedError(
                    "the decode engine computed every prompt itself: no KV cache came from prefill"
                )

    def _scale(self) -> None:
        command = f"kubectl scale inferenceservices.loadline.dev {NAME} --replicas=2"
        with self._act("scale decode to two engines", command):
            self._service.scale(2)
            self._show_until_ready()

    def _edit(self) -> None:
        policy = self._cluster.bed.kubectl(
            "get", "configmap", DEFAULT_POWER_POLICY, "-n", SYSTEM_NAMESPACE, "-o", "yaml"
        )
        document = yaml.safe_load(yaml.safe_load(policy)["data"][POLICY_KEY])
        document.setdefault("settings", {})["threshold1Percent"] = 75
        command = (
            f"kubectl edit configmap {DEFAULT_POWER_POLICY} -n {SYSTEM_NAMESPACE}   # threshold1Percent: 75"
        )
        with self._act("edit the power policy", command):
            before = self._policy_hash()
            began_s = time.monotonic()
            body = {"data": {POLICY_KEY: yaml.safe_dump(document)}}
            self._cluster.bed.kubectl(
                "patch", "configmap", DEFAULT_POWER_POLICY, "-n", SYSTEM_NAMESPACE, "-p", yaml.safe_dump(body)
            )
            now = wait_for(
                lambda: found if (found := self._policy_hash()) != before else None,
                f"another policy than {before} is in force",
                standstill_s=10 * HOT_S,
                every_s=0.05,
            )
            took_s = time.monotonic() - began_s
            self._console.print(
                f"    {before} → [bold]{now}[/] in force after {took_s:.1f} s; no pod restarts for a policy"
            )

    def _policy_hash(self) -> str:
        name = yaml.safe_load(DOMAIN.read_text())["metadata"]["name"]
        domain = self._cluster.bed.client.get(POWER_DOMAINS.path(name))
        return str(domain.get("status", {}).get("appliedPolicyHash", "none"))

    def _look(self) -> None:
        kubectl = self._cluster.bed.kubectl
        with self._act("read the status", "kubectl get loadline; kubectl get pods"):
            self._print(kubectl("get", "inferenceservices.loadline.dev,powerdomains.loadline.dev"))
            self._print(kubectl("get", "pods", "-o", "wide"))
            for one in self._service.now["status"]["conditions"]:
                self._print(f"{one['type']:<16}{one['status']:<8}{one['reason']:<18}{one['message']}")

    def _print(self, text: str) -> None:
        for line in text.strip().splitlines():
            self._console.print(f"    {line}", highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def _act(self, title: str, command: str) -> Iterator[None]:
        self._console.print(f"\n[bold cyan]▌[/] [bold]{title}[/]")
        self._console.print(f"    $ {command}", style="green", highlight=False, markup=False, soft_wrap=True)
        began_s = time.monotonic()
        yield
        self._console.print(f"    [dim]{time.monotonic() - began_s:.1f} s[/]", highlight=False)


def main() -> int:
    """Run the demo; returns 1 after printing an error if a step failed."""
    console = Console()
    try:
        with ExitStack() as up:
            with console.status("starting a Kubernetes node that runs pods …"):
                cluster = up.enter_context(ServingCluster(Engine.VLLM))
            Demonstration(cluster, console).play()
    except (BedError, KeyboardInterrupt) as error:
        Console(stderr=True).print(f"error: {error or 'interrupted'}", style="red", markup=False)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
