"""What is wrong with a pod, or with the workload that should make it: the one shape in which all tell it."""

from dataclasses import dataclass

from loadline_api.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class PodFault:
    """A reason and a sentence; `lasting` is False while it may still pass by itself.

    `waits_for` says what of nodes, GPUs and quota pods wait for, in other words than the sentence; it
    is empty where they wait for none of these.
    """

    reason: Reason
    text: str
    lasting: bool = True
    waits_for: str = ""
