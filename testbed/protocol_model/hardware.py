"""
The truth of one GPU: the limits that its driver has, and whether its setter and its reader work.

Nothing here is believed by anybody. A reboot and a driver reset put the limit back to the
default, which is the maximum; a setter that fails changes nothing and answers with an error.
"""

from dataclasses import dataclass

from testbed.protocol_model.values import changed


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU; watts are whole, `step_watts` is the smallest change that the driver takes.

    `cap_watts` is a BMC's or a module's limit, from outside of the driver. `boot` and `driver`
    are the instances in which the requested limit was set.
    """

    lowest_watts: int = 200
    highest_watts: int = 700
    step_watts: int = 1
    requested_watts: int = 700
    cap_watts: int | None = None
    settable: bool = True
    readable: bool = True
    boot: int = 0
    driver: int = 0

    @property
    def enforced_watts(self) -> int:
        """The limit in force now."""
        return self.requested_watts if self.cap_watts is None else min(self.requested_watts, self.cap_watts)

    @property
    def instance(self) -> tuple[int, int]:
        """Boot and driver instance, which a proof is good for."""
        return self.boot, self.driver

    def written(self, watts: int) -> "Gpu":
        """After a write: the new limit, or what was there if the setter fails."""
        return changed(self, requested_watts=watts) if self.settable else self

    def reset(self) -> "Gpu":
        """After a reload of the driver: the limit is forgotten."""
        return changed(self, requested_watts=self.highest_watts, driver=self.driver + 1)

    def rebooted(self) -> "Gpu":
        """After a reboot of the node: the limit is forgotten, under a new boot id."""
        return changed(self, requested_watts=self.highest_watts, boot=self.boot + 1, driver=0)
