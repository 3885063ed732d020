"""The judge of a live row: what is true is believed, and each lie is found."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from loadline_agent.hardware.armed_records import ArmedRecord
from loadline_api import names
from loadline_api.node_capacities import NodeCapacity
from loadline_api.power_domains import PowerDomain
from testbed.live_rows.outages import DRIVERLESS, IMPLAUSIBLE, UNREADABLE, Kind, Outage
from testbed.live_rows.plants import Moment
from testbed.live_rows.rows import BUDGET_WATTS, DOMAIN, GPUS, MAX_WATTS, NODES, STEEP, domain
from testbed.live_rows.sights import Sight
from testbed.live_rows.statements import STATEMENTS
from testbed.live_rows.statuses import Said
from testbed.live_rows.truths import Truth, lowest_watts
from testbed.live_rows.written_policies import WrittenPolicy

UUIDS = {node: tuple(f"GPU-{node}-{gpu}" for gpu in range(GPUS)) for node in NODES}
NODE = NODES[1]
NOW = 1000.0
DRAWN = Moment(
    NOW,
    true_watts=12_500.0,
    shown_watts=(2_400.0,) * len(NODES),
    gpus_watts=np.full((len(NODES), GPUS), 237.5),
    heat=0.5,
)
GOOD = WrittenPolicy(good=True, hash="0123456789ab")
IN_FORCE = f"power-row is in force: polca, {GOOD.hash}"
KEPT = f"power-row: settings.treshold1Percent is 90: remove it; {GOOD.hash} stays in force"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
CALM = {
    "coordinator": NODES[0],
    "level": "Normal",
    "observedWatts": 12_000,
    "heatPercent": 51,
    "safeWatts": BUDGET_WATTS,
    "members": list(NODES),
    "silentNodes": [],
    "policyHash": GOOD.hash,
    "appliedPolicyHash": GOOD.hash,
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
    so = {"PolicyValid": ("True", "Parsed", IN_FORCE)} | (so or {})
    status = {**CALM, **told, "conditions": conditions(CONDITIONS, **so)}
    return PowerDomain.parse({**raw, "metadata": META | raw["metadata"], "status": status})


META = {"uid": "u", "generation": 1, "creationTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "1"}


def capacity(
    node: str, *, watts: float = MAX_WATTS, unread: int = 0, **so: tuple[str, str, str]
) -> NodeCapacity:
    """A node's capacity with all its GPUs free, the first ones unread, and other conditions."""
    told = dict.fromkeys(UUIDS[node][:unread]) | dict.fromkeys(UUIDS[node][unread:], round(watts))
    gpus = [
        {"uuid": uuid, "enforcedWatts": one} if one is not None else {"uuid": uuid}
        for uuid, one in told.items()
    ]
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
        forgotten_s={node: [] for node in NODES},
        outages=(),
        policy=GOOD,
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


def outage(
    kind: Kind = UNREADABLE,
    *,
    node: str = NODE,
    gpu: int = 0,
    from_s: float = NOW - 90.0,
    until_s: float = math.inf,
) -> Outage:
    """A fault of a GPU that began long ago and lasts."""
    place = {"node": node, "index": NODES.index(node), "gpu": gpu, "uuid": UUIDS[node][gpu]}
    return Outage(**place, kind=kind, from_s=from_s, until_s=until_s)  # type: ignore[arg-type]


ONE_SILENT = ("False", "GpuUnreadable", f"{UUIDS[NODE][0]}: reading the power: NVML answered 999")
UNREAD = ("False", "WritesFail", f"a limit couldn't be written or read back on {UUIDS[NODE][0]}")
SILENT = capacity(NODE, unread=1, GpusReady=ONE_SILENT, LimitsSettable=UNREAD)
MANY_SILENT = tuple(outage(gpu=gpu) for gpu in range(GPUS))
ALL_SILENT = tuple(outage(node=node, gpu=gpu) for node in NODES for gpu in range(GPUS))
INVALID = {"PolicyValid": ("False", "PolicyInvalid", KEPT)}
DEAD = {**{node: {} for node in NODES}, NODE: dict.fromkeys(UUIDS[NODE], NOW - 20.0)}
NAMED = ("False", "WritesFail", f"a limit couldn't be written on {', '.join(UUIDS[NODE])}")
NAMES_ONE = ("False", "WritesFail", f"a limit couldn't be written on {UUIDS[NODE][0]}")
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
        ("GpusReady", lambda: said(), {"outages": (outage(),)}),
        ("GpusReady", lambda: said(None, SILENT), {"outages": (outage(), outage(gpu=1))}),
        ("GpusReady", lambda: said(None, SILENT), {"outages": (outage(until_s=NOW - 2.0),)}),
        ("GpusReady", lambda: said(None, SILENT), {"outages": (outage(IMPLAUSIBLE, until_s=NOW - 12.0),)}),
        ("GpusReady", lambda: said(None, SILENT), {"outages": (outage(DRIVERLESS, until_s=NOW - 12.0),)}),
        ("LimitsSettable", lambda: said(), {"outages": (outage(),)}),
        ("LimitsSettable", lambda: said(None, SILENT), {"outages": (outage(until_s=NOW - 70.0),)}),
        ("enforcedWatts", lambda: said(None, capacity(NODE, GpusReady=ONE_SILENT)), {"outages": (outage(),)}),
        ("enforcedWatts", lambda: said(None, capacity(NODE, unread=2)), {"outages": (outage(),)}),
        ("observedWatts", lambda: said(), {"outages": MANY_SILENT}),
        ("level", lambda: said(), {"outages": ALL_SILENT}),
        ("PolicyValid", lambda: said(), {"policy": WrittenPolicy(good=False, hash=GOOD.hash)}),
        ("PolicyValid", lambda: said(row(so=INVALID)), {}),
        (
            "PolicyValid",
            lambda: said(row(so=INVALID)),
            {"policy": WrittenPolicy(good=False, hash="ba9876543210")},
        ),
        ("PolicyValid", lambda: said(row(policyHash="ba9876543210")), {}),
        ("appliedPolicyHash", lambda: said(row(appliedPolicyHash="ba9876543210")), {}),
    ],
)
def test_each_lie_is_found(name: str, told: Callable[[], Said], so: dict[str, Any]) -> None:
    assert name in found(told(), truth(**so))


def test_a_dead_setter_that_is_said_with_its_gpus_is_no_lie() -> None:
    assert not found(said(None, capacity(NODE, LimitsSettable=NAMED)), truth(dead=DEAD))


def test_a_gpu_that_cannot_be_read_and_is_named_is_no_lie() -> None:
    assert not found(said(row(observedWatts=12_163), SILENT), truth(outages=(outage(),)))


@pytest.mark.parametrize(
    ("kind", "seconds"),
    [(UNREADABLE, 0.5), (IMPLAUSIBLE, 10.0), (DRIVERLESS, 10.0)],
    ids=["read", "odd", "driver"],
)
def test_a_fault_may_be_told_a_moment_longer_than_it_lasts(kind: Kind, seconds: float) -> None:
    told = capacity(NODE, unread=int(kind.silent), GpusReady=ONE_SILENT)
    assert not found(said(None, told), truth(outages=(outage(kind, until_s=NOW - seconds),)))


def test_a_gpu_that_is_not_believed_yet_may_be_named_as_not_settable() -> None:
    unproven = capacity(NODE, LimitsSettable=UNREAD)
    assert not found(said(None, unproven), truth(outages=(outage(until_s=NOW - 50.0),)))


def test_a_bad_document_that_is_told_is_no_lie() -> None:
    assert not found(said(row(so=INVALID)), truth(policy=WrittenPolicy(good=False, hash=GOOD.hash)))


@pytest.mark.parametrize(("s_ago", "lie"), [(2.0, False), (4.0, True)])
def test_what_a_forgotten_limit_heats_is_to_be_told_three_seconds_later(s_ago: float, lie: bool) -> None:
    gone = tuple(outage(DRIVERLESS, gpu=gpu, from_s=NOW - s_ago) for gpu in range(GPUS))
    assert ("heatPercent" in found(said(row(heatPercent=40)), truth(outages=gone))) is lie


def test_who_cannot_be_read_is_not_among_what_can_be_lowered() -> None:
    lower_watts = lowest_watts(truth(outages=(outage(),))) - lowest_watts(truth())
    assert lower_watts == pytest.approx(1.05 * 300.0)


def test_every_sentence_has_its_lie() -> None:
    marks = getattr(test_each_lie_is_found, "pytestmark", ())
    assert {case[0] for mark in marks for case in mark.args[1]} == {one.name for one in STATEMENTS}
