"""The GPUs that virtual agents set and read: the least that a node needs of them."""

from typing import Protocol

from loadline_policies.power.safety.safe_states import NodeRating


class Hardware(Protocol):
    """One node's GPUs and sensors, by index in the order of `rating.gpus`."""

    rating: NodeRating
    host_watts: float

    def watts(self) -> list[float]:
        """What the sensors show."""

    def enforced_watts(self) -> list[float]:
        """The limits in force."""

    def requested_watts(self) -> list[float]:
        """The limits last asked for; those in force follow them."""

    def set_limit(self, index: int, watts: float) -> None:
        """Order a power limit; it takes the hardware's time to be in force."""

    def set_clock(self, index: int, mhz: int | None) -> None:
        """Lock the SM clock's upper end, or unlock it."""
