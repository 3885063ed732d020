"""What a lease's limit becomes on a GPU of this model, and whether what is read back is what was ordered."""

from loadline_agent.hardware.limits import HeldLimit, Order
from loadline_agent.hardware.opened_gpus import GpuInfo
from loadline_policies.power.protocol.messages import GpuLimit
from loadline_policies.power.protocol.plausibility import ROUNDING_WATTS


def order_of(limit: GpuLimit, info: GpuInfo) -> Order:
    """The order for a GPU, with a clock that this model has: a policy's clock may be another model's.

    Where no lower clock than the highest is listed, none is locked: that would hold nothing back.
    """
    clock_mhz = limit.clock_mhz if info.min_mhz < info.max_mhz else None
    if clock_mhz is not None:
        clock_mhz = None if clock_mhz >= info.max_mhz else max(info.min_mhz, clock_mhz)
    return Order(uuid=limit.uuid, watts=limit.watts, safe_watts=limit.safe_watts, clock_mhz=clock_mhz)


def in_force(order: Order, held: HeldLimit | None) -> bool:
    """Whether the limit ordered is requested, and none above it is in force."""
    if held is None:
        return False
    return same(held.requested_watts, order.watts) and held.enforced_watts < order.watts + ROUNDING_WATTS


def same(watts: float, other_watts: float) -> bool:
    """Whether two limits are one: they travel as watts and are kept as milliwatts."""
    return abs(watts - other_watts) < ROUNDING_WATTS
