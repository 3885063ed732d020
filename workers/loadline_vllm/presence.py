"""
The plug-in in the engine's own `/metrics`: that it is there, or why it does nothing.

vLLM serves `prometheus_client`'s default registry, or, with several API servers, what
all its processes wrote into one directory; a gauge reaches both. In that second case
the largest value counts, whichever process said it.
"""

from importlib.metadata import PackageNotFoundError, version

INFO = "loadline:plugin_info"
OFF = "loadline:plugin_off"


def told_version() -> str:
    """The version of the distribution that this package came in."""
    try:
        return version("loadline")
    except PackageNotFoundError:  # run from a source tree that nobody installed
        return "unknown"


def say_present() -> None:
    """Show the plug-in and its version."""
    _show(INFO, help_text="Loadline's plug-in is loaded.", label="version", value=told_version())


def say_off(reason: str) -> None:
    """Show that the plug-in does nothing, and why."""
    _show(OFF, help_text="Loadline's plug-in is loaded but does nothing.", label="reason", value=reason)


def _show(name: str, *, help_text: str, label: str, value: str) -> None:
    from prometheus_client import Gauge  # the engine's, as vLLM depends on it

    Gauge(name, help_text, labelnames=(label,), multiprocess_mode="max").labels(value).set(1)
