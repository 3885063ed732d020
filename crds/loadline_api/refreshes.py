"""
How often a status is written though nothing has changed, and when one is too old to be believed.

A status that is written on changes alone looks the same whether all is calm or its writer is
dead. So who writes one promises in it when that will be done again (`refreshSeconds`), and
the operator, which watches, says Unknown where that promise was broken. It counts by its own
clock from when it saw the last refresh, since two machines share no clock. Who promises nothing,
as agents of an earlier version, isn't judged.
"""

from typing import Final

REFRESH_SECONDS: Final = 30
"""A coordinator's. Chosen: every agent watches every domain, so calm costs a third of what a busy row does,
whose watts are written every ten seconds."""

NODE_REFRESH_SECONDS: Final = 120
"""An agent's, of its NodeCapacity. Chosen: slow facts; a thousand nodes are eight writes a second."""

MISSED: Final = 3
"""Refreshes that must be missed. Chosen: a domain's 90 s bear an election (18 s) and two writes that were
refused, so that a status which somebody keeps never turns."""


def stale_after_s(refresh_seconds: int) -> float:
    """From which age on a status is stale whose writer has promised a refresh every so many seconds."""
    return float(MISSED * refresh_seconds)
