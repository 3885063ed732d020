"""The judge of a live row: what is true is believed, and each lie is found."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from loadline_agent.hardware.armed_records import ArmedRecord
from loadline_api import names
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from testbed.live_rows.plants import Moment
from testbed.live_rows.rows import BUDGET_WATTS, DOMAIN, GPUS, MAX_WATTS, NODES, STEEP, domain
from testbed.live_rows.sights import Sight
from testbed.live_rows.statements import STATEMENTS
from testbed.live_rows.statuses import Said
from testbed.live_rows.truths import Truth

UUIDS = {node: tuple(f"GPU-{node}-{gpu}" for gpu in range(GPUS)) for node in NODES}
NODE = NODES[1]
NOW = 1000.0
DRAWN = Moment(NOW, true_watts=12_500.0, shown_watts=(2_400.0,) * len(NODES), heat=0.5)
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
CALM = {
    "coordinator": NODES[0],
    "level": "Normal",
    "observedWatts": 12_000,
    "heatPercent": 51,
    "safeWatts": BUDGET_WATTS,
    "members": list(NODES),
    "silentNodes": [],
}
CONDITIONS = {
    "Accepted": True,
    "Enforcing": True,
    "Holdable": True,
    "PowerCapped": False,
    "Reporting": True,
    "WithinBudget": True,
}
NODE_CONDITIONS = {"GpusReady": True, "LimitsSettable": True, "Conflict": False, "Enforcing": True}


def conditions(told: dict[str, bool], **others: tuple[str, str, str]) -> list[dict[str, str]]:
    """Conditions as the API has them; `others` are (status, reason, message)."""
    plain = {type: (str(so), "AsDeclared", "") for type, so in told.items()} | others
    return [
        {"type": type, "status": status, "reason": reason, "message": message}
        for type, (status, reason, message) in plain.items()
    ]


def row(*, so: dict[str, tuple[str, str, str]] | None = None, **told: Any) -> PowerDomain:
    """The row's domain with a status of calm, and something else in it."""
    raw = domain(DOMAIN, STEEP)
    status = {**CALM, **told, "conditions": conditions(CONDITIONS, **(so or {}))}
    return PowerDomain.parse({**raw, "metadata": META | raw["metadata"], "status": status})


META = {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1"}


def capacity(node: str, *, watts: float = MAX_WATTS, **so: tuple[str, str, str]) -> NodeCapacity:
    """A node's capacity with all its GPUs free, and other conditions."""
    gpus = [{"uuid": uuid, "enforcedWatts": round(watts)} for uuid in UUIDS[node]]
    return NodeCapacity.parse(
        {
            "apiVersion": names.API_VERSION,
            "kind": "NodeCapacity",
            "metadata": META | {"name": node},
            "spec": {"certificate": CERTIFICATE, "address": "127.0.0.1:1"},
            "status": {"gpus": gpus, "conditions": conditions(NODE_CONDITIONS, **so)},
        }
    )


def said(one: PowerDomain | None = None, *capacities: NodeCapacity) -> Said:
    """What is said of the row in calm, with these in place of what is true."""
    nodes = {node: capacity(node) for node in NODES} | {other.metadata.name: other for other in capacities}
    return Said(domains={DOMAIN: one or row()}, nodes=nodes, holder=NODES[0], renewed_s=NOW)


def truth(**changes: Any) -> Truth:
    """A row in calm, led by the first node, with something else true of it."""
    record = ArmedRecord("boot", armed=True, deadline_s=NOW + 4.0, domain=DOMAIN)
    calm = Truth(
        at_s=NOW,
        wall_s=NOW,
        moment=DRAWN,
        leader=NODES[0],
        led_s=60.0,
        up_s=dict.fromkeys(NODES, 0.0),
        records=dict.fromkeys(NODES, record),
        limits_watts={node: [MAX_WATTS] * GPUS for node in NODES},
        locked_mhz={node: [0] * GPUS for node in NODES},
        uuids=UUIDS,
        dead={node: {} for node in NODES},
        unseen=frozenset(),
        healed_s={},
        foreign_s={node: [] for node in NODES},
        falls_watts=dict.fromkeys(NODES, BUDGET_WATTS / len(NODES)),
        claims=1,
    )
    return replace(calm, **changes)


def found(told: Said, so: Truth) -> set[str]:
    """The names of the sentences that are contradicted."""
    sight = Sight(told, so, [DRAWN])
    return {one.name for one in STATEMENTS if list(one.contradicted(sight))}


def test_what_is_true_is_believed() -> None:
    assert not found(said(), truth())


DEAD = {**{node: {} for node in NODES}, NODE: dict.fromkeys(UUIDS[NODE], NOW - 20.0)}
NAMED = ("False", "WritesFail", f"writes of a limit have failed on {', '.join(UUIDS[NODE])}")
NAMES_ONE = ("False", "WritesFail", f"writes of a limit have failed on {UUIDS[NODE][0]}")
OTHER = ("True", "OtherWriter", "")
TWICE = ("True", "NodeClaimedTwice", "")
LOW = {node: [302.0] * GPUS for node in NODES}
ABOVE = DRAWN._replace(shown_watts=(1.1 * BUDGET_WATTS / len(NODES),) * len(NODES))
UNARMED = {**dict.fromkeys(NODES, ArmedRecord("boot", armed=True, domain=DOMAIN)), NODE: ArmedRecord("boot")}
RIVALS = dict.fromkeys(NODES, ArmedRecord("boot", armed=True, domain="other"))
STUCK = {node: dict.fromkeys(UUIDS[node], NOW) for node in NODES}


@pytest.mark.parametrize(
    ("name", "told", "so"),
    [
        ("LimitsSettable", lambda: said(), {"dead": DEAD}),
        ("LimitsSettable", lambda: said(None, capacity(NODE, LimitsSettable=NAMES_ONE)), {"dead": DEAD}),
        ("LimitsSettable", lambda: said(None, capacity(NODE, LimitsSettable=NAMED)), {}),
        ("Conflict", lambda: said(), {"foreign_s": {**truth().foreign_s, NODE: [NOW - 20.0, NOW - 10.0]}}),
        ("Conflict", lambda: said(None, capacity(NODE, Conflict=OTHER)), {}),
        ("Conflict", lambda: said(), {"claims": 2}),
        ("Conflict", lambda: said(None, capacity(NODE, Conflict=TWICE)), {}),
        ("Enforcing of the node", lambda: said(), {"records": UNARMED}),
        ("GpusReady", lambda: said(None, capacity(NODE, GpusReady=("False", "GpuLost", ""))), {}),
        ("enforcedWatts", lambda: said(None, capacity(NODE, watts=302.0)), {}),
        ("coordinator", lambda: said(row(coordinator=NODE)), {}),
        ("coordinator", lambda: said(), {"leader": "", "led_s": 0.0}),
        ("level", lambda: said(row(level="CannotBeHeld")), {}),
        ("level", lambda: said(), {"dead": STUCK}),
        ("Holdable", lambda: said(), {"dead": STUCK}),
        ("Holdable", lambda: said(row(so={"Holdable": ("False", "CannotBeHeld", "")})), {}),
        ("Holdable", lambda: said(row(silentNodes=[NODE])), {"up_s": {**truth().up_s, NODE: None}}),
        ("NotRefreshed", lambda: said(row(so={"Enforcing": ("Unknown", "NotRefreshed", "")})), {}),
        ("PowerCapped", lambda: said(), {"limits_watts": LOW}),
        ("PowerCapped", lambda: said(row(so={"PowerCapped": ("True", "LevelRaised", "")})), {}),
        ("WithinBudget", lambda: said(), {"moment": ABOVE}),
        ("WithinBudget", lambda: said(row(so={"WithinBudget": ("False", "AboveBudget", "")})), {}),
        ("silentNodes", lambda: said(), {"up_s": {**truth().up_s, NODE: None}}),
        ("silentNodes", lambda: said(row(silentNodes=[NODE])), {}),
        ("Enforcing", lambda: said(row(so={"Enforcing": ("False", "ModeObserve", "")})), {}),
        ("Enforcing", lambda: said(row(so={"Enforcing": ("Unknown", "NodesSilent", "")})), {}),
        ("safeWatts", lambda: said(row(safeWatts=12_000)), {}),
        ("Accepted", lambda: said(), {"records": RIVALS}),
        ("Accepted", lambda: said(row(so={"Accepted": ("False", "NodeClaimedTwice", "")})), {}),
        ("observedWatts", lambda: said(row(observedWatts=9_000)), {}),
        ("observedWatts", lambda: said(row(observedWatts=14_000)), {}),
        ("heatPercent", lambda: said(row(heatPercent=40)), {}),
    ],
)
def test_each_lie_is_found(name: str, told: Callable[[], Said], so: dict[str, Any]) -> None:
    assert name in found(told(), truth(**so))


def test_a_dead_setter_that_is_said_with_its_gpus_is_no_lie() -> None:
    assert not found(said(None, capacity(NODE, LimitsSettable=NAMED)), truth(dead=DEAD))


def test_every_sentence_has_its_lie() -> None:
    marks = getattr(test_each_lie_is_found, "pytestmark", ())
    assert {case[0] for mark in marks for case in mark.args[1]} == {one.name for one in STATEMENTS}
