"""
`loadline release --node`: has the agent on a node restore the node's original limits, at once.

For a node that no coordinator releases: its domain is deleted, or the domain never has headroom. The
release doesn't wait for headroom, so the command first prints how much the node may draw afterwards,
and asks for confirmation. It runs `loadline-agent release --now` in the agent's container by
`kubectl exec`, so Kubernetes' RBAC for exec decides who may use it. The result is what the agent read back.
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
"""Timeouts of a read by kubectl and of the release: the agent takes up to 45 s, plus the exec. Chosen."""

CONTAINER, COMMAND = "agent", "loadline-agent"


@dataclass(frozen=True, slots=True)
class Kubectl:
    """The kubectl program with a kubeconfig, a context, and the namespace in which Loadline is installed."""

    namespace: str
    kubeconfig: Path | None = None
    context: str | None = None

    def run(self, *arguments: str, timeout_s: float) -> "subprocess.CompletedProcess[str]":
        """Run kubectl; CommandError if it isn't installed or takes longer than `timeout_s`."""
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
            raise CommandError("kubectl isn't installed", hint="install it, or add it to PATH") from error
        except subprocess.TimeoutExpired as error:
            raise CommandError(
                f"kubectl did not finish within {timeout_s:.0f} s; the node may or may not be released",
                hint="check condition `Enforcing` of its NodeCapacity, and run the same command again",
            ) from error

    def asked(self, *arguments: str) -> str:
        """The output of a kubectl command that reads; CommandError with kubectl's own error."""
        done = self.run(*arguments, timeout_s=ASKED_WITHIN_S)
        if done.returncode != 0:
            raise CommandError(
                " ".join(done.stderr.split())[:300], hint="check that `kubectl get nodes` works"
            )
        return done.stdout


def release(node: str, kubectl: Kubectl, *, yes: bool, dry_run: bool) -> Exit:
    """Release a node; FAILURE if the agent could not restore everything."""
    pod = _pod(node, kubectl)
    aside().print(_announced(node, kubectl), soft_wrap=True)
    if dry_run:
        return Exit.OK
    question = "Release it now, without waiting for headroom?"
    confirm(question, yes=yes, instead="`--yes`, or `--dry-run` to change nothing")
    aside().print(f"waiting up to {RELEASED_WITHIN_S:.0f} s for the agent in pod {pod}", soft_wrap=True)
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
            f"no Loadline agent runs on node `{node}` in namespace {kubectl.namespace}",
            hint="name the namespace in which Loadline is installed with `--namespace`,"
            f" or run `{command}` on the node as root",
        )
    return names[0]


def _announced(node: str, kubectl: Kubectl) -> str:
    """What the release will do, from what the node's agent last published."""
    found = kubectl.asked("get", NODE_CAPACITIES.full_name, node, "--ignore-not-found", "--output=json")
    if not found.strip():
        return f"node {node} has no NodeCapacity: how much it may draw after the release isn't known"
    try:
        status = NodeCapacity.parse(json.loads(found)).status
    except (InvalidInput, ValueError):
        return f"can't parse the NodeCapacity of {node}: how much it may draw after the release isn't known"
    enforcing = find(status.conditions, ConditionType.ENFORCING)
    if enforcing is None or not enforcing.is_true:
        return f"{node} reports that it holds no limits; the command orders a release all the same"
    return f"{node}: {_rise(status.gpus)}, whatever the rest of the domain draws now. {_again(status.domain)}"


def _rise(gpus: Sequence[Gpu]) -> str:
    rises = [
        gpu.max_watts - gpu.enforced_watts
        for gpu in gpus
        if gpu.max_watts is not None and gpu.enforced_watts is not None
    ]
    if len(rises) < len(gpus):
        return f"after the release its {len(gpus)} GPUs may draw up to their own maximum"
    watts = sum(rises)
    return f"after the release its {len(gpus)} GPUs may draw up to {watts} W more than their limits allow now"


def _again(domain: str | None) -> str:
    if domain is None:
        return ""
    return f"PowerDomain {domain} sets limits again if it selects this node and is in mode Enforce."
