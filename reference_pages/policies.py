"""The page of the policies: each loop's, with their settings, from the registry that names them all."""

from collections.abc import Iterator
from importlib import resources

from loadline_api.generate import structural
from loadline_policies import documents
from loadline_policies.loops import OF_SERVICES, Loop
from loadline_policies.no_op_policies import NoOpPolicy
from loadline_policies.power.rows import PowerPolicy
from loadline_policies.registry import POLICIES, Policy
from reference_pages import schema_fields
from reference_pages.markdown import code, fenced, prose, table
from reference_pages.pages import Page

READING = (
    "A document is a ConfigMap with the label `loadline.dev/policy`, whose value is the loop, and with one"
    " YAML document under the key `policy.yaml` of its `data`. If a document is invalid, the condition"
    " `PolicyValid` has the field, its value and what to do, and the last valid document stays in force;"
    " `loadline policies check FILE` checks a document before you apply it. The chart ships this one:"
)

LOOPS = {
    Loop.POWER: ("which GPUs of a PowerDomain are capped, and how low", "spec.policyRef"),
    Loop.EXPERTS: ("how full an expert of a service's model may get", "spec.experts.policyRef"),
    Loop.KV: ("which requests start in an engine, and which are preempted", "spec.kvCache.policyRef"),
    Loop.KV_RETENTION: ("how many tokens of a running request are kept", "spec.kvCache.retention.policyRef"),
    Loop.PHASES: ("how many pods of a service prefill and how many decode", "spec.prefill.policyRef"),
    Loop.SIZING: ("how many replicas a service has", "spec.scaling.policyRef"),
}
"""What each loop decides, and the field of a PowerDomain or an InferenceService that chooses its policy."""

HEADS = ("Setting", "Type", "Default", "Bounds", "What it does")

OF_POWER = (
    (
        "highPriorityFrom",
        "integer",
        documents.DEFAULT_HIGH_PRIORITY_FROM,
        "InferenceServices whose `spec.priority` is this or more count as high priority, all others as low.",
    ),
    (
        "sloRelief",
        "boolean",
        documents.DEFAULT_SLO_RELIEF,
        "Whether a service of high priority that misses an objective of its `spec.slo` because of a cap is"
        " relieved of the cap while the row stays below the policy's highest threshold.",
    ),
)
"""What a power document holds beside `settings`; `documents` reads it."""


def page() -> Page:
    """All loops, in the order of the registry."""
    shipped = resources.files("loadline_policies").joinpath("defaults", "power.yaml").read_text("utf-8")
    return Page(
        file="policies.md",
        title="Policies",
        about=(
            "A policy decides what a loop does, and a policy document names the policy and sets its values."
            " This page lists every policy by loop, with its settings, their defaults and their bounds."
        ),
        source="`policies/loadline_policies/registry.py`",
        sections=(READING, fenced(shipped, "yaml"), *(part for loop in POLICIES for part in _loop(loop))),
    )


def _loop(loop: Loop) -> Iterator[str]:
    yield f"## {loop}"
    decides, field = LOOPS[loop]
    yield f"The loop decides {decides}; {code(field)} names the document.{_yet(loop)}"
    if loop is Loop.POWER:
        yield "Beside `settings`, a power document has these keys:"
        rows = ((code(key), type, code(str(value).lower()), text) for key, type, value, text in OF_POWER)
        yield table(("Key", "Type", "Default", "What it does"), rows)
    for policy in POLICIES[loop].values():
        yield f"### {policy.name}"
        yield " ".join(_sentences(loop, policy))
        yield from _settings(policy)


def _yet(loop: Loop) -> str:
    acts = any(not isinstance(policy, NoOpPolicy) for policy in POLICIES[loop].values())
    return "" if acts else " So far no policy of this loop changes anything."


def _sentences(loop: Loop, policy: Policy) -> Iterator[str]:
    yield prose(policy.summary)
    if loop in OF_SERVICES and policy is documents.built_in(loop).policy:
        yield "This policy is in force unless a document chooses another one."
    if isinstance(policy, PowerPolicy) and policy.levels:
        yield f"Its levels, from the mildest to the strictest: {', '.join(map(code, policy.levels))}."


def _settings(policy: Policy) -> Iterator[str]:
    rows = [
        (code(one.path.removeprefix(".")), one.type, one.default, one.bounds, prose(one.description))
        for one in schema_fields.fields(structural(policy.config, defaults=True), "")
    ]
    yield table(HEADS, rows) if rows else "It has no settings."
