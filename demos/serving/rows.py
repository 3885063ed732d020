"""
A power domain of one node that is capped: a service of low and one of high priority, and a budget.

The fake GPUs' sensors are set to a draw above the policy's second threshold, so that the coordinator
caps low priority. Checks read the fake board itself, below NVML.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from demos.serving.clusters import ROW, ServingCluster
from demos.serving.limits import FREE_MHZ, Raises, clocks_of
from demos.serving.services import Service
from demos.serving.trials import manifest, until
from loadline_api import names
from testbed.cluster.clients import Object

DOMAIN = "row-a"
HOST_WATTS = 200
WATTS_A_GPU = 350
"""Between a GPU's lowest and highest limit: S1 holds, but all GPUs at full draw exceed the budget."""

HELD_LOAD = 0.92
PRIORITIES = {"low": 0, "high": 100}
ROLLED_S = 100


class HeldRow:
    """Starts the row and waits until it is capped; `gpus` has the number of each service's GPU."""

    def __init__(self, cluster: ServingCluster) -> None:
        self._cluster = cluster
        self.board = cluster.gpus.board
        self.gpus = {name: self._gpu(self._serve(name)) for name in PRIORITIES}
        self.draw(HELD_LOAD)
        self.declare("Enforce")
        until(lambda: self.clock_mhz("low") < FREE_MHZ)

    @property
    def budget_watts(self) -> int:
        """The power budget of the row."""
        return HOST_WATTS + WATTS_A_GPU * len(self.board.uuids(0))

    def declare(self, mode: str) -> None:
        spec = {
            "budgetWatts": self.budget_watts,
            "mode": mode,
            "nodeSelector": {"matchLabels": {ROW: "a"}},
            "hostWatts": {"max": HOST_WATTS},
        }
        head: Object = {"apiVersion": names.API_VERSION, "kind": names.POWER_DOMAINS.kind}
        self._cluster.apply({**head, "metadata": {"name": DOMAIN}, "spec": spec})

    def draw(self, load: float) -> None:
        """Set the GPUs' sensors so that the row draws a share of its budget, with the host at its maximum."""
        self.board.set_sensors(watts=(load * self.budget_watts - HOST_WATTS) / len(self.board.uuids(0)))

    def clock_mhz(self, service: str) -> float:
        """The highest clock that the service's GPU may take."""
        return float(clocks_of(self.board)[0][self.gpus[service]])

    def roll_agents(self) -> Raises:
        """Replace the agents' pods, and count the GPUs that got more until a new coordinator leads."""
        kubectl, system = self._cluster.bed.kubectl, names.SYSTEM_NAMESPACE
        agents = f"daemonset/{names.AGENT_ACCOUNT}"
        with Raises(self.board) as raises, self._led_anew():
            kubectl("rollout", "restart", agents, "-n", system)
            kubectl("rollout", "status", agents, "-n", system, f"--timeout={ROLLED_S}s")
        return raises

    @contextmanager
    def _led_anew(self) -> Iterator[None]:
        """At the end of the block, wait until the row has a new coordinator."""
        before = self._transitions()
        yield
        until(lambda: self._transitions() > before)

    def _transitions(self) -> int:
        path = names.LEASES.path(names.lease_name(DOMAIN), namespace=names.SYSTEM_NAMESPACE)
        return int(self._cluster.bed.client.get(path)["spec"].get("leaseTransitions", 0))

    def _serve(self, name: str) -> Service:
        self._cluster.apply(manifest(name, router=None, priority=PRIORITIES[name]))
        service = self._cluster.service(name)
        service.until("Ready", "True")
        return service

    def _gpu(self, service: Service) -> int:
        """The GPU that the kubelet gave the service's pod."""
        pod = service.pods("main")[0]["metadata"]["name"]
        uuid = self._cluster.bed.exec(pod, "printenv", "NVIDIA_VISIBLE_DEVICES").strip()
        return self.board.uuids(0).index(uuid)
