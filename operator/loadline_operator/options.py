"""
What the operator may be told on its command line, and in its environment.

The chart says most of it from its values; whoever runs the operator by hand needs a
kubeconfig alone. What engines and routers are made of is a file of its own (`defaults`).
"""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadline_api.names import OPERATOR_METRICS_PORT, STARTUP_TAINT, SYSTEM_NAMESPACE
from loadline_operator import logs

DESCRIPTION = """\
Make InferenceServices, PowerDomains and policies be what they say.

  loadline-operator --kubeconfig ~/.kube/config --namespace loadline-system

Without --kubeconfig it uses the ServiceAccount of the pod that it runs in.
"""


SILENT_AFTER_S = 60.0
"""Chosen: longer than an agent takes to be replaced, short enough that no status lies for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The command line, read; times are in seconds."""

    kubeconfig: Path | None
    namespace: str
    defaults: Path | None
    policy_namespaces: tuple[str, ...]
    agent_silent_after_s: float
    removes_startup_taint: bool
    metrics_port: int
    log_level: str


def parse(argv: Sequence[str] | None) -> Options:
    """Read the command line; exits with status 2 and a usage line if it isn't one."""
    told = _parser().parse_args(argv)
    return Options(
        kubeconfig=told.kubeconfig,
        namespace=told.namespace,
        defaults=told.defaults,
        policy_namespaces=tuple(told.policy_namespace),
        agent_silent_after_s=told.agent_silent_after_seconds,
        removes_startup_taint=told.remove_startup_taint,
        metrics_port=told.metrics_port,
        log_level=told.log_level,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="loadline-operator",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kubeconfig", type=Path, help="kubeconfig to use instead of the pod's account")
    parser.add_argument(
        "--namespace",
        default=os.environ.get("POD_NAMESPACE", SYSTEM_NAMESPACE),
        help="namespace of power policies and domain Leases (default: $POD_NAMESPACE, else %(default)s)",
    )
    _add_services(parser)
    parser.add_argument(
        "--metrics-port",
        type=int,
        default=OPERATOR_METRICS_PORT,
        help="port of /metrics, /healthz, /readyz and /v1/journal; 0 takes a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        default=os.environ.get("LOADLINE_LOG_LEVEL", "info"),
        help="least level that is logged (default: $LOADLINE_LOG_LEVEL, else info)",
    )
    return parser


def _add_services(parser: argparse.ArgumentParser) -> None:
    """What services are made of and go by, and what is believed of them."""
    parser.add_argument(
        "--defaults",
        type=Path,
        help="YAML file of what engines and routers are made of, such as images (default: see the docs)",
    )
    parser.add_argument(
        "--policy-namespace",
        action="append",
        default=[],
        metavar="NAMESPACE",
        help="a namespace whose services may go by policies of its own, all but power; may be repeated",
    )
    parser.add_argument(
        "--agent-silent-after-seconds",
        type=float,
        default=SILENT_AFTER_S,
        metavar="SECONDS",
        help="from when on a node is believed no more whose agent's pod isn't ready (default: %(default)g)",
    )
    parser.add_argument(
        "--remove-startup-taint",
        action="store_true",
        help=f"take the taint {STARTUP_TAINT} off nodes whose agents report",
    )
