"""
What was recorded of real services and ships with the simulator; `data/README.md` has origins and licences.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final, TypeVar

from loadline_sim.traffic import client_windows, sessions, trace_files
from loadline_sim.traffic.client_windows import ClientWindows
from loadline_sim.traffic.sessions import Sessions
from loadline_sim.traffic.traces import Trace

AZURE_FILES: Final = {
    "code": "AzureLLMInferenceTrace_code.csv.gz",
    "chat": "AzureLLMInferenceTrace_conv.csv.gz",
}
"""The file of each service of the demo's row."""

CLIENT_WINDOWS: Final = "servegen-m-large-clients.csv.xz"
SESSIONS: Final = "agentic-sessions.jsonl.gz"

R = TypeVar("R")


@cache
def azure_2023() -> dict[str, Trace]:
    """The code and chat traces of Azure 2023 on one clock, whose zero is the first request of the two."""
    traces = {service: _read(trace_files.read, name).trace for service, name in AZURE_FILES.items()}
    origin_s = min(float(trace.arrival_s[0]) for trace in traces.values())
    return {service: trace.later(-origin_s) for service, trace in traces.items()}


@cache
def large_model_clients() -> ClientWindows:
    """Two weeks of the 20 largest clients of a large model, with 78 % of its requests."""
    return _read(client_windows.read, CLIENT_WINDOWS)


@cache
def agentic_sessions() -> Sessions:
    """590 sessions of a coding agent, with 41,146 requests."""
    return _read(sessions.read, SESSIONS)


def _read(read: Callable[[Path], R], name: str) -> R:
    with as_file(files("loadline_sim.data").joinpath(name)) as path:
        return read(path)
