"""
The channel's metrics in the engine's own `/metrics`.

They appear only in the process that runs the channel, which with several API servers is the first one.
"""

from typing import Final

from loadline_vllm.channel.settings_leases import NO_OP_GENERATION, SettingsLease
from loadline_vllm.metric_series import Series

OUTCOMES: Final = ("answered", "unreachable", "refused", "unreadable", "stale", "no_token", "failure")


REPORTS: Final = Series(
    name="loadline:agent_reports",
    help="Reports of Loadline's plugin to the agent of its node, by outcome.",
    labels=("outcome",),
    values=OUTCOMES,
    type="counter",
)
WITHDRAWALS: Final = Series(
    name="loadline:settings_withdrawals",
    help="Changes of settings that were withdrawn because not all ranks accepted them.",
    type="counter",
)
LAPSES: Final = Series(
    name="loadline:settings_lapses",
    help="Leases of settings that ended because no answer of the agent renewed them.",
    type="counter",
)
IN_FORCE: Final = Series(
    name="loadline:settings_in_force",
    help="1 while all ranks hold settings that the agent has leased, 0 while they hold no-op settings or"
    " differ.",
)

ALL: Final = (REPORTS, WITHDRAWALS, LAPSES, IN_FORCE)


class ChannelMetrics:
    """The series of one engine, which are at zero from the start."""

    def __init__(self) -> None:
        from prometheus_client import Counter, Gauge  # the engine's, as vLLM depends on it

        self._reports = Counter(REPORTS.name, REPORTS.help, REPORTS.labels)
        for outcome in REPORTS.values:
            self._reports.labels(outcome)
        self._withdrawals = Counter(WITHDRAWALS.name, WITHDRAWALS.help)
        self._lapses = Counter(LAPSES.name, LAPSES.help)
        self._in_force = Gauge(IN_FORCE.name, IN_FORCE.help, multiprocess_mode="max")
        self._counted = (0, 0)

    def count(self, outcome: str) -> None:
        """Count a report."""
        self._reports.labels(outcome).inc()

    def settled(self, lease: SettingsLease) -> None:
        """Publish what the ranks hold now."""
        withdrawals, lapses = self._counted
        self._withdrawals.inc(lease.withdrawals - withdrawals)
        self._lapses.inc(lease.lapses - lapses)
        self._counted = lease.withdrawals, lease.lapses
        self._in_force.set((lease.generation or NO_OP_GENERATION) != NO_OP_GENERATION)
