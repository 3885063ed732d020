"""
Where vLLM comes in: it calls `register` in each of its processes, before anything is built.

vLLM catches what fails while a plug-in is imported, but not what fails while it is
called, so here everything is caught: an engine without Loadline is better than none.
"""

import logging

logger = logging.getLogger("vllm.loadline")
"""Below vLLM's own logger, whose handlers and level then hold."""

_registered = False


def register() -> None:
    """Entry point `loadline` of `vllm.general_plugins`; never raises, and acts once a process."""
    global _registered
    if _registered:
        return
    _registered = True
    try:
        _start()
    except Exception:
        logger.exception("Loadline's plug-in is off: it could not start")
        _say_off("failure")


def _start() -> None:
    from loadline_policies.errors import InvalidInput
    from loadline_vllm import presence, settings

    presence.say_present()
    try:
        told = settings.read()
    except InvalidInput as error:
        logger.error("Loadline's plug-in is off: %s", error)
        presence.say_off("settings")
        return
    if not told.plugin:
        presence.say_off("asked")
        return
    logger.info("Loadline's plug-in %s is loaded; it changes nothing yet", presence.told_version())


def _say_off(reason: str) -> None:
    """Say it in a metric if that works; it may be what had failed."""
    try:
        from loadline_vllm import presence

        presence.say_off(reason)
    except Exception:
        logger.exception("Loadline's plug-in has no metric either")
