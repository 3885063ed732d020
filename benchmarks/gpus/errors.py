"""Why nothing could be measured: a sentence and status 2, never a figure in its place."""

import sys
from collections.abc import Callable

from loadline_policies.errors import HardwareError

REFUSED = 2


class Unmeasured(Exception):
    """There is no GPU, nothing to load it with, or what was kept doesn't belong together.

    The text says what to fix.
    """


def refusing(measure: Callable[[], int]) -> int:
    """Run a command; without a GPU, or what loads it, a sentence and status 2."""
    try:
        return measure()
    except Unmeasured as error:
        print(f"error: {error}", file=sys.stderr)
        return REFUSED
    except HardwareError as error:
        print(f"error: no GPU can be read here: {error}", file=sys.stderr)
        return REFUSED
