"""
The vLLM plugin's entry point: vLLM calls `register` in each of its processes, before it builds an engine.

vLLM catches errors while it imports a plugin, but not while it calls it. So `register` catches
every exception: an engine without the plugin is better than no engine.
"""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadline_vllm.held_settings import Loop

logger = logging.getLogger("vllm.loadline")
"""A child of vLLM's own logger, so that vLLM's handlers and level apply."""

_registered = False


def register() -> None:
    """Entry point `loadline` of `vllm.general_plugins`; never raises, and acts once in each process."""
    global _registered
    if _registered:
        return
    _registered = True
    try:
        _start()
    except Exception:
        logger.exception("Loadline's plugin is disabled: it could not start")
        _publish_off("failure")


def _start() -> None:
    from loadline_policies.errors import InvalidInput
    from loadline_vllm import held_settings, presence, settings

    presence.publish_present()
    try:
        found = settings.read()
    except InvalidInput as error:
        logger.error("Loadline's plugin is disabled: %s", error)
        presence.publish_off("settings")
        return
    if not found.plugin:
        presence.publish_off("asked")
        return
    if found.admission != "off":
        from loadline_vllm.admission import core_rpc

        held_settings.CORE_LOOPS["kv"] = held_settings.Loop(core_rpc.hold, core_rpc.counts)
    if found.retention != "off":
        _serve_retention()
    _install("ranks", held_settings.rank_class, held_settings.RANK_LOOPS)
    if held_settings.CORE_LOOPS:
        _install("engine cores", held_settings.core_class, held_settings.CORE_LOOPS)
    if found.experts != "off":
        from loadline_vllm.expert_layers import registrations, worker_rpc

        registrations.register(found)
        held_settings.RANK_LOOPS["experts"] = held_settings.Loop(
            lambda _, section: worker_rpc.hold(section), worker_rpc.counts
        )
    logger.info("Loadline's plugin %s is loaded", presence.package_version())


def _serve_retention() -> None:
    """Let vLLM know of retention, and let cores and ranks serve its loop."""
    from loadline_vllm import held_settings
    from loadline_vllm.retention import core_rpc, rank_rpc, registrations

    registrations.register()
    held_settings.CORE_LOOPS["kv-retention"] = held_settings.Loop(core_rpc.hold, core_rpc.counts)
    held_settings.RANK_LOOPS["kv-retention"] = held_settings.Loop(rank_rpc.hold, rank_rpc.counts)


def _install(parts: str, of_vllm: Callable[[], type], loops: "Mapping[str, Loop]") -> None:
    """Let parts of the engine take settings; where they can't, `endpoint` finds that, and logs an error."""
    from loadline_vllm import held_settings

    try:
        held_settings.install(of_vllm(), loops)
    except (ImportError, AttributeError, ValueError) as error:
        logger.warning("this engine's %s can't take Loadline's settings: %s", parts, error)


def _publish_off(reason: str) -> None:
    """Publish in a metric that the plugin is disabled; the metric may be what failed, so log its failure."""
    try:
        from loadline_vllm import presence

        presence.publish_off(reason)
    except Exception:
        logger.exception("Loadline's plugin could not publish its metric")
