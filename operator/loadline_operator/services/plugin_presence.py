"""
Whether loops are asked for that need Loadline's plugin in the engine, and it isn't there.

The loops of experts and KV memory act inside the engine. An engine without the plugin serves
as before, so nothing else would report to its owner that these loops do nothing. What the
engines themselves have reported to the nodes counts most. A container whose list of plugins
lacks this one only proves that it is missing; no container proves the contrary.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from loadline_api.conditions import Condition, ConditionType, condition
from loadline_api.experts import ExpertsMode
from loadline_api.inference_services import InferenceService
from loadline_api.kv_cache import AdmissionMode
from loadline_api.kv_retention import RetentionMode
from loadline_api.reasons import Reason
from loadline_operator.services.objects.worker_channels import PLUGIN, PLUGINS

SNIPPET = (
    "VLLM_PLUGINS, LOADLINE_EXPERTS, LOADLINE_ADMISSION or LOADLINE_RETENTION, LOADLINE_AGENT and the other"
    " variables, for admission and retention the argument --scheduler-cls, for retention --worker-cls, and"
    " the volume with its token, that docs/serving.md lists under «Attaching to a workload of your own»"
)
"""What the owner of an attached workload adds to its pod template."""


def plugin_missing(
    service: InferenceService, *, told: bool | None, configured: bool | None = None
) -> Condition:
    """The condition; `told` is what the nodes tell, `configured` what `configured_in` says of the pods."""
    so, reason, text = _finding(service, told=told, configured=configured)
    return condition(
        ConditionType.PLUGIN_MISSING,
        so=so,
        reason=reason,
        message=text,
        generation=service.metadata.generation,
    )


def configured_in(template: Mapping[str, Any]) -> bool | None:
    """False where a pod template has the engine load other plugins only; else it can't be told from it."""
    for value in _values((template.get("spec") or {}).get("containers") or ()):
        return None if PLUGIN in {name.strip() for name in value.split(",")} else False
    return None


def _values(containers: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for container in containers:
        for variable in container.get("env") or ():
            if variable.get("name") == PLUGINS and "value" in variable:
                yield str(variable["value"])


def _finding(
    service: InferenceService, *, told: bool | None, configured: bool | None
) -> tuple[bool | None, Reason, str]:
    spec = service.spec
    asking = {
        "experts": spec.experts_mode is not ExpertsMode.OFF,
        "kvCache.admission": spec.admission.mode is not AdmissionMode.OFF,
        "kvCache.retention": spec.retention.mode is not RetentionMode.OFF,
    }
    loops = " and ".join(name for name, asked in asking.items() if asked)
    if not loops:
        text = "no mode of experts, kvCache.admission or kvCache.retention is above Off, so no loop needs it"
        return False, Reason.NOT_ASKED, text
    if told:
        return False, Reason.PLUGIN_PRESENT, "its engines report Loadline's plugin"
    needed = f"{loops} can't act: {_fix(service)}, or remove {loops} from the spec"
    if told is False:
        return True, Reason.PLUGIN_ABSENT, f"its engines don't report Loadline's plugin, so {needed}"
    if configured is False:
        text = f"{PLUGINS} of its engine does not list `{PLUGIN}`, so {needed}"
        return True, Reason.PLUGIN_ABSENT, text
    return (
        None,
        Reason.NOT_TOLD,
        f"no engine has reported yet whether it has Loadline's plugin, without which {loops} can't act",
    )


def _fix(service: InferenceService) -> str:
    run = "run the engine with Loadline's plugin"
    return f"{run}, and add to its pod template {SNIPPET}" if service.spec.workload_ref is not None else run
