"""What metrics call reasons and rules: why admission is off, and by what a preempted request was chosen."""

from enum import StrEnum
from typing import Final

from loadline_policies.kv.victims import VictimRule

PRIORITY: Final = "priority"
RESET: Final = "reset"
RULES: Final = (*(rule.value for rule in VictimRule), PRIORITY, RESET)
"""By what a preempted request was chosen. Under priority scheduling vLLM goes by the requests' priorities. A
reset of the prefix cache preempts all, and not for want of memory."""


class Off(StrEnum):
    """Why an engine admits as vLLM does, although `LOADLINE_ADMISSION` asks for more."""

    OTHER_SCHEDULER = "OtherScheduler"
    """The engine was started without `--scheduler-cls`, or with another class."""

    ENCODER_DECODER = "EncoderDecoder"
    """Memory of the encoder's output isn't predicted."""

    POOLING = "Pooling"
    """The model produces no tokens."""

    NO_KV_MEMORY = "NoKvMemory"
    """The model has no layer with KV memory."""

    HOST_MEMORY = "HostMemory"
    """A part of the KV memory is in the host's memory, with a pool of its own."""

    FAILURE = "Failure"
    """The plugin's own code failed; the engine's log has the error."""
