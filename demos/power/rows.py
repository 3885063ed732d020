"""
Starts the live row: a control plane, the operator, agents, guards and the plant.

`LiveRow` is a context manager, which stops every process at its end. It starts them in the order of
a real cluster: the chart, the operator, the user's manifests, and then one node after another, a few
at a time, because all of them share two cores. The scheduler decides which service runs on which
node, and the plant gets that list.

Every process logs under `out/logs`, and every agent keeps a journal under `out/journals`, on which
`loadline simulate --from-journal` replays what the coordinators decided. The conductor performs the
acts afterwards.
"""

import json
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from demos.power import manifests
from loadline_api import names
from loadline_api.sentences import some_of
from loadline_policies.models.parameters import ServerModel
from loadline_sim.demo.scenarios import Scenario
from loadline_sim.progress import Progress
from testbed import charts
from testbed.cluster.bed import Bed
from testbed.cluster.clients import Object
from testbed.cluster.errors import ApiError, BedError
from testbed.cluster.waits import wait_for
from testbed.fakegpu.board import Board, boottime
from testbed.live_rows import members
from testbed.live_rows.member_rows import PATIENCE_S, MemberRow

AT_ONCE = 6
"""At most so many agents start at the same time; chosen, for two cores."""

UNSETTLED = (429, 503)
"""HTTP statuses that an API server returns for a moment after a CRD was created."""

LEAD_S = 4.0
"""Seconds between the plant's readiness and the start of the first act."""

STARTING = "starting an agent and a guard on each node"
ELECTING = "electing a coordinator, and connecting every node to it"

REPO = Path(__file__).parents[2]


class LiveRow(MemberRow):
    """The row of a scenario, with real processes; `services` lists the service of each node."""

    def __init__(self, scenario: Scenario, model: ServerModel, *, out: Path, progress: Progress) -> None:
        super().__init__()
        self.scenario, self.model, self.out = scenario, model, out
        self.nodes = manifests.node_names(scenario)
        self.services: tuple[str, ...] = ()
        self.start_at = 0.0
        self._progress, self._seen = progress, ""

    @property
    def control(self) -> Path:
        """The control file of the plant's meter."""
        return self.bed.directory / "control.json"

    @property
    def plant_out(self) -> Path:
        """The folder into which the plant writes snapshots, and at its end the recording."""
        return self.bed.directory / "plant"

    def start_plant(self, lead_s: float = LEAD_S) -> float:
        """Start the plant, warmed up; returns the boot time at which the first act starts."""
        self.start_at = boottime() + 3600.0
        services = self.bed.directory / "services.json"
        services.write_text(json.dumps(self.services))
        scenario = self.bed.directory / "scenario.json"
        scenario.write_text(self.scenario.model_dump_json())
        self.plant_out.mkdir()
        arguments = {
            "--board": self.board.path,
            "--services": services,
            "--scenario": scenario,
            "--control": self.control,
            "--out": self.plant_out,
        }
        command = [sys.executable, "-m", "demos.power.plants"]
        command += [str(part) for pair in arguments.items() for part in pair]
        environment = {**members.environment(), "PYTHONPATH": str(REPO)}
        self.plant = self.bed.spawn("plant", command, environment=environment)
        ready = self.plant_out / "ready"
        self.plant.until(ready.exists, timeout_s=PATIENCE_S)
        self.start_at = boottime() + lead_s
        (self.plant_out / "start-at").write_text(repr(self.start_at))
        return self.start_at

    def stop_plant(self) -> None:
        """Stop the plant, which then writes its recording into `plant_out`."""
        self.plant.send(signal.SIGTERM)
        if self.plant.wait(PATIENCE_S):
            raise BedError(f"the simulated servers failed; the end of their log:\n{self.plant.tail()}")

    def restart(self, node: str) -> None:
        """Start a node's agent and guard again, as a kubelet restarts a container that has ended."""
        self.members[node].start()

    def _bring_up(self) -> None:
        progress = self._progress
        progress("starting the control plane", 0.0)
        logs = (self.out / "logs").resolve()
        shutil.rmtree(logs, ignore_errors=True)  # of an earlier run: processes append to existing logs
        self.bed = self._stack.enter_context(Bed(logs=logs))
        self.board = self._stack.enter_context(
            Board.create(self.bed.directory / "board", self.nodes, gpus_per_node=self.model.gpus)
        )
        self.bed.add_nodes(self.nodes, labels=manifests.node_labels(self.scenario))
        progress("starting the control plane", 0.6)
        self.bed.apply(charts.control_plane_objects())
        self.operator = members.operator(self.bed)
        self.bed.apply(manifests.declarations(self.scenario, self.model))
        progress("starting the control plane", 1.0)
        self._start_members()
        self._until(self._placed, "scheduling the pods")
        self._until(self._led, ELECTING)

    def _start_members(self) -> None:
        """Start every node's agent and guard, of which at most `AT_ONCE` haven't reported GPUs yet."""
        journals = (self.out / "journals").resolve()
        shutil.rmtree(journals, ignore_errors=True)
        journals.mkdir(parents=True)
        self.members = members.members(self.bed, self.nodes, self.board.path, journals=journals)
        waiting = list(self.nodes)

        def all_reported() -> bool:
            reported = self._reported()
            starting = len(self.nodes) - len(waiting) - len(reported)
            for node in waiting[: AT_ONCE - starting]:
                self.members[node].start()
                waiting.remove(node)
            missing = sorted(set(self.nodes) - reported)
            self._seen = f"the agents of {len(missing)} nodes have not reported GPUs: {some_of(missing)}"
            self._progress(STARTING, len(reported) / len(self.nodes))
            return not missing

        self._until(all_reported, STARTING)

    def _reported(self) -> set[str]:
        """Nodes whose agents have reported their GPUs."""
        found = self._get(names.NODE_CAPACITIES.path()).get("items", ())
        return {one["metadata"]["name"] for one in found if one.get("status", {}).get("gpus")}

    def _placed(self) -> bool:
        """Read from the pods which service each node runs; False while a node has no pod."""
        pods = self._get(
            f"/api/v1/namespaces/{manifests.NAMESPACE}/pods", labelSelector=names.SERVICE_LABEL
        ).get("items", ())
        by_node = {
            pod["spec"]["nodeName"]: pod["metadata"]["labels"][names.SERVICE_LABEL]
            for pod in pods
            if pod["spec"].get("nodeName")
        }
        self._seen = f"the scheduler has bound pods to {len(by_node)} of {len(self.nodes)} nodes"
        if by_node.keys() != set(self.nodes):
            return False
        self.services = tuple(by_node[node] for node in self.nodes)
        return True

    def _led(self) -> bool:
        status = self._get(names.POWER_DOMAINS.path(self.scenario.name)).get("status", {})
        heard = int(status.get("nodesReporting", 0))
        self._seen = f"a coordinator receives reports of {heard} of {len(self.nodes)} nodes"
        self._progress(ELECTING, heard / len(self.nodes))
        return heard == len(self.nodes)

    def _get(self, path: str, **parameters: str) -> Object:
        """The object at a path; empty while the API server prepares the storage of a new kind."""
        try:
            return self.bed.client.get(path, **parameters)
        except ApiError as error:
            if error.code not in UNSETTLED:
                raise
            return {}

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        self._progress(what, 0.0)
        wait_for(
            lambda: holds() or None,
            what,
            standstill_s=PATIENCE_S,
            seen=lambda: self._seen,
            why=lambda: f"see the logs in {self.out / 'logs'}",
            every_s=0.25,
        )
        self._progress(what, 1.0)
