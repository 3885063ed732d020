"""
How far a limit has to come down, and when it may stay.

Agent and guard fall to the safe limit by the same rule, so that whichever of
them is first leaves nothing for the other to do. A GPU has two limits: the one
that was asked for, and the one in force, which lags behind it and may be kept
lower by a BMC. Neither may rise here, whatever their order.

Milliwatts, as the driver counts them.
"""


def lowered_mw(*, enforced_mw: int, requested_mw: int, safe_mw: int, lowest_mw: int) -> int | None:
    """The limit to ask for so that at most `safe_mw` will hold; None when that is so already.

    A request above safe is replaced by what is in force, or by safe if that is
    less: a request that came late is thereby taken back. `lowest_mw` is the
    least that the GPU takes; a safe limit below it can't be had.
    """
    floor_mw = max(safe_mw, lowest_mw)
    if requested_mw <= floor_mw:
        return None
    return max(min(enforced_mw, floor_mw), lowest_mw)
