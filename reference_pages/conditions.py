"""The page of the conditions: each kind's, who writes them, and every reason with its sentence."""

from collections.abc import Iterable, Sequence

from loadline_api.conditions import (
    COORDINATOR_DOMAIN_CONDITIONS,
    NODE_CONDITIONS,
    OPERATOR_DOMAIN_CONDITIONS,
    SERVICE_CONDITIONS,
    ConditionType,
)
from loadline_api.reasons import Reason
from reference_pages.markdown import code, fenced, prose, table
from reference_pages.pages import Page

OPERATOR, COORDINATOR, AGENT = "the operator", "the coordinator", "the node's agent"

KINDS: Sequence[tuple[str, str, Sequence[tuple[str, Iterable[ConditionType]]]]] = (
    ("InferenceService", "llsvc", ((OPERATOR, SERVICE_CONDITIONS),)),
    (
        "PowerDomain",
        "pdom",
        ((OPERATOR, OPERATOR_DOMAIN_CONDITIONS), (COORDINATOR, COORDINATOR_DOMAIN_CONDITIONS)),
    ),
    ("NodeCapacity", "ncap", ((AGENT, NODE_CONDITIONS),)),
)

READING = (
    "A condition's `status` is `True` if its sentence below is true, `False` if it isn't, and `Unknown` if"
    " its writer doesn't know. `reason` is one of the words in the last table, and `message` explains it with"
    " the values of this object: names, watts, and what to do. A condition whose sentence names a fault, like"
    " `Conflict`, is `False` if all is well.",
    "The coordinator is one of the domain's agents, elected by them; it sets the limits of the whole domain."
    " If it, or a node's agent, no longer refreshes a status, the operator sets the conditions that this"
    " agent writes to `Unknown` with the reason `NotRefreshed`. Only `Enforcing` of a NodeCapacity stays,"
    " because the limits on the GPUs outlive the agent. S1 and S2 are the two promises to the breaker,"
    " which [reliability.md](../reliability.md) explains.",
    fenced("kubectl describe powerdomain row-a\nkubectl wait llsvc/chat --for=condition=Ready", "sh"),
)


def page() -> Page:
    """All kinds' conditions, then the reasons by name."""
    return Page(
        file="conditions.md",
        title="Conditions and reasons",
        about=(
            "Loadline reports the state of each of its objects in `status.conditions`. This page lists the"
            " conditions of each kind, who writes them, and every reason that they may have."
        ),
        source="`crds/loadline_api/conditions.py` and `crds/loadline_api/reasons.py`",
        sections=(*READING, *(part for kind in KINDS for part in _kind(*kind)), "## Reasons", _reasons()),
    )


def _kind(
    kind: str, short_name: str, writers: Sequence[tuple[str, Iterable[ConditionType]]]
) -> tuple[str, str]:
    rows = [
        (code(type), writer, prose(type.sentence)) for writer, types in writers for type in in_order(types)
    ]
    return f"## {kind}", table(("Condition", "Written by", "True means"), rows)


def in_order(types: Iterable[ConditionType]) -> list[ConditionType]:
    """As they are declared, where the set itself has no order."""
    found = list(types)
    return found if isinstance(types, tuple) else [type for type in ConditionType if type in found]


def _reasons() -> str:
    rows = [(code(reason), prose(reason.sentence)) for reason in sorted(Reason)]
    return table(("Reason", "What it means"), rows)
