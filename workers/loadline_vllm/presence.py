"""
The plugin's metrics in the engine's own `/metrics`: that it is loaded, or why it is disabled.

vLLM serves `prometheus_client`'s default registry. With several API server processes it serves
instead the files that all its processes write into one directory. A gauge works in both cases;
in the second, vLLM serves the largest value of all processes.
"""

from importlib.metadata import PackageNotFoundError, version

from loadline_vllm.metric_series import Series

INFO = Series(name="loadline:plugin_info", help="1: Loadline's plugin is loaded.", labels=("version",))
OFF = Series(
    name="loadline:plugin_off", help="1: Loadline's plugin is loaded but disabled.", labels=("reason",)
)
CHANNEL_OFF = Series(
    name="loadline:channel_off",
    help="1: the plugin requests no settings from an agent. unset: the environment names no agent or no pod;"
    " failure: see the engine's log.",
    labels=("reason",),
)
"""Each flag is 1 where the plugin publishes it, and absent elsewhere."""

FLAGS = (INFO, OFF, CHANNEL_OFF)


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


def _publish(flag: Series, value: str) -> None:
    from prometheus_client import Gauge  # the engine's, as vLLM depends on it

    Gauge(flag.name, flag.help, labelnames=flag.labels, multiprocess_mode="max").labels(value).set(1)
