"""
What the operator costs and how fast it is with 200 services, beside kopf alone in the same run.

The test bed's control plane, the operator under the chart's account, pods that run in
name only. First all services are there and the operator starts cold; then services are
edited one by one; then it is killed in the middle of a change of all of them; then a
policy is edited until a real coordinator goes by it; at last nothing happens for five
minutes. Times and writes are the API server's own, from its audit log. CPU is the
scheduler's count of nanoseconds, memory the proportional set size.

    python -m benchmarks.operator [--rest-s 300] [--services 200]

Writes benchmarks/results/operator.json, unless it was told less than the full run.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from benchmarks import fleets
from benchmarks.process_costs import cpu_s, pss_mib
from benchmarks.result_files import RESULTS, at_most, destination, finish, parser, report, took
from loadline_api import names
from loadline_policies.documents import parse_power
from testbed import charts
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.doubles.operators import LoneOperator, lines_of, written
from testbed.fakegpu.board import Board
from testbed.live_rows.members import members

RESULT = RESULTS / "operator.json"
SERVICES, REST_S, SETTLING_S = 200, 300.0, 20.0
EDITS, EDITS_HZ, POLICY_EDITS = 100, 5.0, 5
PATIENCE_S = 300.0
LAST_SURGE = 7
READY = 'loadline_operator_services{condition="Ready",status="True"}'
ROW = {f"{names.NODE_RESTRICTION_PREFIX}row": "bench"}
MEMBERS = ("member-0", "member-1")
HEAD = "schema: policies.loadline.dev/v1alpha1\nloop: power\n"
POLICIES = (f"{HEAD}policy: no-cap\n", f"{HEAD}policy: static-cap\n")

GOALS = {
    "services_200_cold_s": 30.0,
    "edit_to_patch_p99_s": 0.5,
    "policy_edit_to_agent_s": 2.0,
    "restart_mid_change_duplicates": 0.0,
    "restart_mid_change_restarts": 0.0,
    "writes_at_rest_5min": 0.0,
    "core_percent_at_rest": 1.0,
    "rss_mib": 150.0,
}


TIMINGS = frozenset(
    {"services_200_cold_s", "edit_to_patch_p99_s", "policy_edit_to_agent_s", "core_percent_at_rest"}
)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, write; 1 if a goal was missed."""
    known = parser("benchmarks.operator", __doc__)
    known.add_argument("--services", type=int, default=SERVICES, help="how many (%(default)s)")
    known.add_argument("--rest-s", type=float, default=REST_S, help="seconds at rest (%(default)g)")
    options = known.parse_args(arguments)
    whole = (options.services, options.rest_s) == (SERVICES, REST_S)
    kept = destination(RESULT, writes=whole and not options.dirty)
    with Bed(audit=True) as bed:
        bed.apply(charts.control_plane_objects({"agent": {"canSetLimits": True}}))
        fleet = fleets.declare(bed, options.services)
        operator = LoneOperator(bed)
        results = _cold(bed, operator, count=options.services)
        results |= _edited(bed, fleet)
        results |= _killed(bed, operator, fleet)
        results |= _policy(bed)
        results |= _at_rest(bed, operator, rest_s=options.rest_s)
    return finish(_report(results), kept)


def _cold(bed: Bed, operator: LoneOperator, *, count: int) -> dict[str, float]:
    """From the start of the process to the last service that is Ready."""
    began_s = time.monotonic()
    operator.launch()
    _until(lambda: operator.metric(READY) == count)
    taken_s = time.monotonic() - began_s
    if (told := fleets.ready(bed)) != count:
        raise RuntimeError(f"the operator counts {count} services that are ready, the API server {told}")
    return {"services_200_cold_s": taken_s}


def _edited(bed: Bed, fleet: list[str]) -> dict[str, float]:
    """From the answer to an edit to the operator's patch of the Deployment."""
    assert bed.audit_log is not None
    since = lines_of(bed)
    for index in range(EDITS):
        fleets.surge(bed, fleet[index % len(fleet)], pods=2 + index // len(fleet))
        time.sleep(1.0 / EDITS_HZ)
    time.sleep(2.0)
    delays = sorted(fleets.delays_s(bed.audit_log.read_text().splitlines()[since:]))
    if len(delays) != EDITS:
        raise RuntimeError(f"{len(delays)} of {EDITS} edits were followed by a patch")
    return {
        "edit_to_patch_p50_s": delays[EDITS // 2],
        "edit_to_patch_p99_s": delays[-max(1, EDITS // 100)],
    }


def _killed(bed: Bed, operator: LoneOperator, fleet: list[str]) -> dict[str, float]:
    """Killed halfway through a change of every service: what is there twice, which pods are new."""
    before, pods = fleets.owned(bed), fleets.pods(bed)
    assert operator.process is not None
    for index, name in enumerate(fleet):
        if index == len(fleet) // 2:
            operator.process.kill()
        fleets.surge(bed, name, pods=LAST_SURGE)
    operator.start()
    _until(lambda: fleets.surges(bed) == {LAST_SURGE})
    time.sleep(SETTLING_S)
    return {
        "restart_mid_change_duplicates": float(len(fleets.owned(bed) ^ before)),
        "restart_mid_change_restarts": float(len(fleets.pods(bed) - pods)),
    }


def _policy(bed: Bed) -> dict[str, float]:
    """From an edit of a policy to the coordinator that goes by it; the slowest of some."""
    bed.add_nodes(MEMBERS, labels=ROW)
    _write_policy(bed, POLICIES[0])
    spec = {
        "budgetWatts": 8_000,
        "nodeSelector": {"matchLabels": ROW},
        "hostWatts": {"max": 500},
        "policyRef": {"name": "bench"},
    }
    head = {"apiVersion": names.API_VERSION, "kind": names.POWER_DOMAINS.kind}
    bed.apply([{**head, "metadata": {"name": "bench"}, "spec": spec}])
    Board.create(bed.directory / "board", MEMBERS).set_sensors(watts=200.0)
    row = members(bed, MEMBERS, bed.directory / "board")
    ports = [member.metrics_port for member in row.values()]
    try:
        for member in row.values():
            member.start()
        _until(lambda: _goes_by(ports, POLICIES[0]))
        return {
            "policy_edit_to_agent_s": max(_taken(bed, ports, edit=1 + edit) for edit in range(POLICY_EDITS))
        }
    finally:
        for member in row.values():
            for process in member.processes:
                process.stop()
        bed.client.delete(names.POWER_DOMAINS.path("bench"))


def _taken(bed: Bed, ports: list[int], *, edit: int) -> float:
    began_s, text = time.monotonic(), POLICIES[edit % 2]
    _write_policy(bed, text)
    _until(lambda: _goes_by(ports, text), every_s=0.02)
    return time.monotonic() - began_s


def _write_policy(bed: Bed, text: str) -> None:
    metadata: Object = {"name": "bench", "namespace": names.SYSTEM_NAMESPACE}
    metadata["labels"] = {names.POLICY_LABEL: "power"}
    data = {names.POLICY_KEY: text}
    bed.apply([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}])


def _goes_by(ports: list[int], text: str) -> bool:
    wanted = f'policy_hash="{parse_power(text).hash}"'
    try:
        return any(wanted in httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in ports)
    except httpx.TransportError:
        return False


def _at_rest(bed: Bed, operator: LoneOperator, *, rest_s: float) -> dict[str, float]:
    """Nothing happens: what the operator writes, computes and holds, beside kopf alone."""
    assert operator.process is not None
    identity = bed.identity(names.OPERATOR_ACCOUNT, names.SYSTEM_NAMESPACE)
    command = [sys.executable, "-m", "benchmarks.bare_operator", bed.server]
    floor = subprocess.Popen([*command, str(identity.ca), str(identity.token)])
    try:
        time.sleep(SETTLING_S)
        pids, since = {"operator": operator.process.pid, "kopf_alone": floor.pid}, lines_of(bed)
        before, began_s = {name: cpu_s([pid]) for name, pid in pids.items()}, time.monotonic()
        time.sleep(rest_s)
        taken_s = time.monotonic() - began_s
        percent = {name: 100 * (cpu_s([pid]) - before[name]) / taken_s for name, pid in pids.items()}
        return {
            "writes_at_rest_5min": float(len(written(bed, since))),
            "core_percent_at_rest": percent["operator"],
            "rss_mib": pss_mib(operator.process.pid),
            "kopf_alone_core_percent": percent["kopf_alone"],
            "kopf_alone_rss_mib": pss_mib(floor.pid),
        }
    finally:
        floor.kill()
        floor.wait()


def _until(check: Callable[[], bool], *, every_s: float = 0.25) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"not so after {PATIENCE_S:g} s: read the bed's logs")
        time.sleep(every_s)


def _report(results: dict[str, float]) -> dict[str, Any]:
    reason = "more than was promised, on this machine"
    return report(
        "operator",
        inputs={
            "services": SERVICES,
            "split_services": SERVICES // fleets.SPLIT_EVERY,
            "edits": EDITS,
            "edits_hz": EDITS_HZ,
            "policy_edits": POLICY_EDITS,
            "rest_s": REST_S,
        },
        seeds=[],
        results=results,
        checks=[
            (took if name in TIMINGS else at_most)(name, results[name], goal=goal, reason=reason)
            for name, goal in GOALS.items()
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
