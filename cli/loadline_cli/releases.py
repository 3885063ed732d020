"""
`loadline release --node`: has the agent on a node give back what was found there, at once.

For a node that no coordinator releases: its domain is gone, its row is always full. It asks for no
headroom, so it says first how much the node may draw then, and asks. The order is given where only
the agent's own user can, in its container, by `kubectl exec`: so who may do this is who may exec
there. What came of it is what the agent read back.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadline_api.conditions import ConditionType, find
from loadline_api.names import AGENT_SELECTOR, NODE_CAPACITIES, STATE_DIRECTORY
from loadline_api.node_capacities import Gpu, NodeCapacity
from loadline_api.visible_texts import visible_lines
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import aside
from loadline_cli.questions import confirm
from loadline_policies.errors import InvalidInput

ASKED_WITHIN_S, RELEASED_WITHIN_S = 15.0, 90.0
"""How long one question may take, and the release: the agent has 45 s, and exec needs some. Chosen."""

CONTAINER, COMMAND = "agent", "loadline-agent"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """kubectl as one user of one cluster; `namespace` is the system's."""

    namespace: str
    kubeconfig: Path | None = None
    context: str | None = None

    def run(self, *arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """What kubectl answers; CommandError where it can't be run or takes too long."""
        given = ["kubectl", f"--namespace={self.namespace}", f"--request-timeout={timeout_s:.0f}s"]
        given += [f"--kubeconfig={self.kubeconfig}"] if self.kubeconfig is not None else []
        given += [f"--context={self.context}"] if self.context is not None else []
        try:
            return subprocess.run(
                [*given, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise CommandError("there is no kubectl", hint="install it, or add it to PATH") from error
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"no answer in {timeout_s:.0f} s; whether the node is released isn't known",
                hint="look at Enforcing of its NodeCapacity, and run the same again",
            ) from error

    def asked(self, *arguments: str) -> str:
        """The answer to a question; CommandError says what kubectl says against it."""
        done = self.run(*arguments, timeout_s=ASKED_WITHIN_S)
        if done.returncode != 0:
            raise CommandError(" ".join(done.stderr.split())[:300], hint="see that `kubectl get nodes` works")
        return done.stdout


def release(node: str, kubectl: Kubectl, *, yes: bool, dry_run: bool) -> Exit:
    """Release a node; FAILURE where something was left as it is."""
    pod = _pod(node, kubectl)
    aside().print(_announced(node, kubectl), soft_wrap=True)
    if dry_run:
        return Exit.OK
    question = "Release it now, without asking for headroom?"
    confirm(question, yes=yes, instead="`--yes`, or `--dry-run` to look only")
    aside().print(f"ordered; the agent in pod {pod} has up to {RELEASED_WITHIN_S:.0f} s", soft_wrap=True)
    command = (f"--container={CONTAINER}", "--", COMMAND, "release", "--now")
    done = kubectl.run("exec", pod, *command, timeout_s=RELEASED_WITHIN_S)
    print(visible_lines(done.stdout), end="")
    print(visible_lines(done.stderr), end="", file=sys.stderr)
    return Exit.OK if done.returncode == 0 else Exit.FAILURE


def _pod(node: str, kubectl: Kubectl) -> str:
    where = (f"--selector={AGENT_SELECTOR}", f"--field-selector=spec.nodeName={node},status.phase=Running")
    names = kubectl.asked("get", "pods", *where, "--output=jsonpath={.items[*].metadata.name}").split()
    if not names:
        command = f"{COMMAND} release --state {STATE_DIRECTORY}"
        raise CommandError(
            f"no agent runs on `{node}` in namespace {kubectl.namespace}",
            hint=f"name the system namespace with `--namespace`, or run `{command}` on the node as root",
        )
    return names[0]


def _announced(node: str, kubectl: Kubectl) -> str:
    """What the release will do, by what the node's own agent last published."""
    found = kubectl.asked("get", NODE_CAPACITIES.full_name, node, "--ignore-not-found", "--output=json")
    if not found.strip():
        return f"{node} has published nothing: how much it may draw after its release isn't known"
    try:
        status = NodeCapacity.parse(json.loads(found)).status
    except (InvalidInput, ValueError):
        return f"what {node} has published can't be read: how much it may draw then isn't known"
    enforcing = find(status.conditions, ConditionType.ENFORCING)
    if enforcing is None or not enforcing.is_true:
        return f"{node} says that it holds no limits; it is told to release all the same"
    return f"{node}: {_rise(status.gpus)}, whatever the row draws now. {_again(status.domain)}"


def _rise(gpus: Sequence[Gpu]) -> str:
    rises = [
        gpu.max_watts - gpu.enforced_watts
        for gpu in gpus
        if gpu.max_watts is not None and gpu.enforced_watts is not None
    ]
    if len(rises) < len(gpus):
        return f"its {len(gpus)} GPUs may draw all that they can"
    return f"its {len(gpus)} GPUs may draw up to {sum(rises)} W more than their limits now allow"


def _again(domain: str | None) -> str:
    if domain is None:
        return ""
    return f"PowerDomain {domain} arms it again if it selects this node and is in mode Enforce."
