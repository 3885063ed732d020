"""
The plugin's metrics in the engine's own `/metrics`: that it is loaded, or why it is disabled.

vLLM serves `prometheus_client`'s default registry. With several API server processes it serves
instead the files that all its processes write into one directory. A gauge works in both cases;
in the second, vLLM serves the largest value of all processes.
"""

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True, slots=True)
class Flag:
    """A gauge with one label, which is 1 where the plugin publishes it and is absent elsewhere."""

    name: str
    help: str
    label: str


INFO = Flag("loadline:plugin_info", "1: Loadline's plugin is loaded.", "version")
OFF = Flag("loadline:plugin_off", "1: Loadline's plugin is loaded but disabled.", "reason")
CHANNEL_OFF = Flag(
    "loadline:channel_off",
    "1: the plugin requests no settings from an agent. unset: the environment names no agent or no pod;"
    " failure: see the engine's log.",
    "reason",
)


def package_version() -> str:
    """The version of the installed `loadline` distribution; `unknown` in a source tree."""
    try:
        return version("loadline")
    except PackageNotFoundError:
        return "unknown"


def publish_present() -> None:
    """Publish that the plugin is loaded, with its version."""
    _publish(INFO, package_version())


def publish_off(reason: str) -> None:
    """Publish that the plugin is loaded but disabled, and why: asked, settings or failure."""
    _publish(OFF, reason)


def publish_channel_off(reason: str) -> None:
    """Publish that the plugin asks no agent for settings, and why: unset or failure."""
    _publish(CHANNEL_OFF, reason)


def _publish(flag: Flag, value: str) -> None:
    from prometheus_client import Gauge  # the engine's, as vLLM depends on it

    Gauge(flag.name, flag.help, labelnames=(flag.label,), multiprocess_mode="max").labels(value).set(1)
