"""
How often a status is written though nothing has changed, and when one is too old to be believed.

A status that is written on changes alone looks the same whether all is calm or its writer is
dead. So a coordinator promises in the status when it will write again (`refreshSeconds`), and
the operator, which watches, says Unknown where that promise was broken. It counts by its own
clock from when it saw the last refresh, since two machines share no clock. Who promises nothing,
as agents of an earlier version, isn't judged.
"""

from typing import Final

REFRESH_SECONDS: Final = 15
"""Chosen: as long as a Kubernetes Lease; a busy domain's watts are written every ten seconds anyway."""

MISSED: Final = 3
"""Refreshes that must be missed. Chosen: 45 s bear an election (18 s) and a write that was refused twice,
so that a status which somebody keeps never turns."""


def stale_after_s(refresh_seconds: int) -> float:
    """From which age on a status is stale whose writer has promised a refresh every so many seconds."""
    return float(MISSED * refresh_seconds)
