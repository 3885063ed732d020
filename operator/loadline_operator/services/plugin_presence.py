"""
Whether loops are asked for that need Loadline's plugin in the engine, and it isn't there.

Experts and KV memory are steered from inside the engine. An engine without the plugin
serves as before, so nothing would tell its owner that the loops he asked for do nothing.
What the engines themselves have told the nodes counts most. A container that is told to
load other plugins only proves that this one is missing; no container proves the contrary.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from loadline_api.conditions import Condition, ConditionType, Reason, condition
from loadline_api.inference_services import InferenceService

VARIABLE = "VLLM_PLUGINS"
PLUGIN = "loadline"
"""vLLM loads all plugins that are installed, unless this variable of its container lists others."""


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
            if variable.get("name") == VARIABLE and "value" in variable:
                yield str(variable["value"])


def _finding(
    service: InferenceService, *, told: bool | None, configured: bool | None
) -> tuple[bool | None, Reason, str]:
    asking = {"experts": service.spec.experts, "kvCache": service.spec.kv_cache}
    loops = " and ".join(name for name, part in asking.items() if part is not None)
    if not loops:
        return (
            False,
            Reason.NOT_ASKED,
            "the spec has neither experts nor kvCache, so no loop needs the plugin",
        )
    if told:
        return False, Reason.PLUGIN_PRESENT, "its engines report Loadline's plugin"
    needed = f"{loops} can't act: run the engine with Loadline's plugin, or remove {loops} from the spec"
    if told is False:
        return True, Reason.PLUGIN_ABSENT, f"its engines don't report Loadline's plugin, so {needed}"
    if configured is False:
        text = f"{VARIABLE} of its engine does not list `{PLUGIN}`, so {needed}"
        return True, Reason.PLUGIN_ABSENT, text
    return (
        None,
        Reason.NOT_TOLD,
        f"no engine has reported yet whether it has Loadline's plugin, which {loops} need",
    )
