"""
All policies, by loop and by the names that documents use: one line each, nothing registers itself.

A policy is a value in a module of its own, beside the others of its loop. A line here makes it known to
documents, to the operator, to the coordinators and to `loadline policies`; no other code names it.
The first policy of a loop over services is in force where no document chooses another.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

from loadline_policies import no_op_policies
from loadline_policies.experts.capacity_factor import CAPACITY_FACTOR
from loadline_policies.kv.memory_rungs import MEMORY_RUNGS
from loadline_policies.kv.predicted_memory import PREDICTED_MEMORY
from loadline_policies.loops import Loop
from loadline_policies.power import baselines
from loadline_policies.power.polca import POLCA
from loadline_policies.power.rows import PowerPolicy
from loadline_policies.settings import Settings


class Policy(Protocol):
    """What a document needs of any policy: its name, the settings that it reads, and what it does."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> type[Settings]: ...

    @property
    def summary(self) -> str: ...


P = TypeVar("P", bound=Policy)


def _by_name(*policies: P) -> Mapping[str, P]:
    named = {policy.name: policy for policy in policies}
    assert len(named) == len(policies), "two policies of a loop share a name"
    return MappingProxyType(named)


POWER: Mapping[str, PowerPolicy[Any, Any]] = _by_name(
    POLCA,
    baselines.NO_CAP,
    baselines.ONE_THRESHOLD_LOW,
    baselines.ONE_THRESHOLD_ALL,
    baselines.STATIC_CAP,
)

POLICIES: Mapping[Loop, Mapping[str, Policy]] = {
    Loop.POWER: POWER,
    Loop.EXPERTS: _by_name(no_op_policies.ALL_TOKENS, CAPACITY_FACTOR),
    Loop.KV: _by_name(no_op_policies.ADMIT_AS_ENGINE, PREDICTED_MEMORY),
    Loop.KV_RETENTION: _by_name(no_op_policies.KEEP_ALL, MEMORY_RUNGS),
    Loop.PHASES: _by_name(no_op_policies.FIXED_POOLS),
    Loop.SIZING: _by_name(no_op_policies.FIXED_REPLICAS),
}
