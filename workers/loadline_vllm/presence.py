"""
The plugin's metrics in the engine's own `/metrics`: that it is loaded, or why it is disabled.

vLLM serves `prometheus_client`'s default registry. With several API server processes it serves
instead the files that all its processes write into one directory. A gauge works in both cases;
in the second, vLLM serves the largest value of all processes.
"""

from importlib.metadata import PackageNotFoundError, version

INFO = "loadline:plugin_info"
OFF = "loadline:plugin_off"


def package_version() -> str:
    """The version of the installed `loadline` distribution; `unknown` in a source tree."""
    try:
        return version("loadline")
    except PackageNotFoundError:
        return "unknown"


def publish_present() -> None:
    """Publish that the plugin is loaded, with its version."""
    _publish(INFO, help_text="1: Loadline's plugin is loaded.", label="version", value=package_version())


def publish_off(reason: str) -> None:
    """Publish that the plugin is loaded but disabled, and why: asked, settings or failure."""
    _publish(OFF, help_text="1: Loadline's plugin is loaded but disabled.", label="reason", value=reason)


def _publish(name: str, *, help_text: str, label: str, value: str) -> None:
    from prometheus_client import Gauge  # the engine's, as vLLM depends on it

    Gauge(name, help_text, labelnames=(label,), multiprocess_mode="max").labels(value).set(1)
