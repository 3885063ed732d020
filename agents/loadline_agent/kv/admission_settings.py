"""
What an engine's scheduler gets of spec and policy, and why it goes by the policy or doesn't.

Requests only wait where the spec and the policy both enforce. All else that the spec sets stands in place of
the policy's, since it concerns the service's own engines alone.

Pure.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import JsonValue

from loadline_api.kv_cache import Admission, AdmissionMode, Estimator, Victim
from loadline_api.kv_counts import KvCounts
from loadline_api.kv_settings import KvSettings
from loadline_api.reasons import Reason
from loadline_policies.documents import ServiceDocument
from loadline_policies.kv.predicted_memory import AdmissionMode as PolicyMode
from loadline_policies.kv.predicted_memory import Config, EstimatorName
from loadline_policies.kv.victims import VictimRule

ESTIMATORS: Final[Mapping[Estimator, EstimatorName]] = MappingProxyType(
    {
        Estimator.HISTORY: EstimatorName.HISTORY,
        Estimator.BUCKETS: EstimatorName.BUCKETS,
        Estimator.WORST_CASE: EstimatorName.WORST_CASE,
    }
)
VICTIMS: Final[Mapping[Victim, VictimRule]] = MappingProxyType(
    {
        Victim.NEWEST: VictimRule.NEWEST,
        Victim.LEAST_COMPUTED: VictimRule.LEAST_COMPUTED,
        Victim.DEADLINE: VictimRule.DEADLINE,
    }
)
"""The policy's words for those of the spec."""


def settings(admission: Admission, document: ServiceDocument) -> dict[str, JsonValue]:
    """The section's settings; none for a service that asks for no admission, or by a policy without any."""
    config = document.config
    if admission.mode is AdmissionMode.OFF or not isinstance(config, Config):
        return {}
    enforce = _enforces(admission, document)
    changes: dict[str, Any] = {"admission": PolicyMode.ENFORCE if enforce else PolicyMode.OBSERVE}
    if admission.estimator is not None:
        changes["estimator"] = ESTIMATORS[admission.estimator]
    if admission.victim is not None:
        changes["victim"] = VICTIMS[admission.victim]
    if admission.reserve_percent is not None:
        changes["reserve_percent"] = admission.reserve_percent
    return KvSettings(admission=config.model_copy(update=changes)).encode()


FAILURE: Final = "Failure"
"""The plugin's word for its own failure."""


def reason(admission: Admission, document: ServiceDocument, found: KvCounts) -> Reason:
    """Why an engine that reports these counts goes by the policy or doesn't.

    What the engine reports comes before what spec and policy say, since it may not have their settings yet.
    """
    counts = found.admission
    if counts is None:
        return Reason.PLUGIN_FAILED if found.off == FAILURE else Reason.ADMISSION_OFF
    if counts.errors:
        return Reason.PLUGIN_FAILED
    if counts.mode is PolicyMode.ENFORCE:
        return Reason.PREDICTING if counts.is_warm else Reason.FEW_LENGTHS
    if admission.mode is not AdmissionMode.ENFORCE:
        return Reason.NOT_ALLOWED
    return Reason.OBSERVING if _enforces(admission, document) else Reason.POLICY_OBSERVES


def _enforces(admission: Admission, document: ServiceDocument) -> bool:
    """Whether spec and policy both let requests wait."""
    config = document.config
    allowed = admission.mode is AdmissionMode.ENFORCE
    return allowed and isinstance(config, Config) and config.admission is PolicyMode.ENFORCE
