"""
The conditions of a service as a list: the order in which people read them, and each sentence once.

`kubectl describe` shows conditions as they are stored, so Ready comes first. What one condition
has said in full, a later one doesn't repeat: it names the one that says it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from loadline_api import visible_texts
from loadline_api.conditions import MOST_MESSAGE_BYTES, SERVICE_CONDITIONS, Condition, ConditionType
from loadline_operator.findings import Finding

Findings = Mapping[ConditionType, Finding]

A_SENTENCE = 20
"""Characters from which on a text within another is the same sentence, and not a word by chance."""


def conditions(told: Findings, plugin: Condition, generation: int) -> tuple[Condition, ...]:
    """The list that says these findings, and whether the plugin is there; without times."""
    once = said_once(told)
    return in_order((*(one.as_condition(type, generation=generation) for type, one in once.items()), plugin))


def said_once(told: Findings) -> dict[ConditionType, Finding]:
    """The same findings, in their order; what one has said, a later one doesn't repeat but names it."""
    said: dict[ConditionType, str] = {}
    once: dict[ConditionType, Finding] = {}
    for type in (one for one in SERVICE_CONDITIONS if one in told):
        once[type] = replace(told[type], text=_unsaid(type, told[type], said))
        said[type] = once[type].text
    return once


def _unsaid(type: ConditionType, finding: Finding, said: Mapping[ConditionType, str]) -> str:
    text = visible_texts.told(finding.text or finding.reason.sentence, most_bytes=MOST_MESSAGE_BYTES)
    for earlier, words in said.items():
        if text == words or (len(text) >= A_SENTENCE and text in words):
            status = {True: "True", False: "False", None: "Unknown"}[finding.so]
            return f"condition {earlier} explains why {type} is {status}"
        if len(words) >= A_SENTENCE:
            text = text.replace(words, f"see condition {earlier}")
    return text


def in_order(conditions: Iterable[Condition]) -> tuple[Condition, ...]:
    """Those that are the operator's, in their order."""
    by_type = {one.type: one for one in conditions}
    return tuple(by_type[type] for type in SERVICE_CONDITIONS if type in by_type)
