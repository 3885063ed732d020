"""
The operator's command line and environment variables.

The chart sets most options from its values; to run the operator by hand, a kubeconfig is enough. The
defaults of engine and router pods, such as images, are in a file of their own (`--defaults`).
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadline_api.names import OPERATOR_METRICS_PORT, STARTUP_TAINT, SYSTEM_NAMESPACE
from loadline_operator import logs

DESCRIPTION = """\
Loadline's operator: creates the workloads of InferenceServices, checks PowerDomains and
policies, and writes their statuses.

  loadline-operator --kubeconfig ~/.kube/config --namespace loadline-system

Without --kubeconfig it uses the ServiceAccount of its pod.
"""


SILENT_AFTER_S = 60.0
"""Chosen: longer than the replacement of an agent takes, so short that no status is outdated for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The parsed command line; times are in seconds."""

    kubeconfig: Path | None
    namespace: str
    defaults: Path | None
    policy_namespaces: tuple[str, ...]
    agent_silent_after_s: float
    removes_startup_taint: bool
    metrics_port: int
    log_level: str


def parse(argv: Sequence[str] | None) -> Options:
    """Parse the command line; exits with status 2 and a usage line if it is invalid."""
    given = _parser().parse_args(argv)
    return Options(
        kubeconfig=given.kubeconfig,
        namespace=given.namespace,
        defaults=given.defaults,
        policy_namespaces=tuple(given.policy_namespace),
        agent_silent_after_s=given.agent_silent_after_seconds,
        removes_startup_taint=given.remove_startup_taint,
        metrics_port=given.metrics_port,
        log_level=given.log_level,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadline-operator",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--kubeconfig", type=Path, help="kubeconfig to use instead of the pod's ServiceAccount"
    )
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", SYSTEM_NAMESPACE),
        help="namespace of power policies and of the domains' Leases"
        " (default: $POD_NAMESPACE, else %(default)s)",
    )
    _add_services(parser)
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=OPERATOR_METRICS_PORT,
        help="port for /metrics, /healthz, /readyz and /v1/journal; 0 chooses a free port"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        default=os.environ.get("LOADLINE_LOG_LEVEL", "info"),
        help="lowest level that is logged (default: $LOADLINE_LOG_LEVEL, else info)",
    )
    return parser


def _add_services(parser: argparse.ArgumentParser) -> None:
    """Options about services: pod defaults, policies, and the agents that report on them."""
    parser.add_argument(
        "--defaults",
        type=Path,
        help="YAML file with defaults of engine and router pods, such as images"
        " (default: the images that this version is built for)",
    )
    parser.add_argument(
        "--policy-namespace",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="namespace whose InferenceServices may use policies of their own namespace, for all loops except"
        " power; may be repeated",
    )
    parser.add_argument(
        "--agent-silent-after-seconds",
        type=float,
        default=SILENT_AFTER_S,
        metavar="SECONDS",
        help="once an agent's pod has not been ready for this long, ignore what it reported about its node"
        " (default: %(default)g)",
    )
    parser.add_argument(
        "--remove-startup-taint",
        action="store_true",
        help=f"remove the taint {STARTUP_TAINT} from nodes once their agents report",
    )
