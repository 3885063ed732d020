"""The power policies by the names that documents use: one line each, nothing registers itself."""

from typing import Any

from loadline_policies.power import baselines
from loadline_policies.power.polca import POLCA
from loadline_policies.power.rows import PowerPolicy

_ALL: tuple[PowerPolicy[Any, Any], ...] = (
    POLCA,
    baselines.NO_CAP,
    baselines.ONE_THRESHOLD_LOW,
    baselines.ONE_THRESHOLD_ALL,
    baselines.STATIC_CAP,
)

POLICIES = {policy.name: policy for policy in _ALL}
assert len(POLICIES) == len(_ALL), "two power policies share a name"
