"""
All controllers of the operator, in one list.

`main` starts and ends the process and knows none of them by name. Each is in a directory named
after what it reconciles, and has the shape of `kube.controllers`.
"""

from typing import Any

from loadline_operator.contexts import Context
from loadline_operator.domains.handlers import Domains
from loadline_operator.domains.stale_statuses import StaleStatuses
from loadline_operator.kube.controllers import Controller
from loadline_operator.nodes.startup_taints import StartupTaints
from loadline_operator.options import Options
from loadline_operator.policies.handlers import Documents
from loadline_operator.services.facts.agent_pods import AgentPods
from loadline_operator.services.handlers import Services
from loadline_operator.services.objects.defaults import Defaults


def controllers(context: Context, options: Options, *, defaults: Defaults) -> tuple[Controller[Any], ...]:
    """Every controller that `options` ask for, in the order in which they are told of an event."""
    documents = Documents(context, own=options.policy_namespaces)
    agents = AgentPods(silent_after_s=options.agent_silent_after_s)
    return (
        Domains(context, documents),
        StaleStatuses(context),
        documents,
        Services(context, defaults, documents=documents, agents=agents),
        *((StartupTaints(context),) if options.removes_startup_taint else ()),
    )
