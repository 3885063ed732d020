"""
Why a pod has no node, from what its scheduler says of it.

A scheduler counts nodes by what keeps the pod off each. Whatever isn't a resource (taints,
selectors, ports) stops the look at a node, so the nodes that are left are those that would
take the pod if they had room, and of each of these all resources that lack are told. From
that follows whom to blame: GPUs only where no node that fits otherwise has them; a resource
that lacks on all of these is named before one that lacks on some.

The counts move with every node, so they decide and are not told. A pod of which no scheduler
has said anything waits for one, which is known only after a while.

Pure: a pod as the API server sends it comes in, at most one fault goes out. Called by `pod_faults`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from loadline_api.quantities import amount, amount_text
from loadline_api.reasons import Reason
from loadline_api.sentences import listed, some_of
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.faults import PodFault

DEFAULT_SCHEDULER = "default-scheduler"

CLAIM_LOST = re.compile(r'persistentvolumeclaim "([^"]+)" (not found|bound to non-existent)')
NODES = re.compile(r"^(?:0/(\d+) )?nodes are (?:un)?available: ")
"""kube-scheduler's words, and Volcano's."""

INSUFFICIENT = re.compile(r"^Insufficient (\S+)$")
TOO_MANY_PODS = "Too many pods"

GPU = re.compile(r"^(nvidia|amd)\.com/|gpu|/mig-|gaudi|/tpu|neuron|/npu|ascend|accelerator", re.I)
NO_GPU = re.compile(r"rdma|roce|hostdev|/hca|nics?$", re.I)
"""Network cards, some of which are named after a vendor of GPUs."""


def is_gpu(resource: str) -> bool:
    """Whether an extended resource is a GPU, part of one, or what serves as one, by its name."""
    return "/" in resource and GPU.search(resource) is not None and NO_GPU.search(resource) is None


def unplaced(pod: Manifest) -> PodFault | None:
    """Why a pod has no node; None where it has one, or where its scheduler has said nothing yet."""
    placed = _placement(pod)
    if placed.get("status") != "False":
        return None
    name = pod["metadata"]["name"]
    if placed.get("reason") == "SchedulingGated":
        return _gated(pod)
    said = str(placed.get("message") or "")
    lost = CLAIM_LOST.search(said)
    if lost is not None:
        text = f"pod {name} mounts PersistentVolumeClaim {lost[1]}, which does not exist: create it"
        return PodFault(reason=Reason.MODEL_UNAVAILABLE, text=text)
    return _no_room(pod, _reading(said))


def unseen(pod: Manifest) -> PodFault | None:
    """What to say of a pod without a node on which no scheduler has said a word, once that has lasted."""
    if pod["spec"].get("nodeName") or _placement(pod):
        return None
    scheduler = pod["spec"].get("schedulerName") or DEFAULT_SCHEDULER
    text = (
        f"pod {pod['metadata']['name']} waits for the scheduler {scheduler}, which has reported nothing about"
        " it: check that it is installed and running, or correct schedulerName"
    )
    waits_for = f"the scheduler {scheduler}, so it is unknown whether nodes have room for them"
    return PodFault(reason=Reason.NOT_SCHEDULED, text=text, waits_for=waits_for)


def why_unplaced(message: str) -> tuple[str, ...]:
    """The scheduler's reasons, sorted, without its counts of nodes, which move with every node."""
    return tuple(sorted(_reading(message).counts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """How many nodes there are, and how many of them each reason keeps the pod off, as far as it is told."""

    nodes: int | None
    counts: Mapping[str, int]

    @property
    def reached(self) -> int | None:
        """Nodes that would take the pod if they had room."""
        others = sum(count for reason, count in self.counts.items() if _resource(reason) is None)
        return self.nodes - others if self.nodes is not None else None

    @property
    def lacking(self) -> dict[str, int]:
        """Resources that lack, with the number of nodes."""
        named = ((_resource(reason), count) for reason, count in self.counts.items())
        return {name: count for name, count in sorted(named, key=str) if name is not None}

    def blamed(self) -> tuple[str, ...]:
        """The resources that keep the pod off the nodes that fit otherwise; none where it can't be told."""
        lacking, reached = self.lacking, self.reached
        everywhere = tuple(
            name for name, count in lacking.items() if reached is not None and count >= reached
        )
        gpus = tuple(filter(is_gpu, lacking))
        others = sum(count for name, count in lacking.items() if name not in gpus)
        if everywhere or len(gpus) in (0, len(lacking)):
            return everywhere or tuple(lacking)
        return gpus if reached is not None and others < reached else ()


def _reading(message: str) -> _Reading:
    head = NODES.match(message)
    told = message[head.end() :] if head is not None else message
    counts: dict[str, int] = {}
    for one in told.split(". ")[0].rstrip(".").split(", "):
        count, _, reason = one.partition(" ")
        reason, number = (reason, int(count)) if count.isdecimal() and reason else (one, 0)
        if reason:
            counts[reason] = counts.get(reason, 0) + number
    return _Reading(nodes=int(head[1]) if head is not None and head[1] else None, counts=counts)


def _resource(reason: str) -> str | None:
    if reason == TOO_MANY_PODS:
        return "pods"
    found = INSUFFICIENT.match(reason)
    return found[1] if found is not None else None


def _no_room(pod: Manifest, said: _Reading) -> PodFault:
    name, told = pod["metadata"]["name"], ", ".join(sorted(said.counts)) or "the scheduler gives no reason"
    blamed = said.blamed()
    if not blamed:
        text = f"no node can take pod {name} ({told})"
        return PodFault(reason=Reason.UNSCHEDULABLE, text=text, waits_for="a node that can take them")
    asked = listed([_asked(pod, one) for one in blamed])
    if all(map(is_gpu, blamed)):
        text = (
            f"pod {name} asks for {asked}, and no node that otherwise fits has them free ({told}):"
            " add nodes, free GPUs or ask for fewer"
        )
        return PodFault(reason=Reason.GPU_MISSING, text=text, waits_for=asked)
    text = (
        f"pod {name} asks for {asked}, and no node that otherwise fits has so much free ({told}):"
        " add nodes, or ask for less"
    )
    return PodFault(reason=Reason.UNSCHEDULABLE, text=text, waits_for=asked)


def _gated(pod: Manifest) -> PodFault:
    gates = sorted(str(one.get("name")) for one in pod["spec"].get("schedulingGates") or ())
    text = f"pod {pod['metadata']['name']} waits until its scheduling gates are removed ({some_of(gates)})"
    waits_for = "their scheduling gates, so it is unknown whether nodes have room for them"
    return PodFault(reason=Reason.SCHEDULING_GATED, text=text, waits_for=waits_for)


def _asked(pod: Manifest, resource: str) -> str:
    """How much of a resource the pod asks for, in words; just its name where that can't be read."""
    if resource == "pods":
        return "room for one more pod"
    told = _of_spec(pod["spec"], resource)
    if told is not None:
        return f"{told} {resource}"
    containers = pod["spec"].get("containers") or ()
    first = pod["spec"].get("initContainers") or ()
    beside = [one for one in first if one.get("restartPolicy") == "Always"]
    together = _sum(_of_spec(one, resource) for one in (*containers, *beside))
    alone = [_sum([_of_spec(one, resource)]) for one in first]
    known = [one for one in (together, *alone) if one is not None]
    if not known:
        return resource
    most, binary = max(known)
    return f"{amount_text(most, binary=binary)} {resource}"


def _sum(texts: Iterable[str | None]) -> tuple[Decimal, bool] | None:
    """All of these together, and whether they are written by powers of 1024; None where one can't be read."""
    said = [text for text in texts if text is not None]
    read = [amount(text) for text in said]
    known = [one for one in read if one is not None]
    if not said or len(known) < len(said):
        return None
    return sum(known, Decimal(0)), any(text.endswith("i") for text in said)


def _of_spec(spec: Mapping[str, Any], resource: str) -> str | None:
    resources = spec.get("resources") or {}
    asked = [(resources.get(part) or {}).get(resource) for part in ("requests", "limits")]
    return next((str(one) for one in asked if one is not None), None)


def _placement(pod: Manifest) -> Manifest:
    found: Iterator[Manifest] = iter((pod.get("status") or {}).get("conditions") or ())
    return next((one for one in found if one.get("type") == "PodScheduled"), {})
