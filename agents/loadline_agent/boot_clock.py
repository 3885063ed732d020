"""
The clock of every deadline, and nothing else: the guard imports it, which is kept small.

CLOCK_BOOTTIME goes on through a suspend, so a lease can't outlive one.
"""

import time


def boottime() -> float:
    """Seconds of CLOCK_BOOTTIME, the clock of every deadline."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
