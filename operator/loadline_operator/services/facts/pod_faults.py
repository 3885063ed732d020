"""
What is wrong with a pod, in one reason and one sentence that names the pod and the fix.

A kubelet tells the same misfortune in turns: a container that crashes is waiting, then
running, then ended; a failing pull is an error, then a back-off. A status that followed
each turn would be written every few seconds and say nothing more, so what is found here
stays the same, word by word, for as long as the state lasts. Counts of restarts and times
are left out for that reason. What schedulers say is read in `scheduling_faults`.

Pure: a pod as the API server sends it comes in, at most one fault goes out. Whether
it matters is the business of `health`: a service whose pods all answer has no fault.
"""

import re
from collections.abc import Iterator

from loadline_api.kv_retention import REFUSAL
from loadline_api.reasons import Reason
from loadline_operator.kube.kinds import Manifest
from loadline_operator.services.facts.faults import PodFault
from loadline_operator.services.facts.scheduling_faults import is_gpu, unplaced
from loadline_operator.services.objects.model_sources import FETCHER

FETCHERS = frozenset({FETCHER, "storage-initializer"})
"""Containers that bring the model before the engine starts: ours, and KServe's."""

OFTEN = 2
"""Chosen: a container that has been started so often without getting ready is looping; once is a mishap."""

IMAGE_WAITS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
NEVER_RAN = frozenset({"StartError", "ContainerCannotRun"})
CONFIG_WAITS = frozenset({"CreateContainerConfigError", "CreateContainerError"})

OUT_OF = "OutOf"
"""What a kubelet's reasons begin with where its node has no room: `OutOfcpu`, `OutOfnvidia.com/gpu`."""

UNAVAILABLE_DEVICE = re.compile(r"unavailable for ([^\s/]+/[^\s,]*[^\s,.])")

REGISTRY_SAYS = (
    (re.compile(r"not found|manifest unknown|does not exist", re.I), "the registry has no such image"),
    (
        re.compile(r"unauthorized|denied|forbidden|authenti|authoriz", re.I),
        "the registry refuses access: name a secret in imagePullSecrets of template",
    ),
    (
        re.compile(r"no such host|timeout|refused|unreachable|no route", re.I),
        "the registry can't be reached from the node",
    ),
)
"""A registry's own words carry addresses and request numbers, so they are put into ours."""


def diagnose(pod: Manifest) -> PodFault | None:
    """What keeps a pod from serving; None if nothing does, or nothing that is known."""
    if "deletionTimestamp" in pod["metadata"] or is_ready(pod):
        return None
    rules = (_ended, unplaced, _containers, _unready)
    return next((found for rule in rules if (found := rule(pod)) is not None), None)


def is_ready(pod: Manifest) -> bool:
    """Whether the pod passes its probes, as its kubelet and its node's keeper see it."""
    return _condition(pod, "Ready").get("status") == "True"


def _ended(pod: Manifest) -> PodFault | None:
    status = pod.get("status") or {}
    if status.get("phase") not in {"Failed", "Succeeded"}:
        return None
    why = status.get("reason") or status["phase"]
    text = f"pod {_name(pod)} on node {_node(pod)} has ended ({why})"
    said = status.get("message") or ""
    told = f"{text}: {said}" if said else text
    lacking = _lacked_on_the_node(why, said)
    if not lacking:
        return PodFault(reason=Reason.UNAVAILABLE, text=told)
    reason = Reason.GPU_MISSING if is_gpu(lacking) else Reason.UNSCHEDULABLE
    return PodFault(reason=reason, text=told, waits_for=f"{lacking} of the node that they are bound to")


def _lacked_on_the_node(why: str, said: str) -> str:
    """The resource for which a kubelet has turned a pod away, if it has."""
    if why.startswith(OUT_OF):
        return why.removeprefix(OUT_OF)
    found = UNAVAILABLE_DEVICE.search(said) if why == "UnexpectedAdmissionError" else None
    return found[1] if found is not None else ""


def _containers(pod: Manifest) -> PodFault | None:
    status = pod.get("status") or {}
    found = [
        *(_container(pod, one, first=True) for one in status.get("initContainerStatuses") or ()),
        *(_container(pod, one, first=False) for one in status.get("containerStatuses") or ()),
    ]
    faults = [one for one in found if one is not None]
    return next((one for one in faults if one.lasting), faults[0] if faults else None)


def _container(pod: Manifest, told: Manifest, *, first: bool) -> PodFault | None:
    """What is wrong with one container; `first` are those that run before the others."""
    if told.get("ready"):
        return None
    state = told.get("state") or {}
    wait = (state.get("waiting") or {}).get("reason", "")
    if wait in IMAGE_WAITS:
        return _image(pod, told)
    if wait in CONFIG_WAITS:
        text = f"{_which(pod, told)} can't be created: {state['waiting'].get('message', wait)}"
        return PodFault(reason=Reason.UNAVAILABLE, text=text)
    if "running" in state and _fell(pod, state["running"]):
        text = f"{_which(pod, told)} runs but no longer passes its readiness probe"
        return PodFault(reason=Reason.PROBE_FAILING, text=text)
    return _crash(pod, told, first=first) or _slow(pod, told, first=first)


def _image(pod: Manifest, told: Manifest) -> PodFault:
    waiting = told["state"]["waiting"]
    said, image = waiting.get("message", ""), told.get("image", "")
    volumes = [(one.get("image") or {}).get("reference", "") for one in pod["spec"].get("volumes") or ()]
    of_model = next((reference for reference in volumes if reference and reference in said), None)
    if waiting["reason"] == "InvalidImageName":
        why = "this is not a valid image name: correct it"
    else:
        why = next((words for pattern, words in REGISTRY_SAYS if pattern.search(said)), "")
        why = why or f"`kubectl describe pod -n {_namespace(pod)} {_name(pod)}` shows why"
    text = f"{_which(pod, told)} needs the image {of_model or image}, which can't be pulled: {why}"
    return PodFault(reason=Reason.MODEL_UNAVAILABLE if of_model else Reason.IMAGE_UNAVAILABLE, text=text)


def _crash(pod: Manifest, told: Manifest, *, first: bool) -> PodFault | None:
    """A container that ended, whether it is down, in back-off or up again at the moment."""
    state = told.get("state") or {}
    last = state.get("terminated") or (told.get("lastState") or {}).get("terminated")
    if last is None or (first and last.get("exitCode") == 0):
        return None
    if last.get("reason") == "OOMKilled":
        return PodFault(reason=Reason.OUT_OF_MEMORY, text=_out_of_memory(pod, told))
    refusal = _refusal(last)
    if refusal:
        return PodFault(reason=Reason.CRASH_LOOP, text=f"{_which(pod, told)} refuses to start: {refusal}")
    loops = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
    if not loops and told.get("restartCount", 0) < OFTEN:
        return None
    why = f"exit code {last.get('exitCode')} ({last.get('reason', 'Error')})"
    if last.get("reason") in NEVER_RAN:
        text = f"{_which(pod, told)} can't be started: {last.get('message', why)}"
    else:
        logs = f"kubectl logs -n {_namespace(pod)} {_name(pod)} -c {told['name']} --previous"
        text = f"{_which(pod, told)} keeps exiting with {why}: `{logs}` shows why"
    fetches = told["name"] in FETCHERS
    return PodFault(reason=Reason.MODEL_UNAVAILABLE if fetches else Reason.CRASH_LOOP, text=text)


def _refusal(last: Manifest) -> str:
    """Why an engine has ended itself, in its own words; they are the same each time."""
    _, found, rest = str(last.get("message") or "").partition(REFUSAL)
    return found + rest.partition("\n")[0].strip() if found else ""


def _out_of_memory(pod: Manifest, told: Manifest) -> str:
    limits = next((_limits(one) for one in _specs(pod) if one["name"] == told["name"]), {})
    limit = f" of {limits['memory']}" if "memory" in limits else ""
    return (
        f"{_which(pod, told)} used more memory than its limit{limit} and was killed:"
        " raise resources.limits.memory in template"
    )


def _slow(pod: Manifest, told: Manifest, *, first: bool) -> PodFault | None:
    """A container that may still get there: it is being made, fetches the model, or loads it."""
    state = told.get("state") or {}
    if first and "running" not in state:
        return None
    if told["name"] in FETCHERS:
        text = f"{_which(pod, told)} has not fetched the model yet"
        return PodFault(reason=Reason.MODEL_UNAVAILABLE, text=text, lasting=False)
    if "running" in state:
        text = f"{_which(pod, told)} runs but has not passed its probes yet"
        return PodFault(reason=Reason.PROBE_FAILING, text=text, lasting=False)
    text = (
        f"{_which(pod, told)} is still being created on node {_node(pod)}:"
        f" `kubectl describe pod -n {_namespace(pod)} {_name(pod)}` shows what it waits for"
    )
    return PodFault(reason=Reason.UNAVAILABLE, text=text, lasting=False)


def _unready(pod: Manifest) -> PodFault | None:
    """All containers are ready and yet the pod isn't: its node is silent, or a gate is closed."""
    told = (pod.get("status") or {}).get("containerStatuses") or ()
    if not told or not all(one.get("ready") for one in told):
        return None
    text = (
        f"pod {_name(pod)} is not ready though its containers were:"
        f" node {_node(pod)} doesn't answer, or a readiness gate of the pod is false"
    )
    return PodFault(reason=Reason.UNAVAILABLE, text=text)


def _fell(pod: Manifest, running: Manifest) -> bool:
    """Whether the pod has been ready since the container was started, and isn't any more."""
    since: str = _condition(pod, "Ready").get("lastTransitionTime") or ""
    return since > (running.get("startedAt") or "~")


def _condition(pod: Manifest, type: str) -> Manifest:
    found = ((pod.get("status") or {}).get("conditions")) or ()
    return next((one for one in found if one["type"] == type), {})


def _limits(container: Manifest) -> Manifest:
    return (container.get("resources") or {}).get("limits") or {}


def _specs(pod: Manifest) -> Iterator[Manifest]:
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"]["containers"]


def _which(pod: Manifest, told: Manifest) -> str:
    return f"container {told['name']} of pod {_name(pod)}"


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])


def _namespace(pod: Manifest) -> str:
    return str(pod["metadata"].get("namespace", ""))


def _node(pod: Manifest) -> str:
    return str(pod["spec"].get("nodeName", ""))
