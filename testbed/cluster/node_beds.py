"""
The test bed, node depth: pods really run.

`NodeBed` is a `Bed` with one real node: containerd, kubelet and kube-proxy, the
distribution's runc and CNI plug-ins. The node lives in namespaces of its own
(`namespaces`), so several such beds stand side by side and none leaves a mount, a card,
a packet filter or a container behind. It needs root and what `debian` lists.

    with NodeBed() as bed:
        bed.load_image(Path("engine.tar"))
        bed.apply([deployment])

Pods get `imagePullPolicy: Never` or `IfNotPresent` and images that were loaded, or
`images.BUSYBOX`. From this machine pods and Services are reached at their addresses.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from testbed.cluster import binaries, debian, resolvers
from testbed.cluster.bed import Bed
from testbed.cluster.containers import Containers
from testbed.cluster.control_planes import CONTROLLERS, Place
from testbed.cluster.gpus import Gpus
from testbed.cluster.kubelets import HOME, READY_S, Kubelet, Proxy, Shape
from testbed.cluster.machines import Machine
from testbed.cluster.networks import Reserved
from testbed.fakegpu.board import GpuSpec

NODE_CONTROLLERS = (
    *CONTROLLERS,
    "endpoints-controller",
    "ephemeral-volume-controller",
    "horizontal-pod-autoscaler-controller",
    "node-lifecycle-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-binder-controller",
    "persistentvolume-expander-controller",
    "persistentvolume-protection-controller",
    "persistentvolumeclaim-protection-controller",
    "taint-eviction-controller",
    "ttl-after-finished-controller",
    "ttl-controller",
)
"""Beside what the chart needs: volumes, autoscaling, and a node's end being noticed."""


class Node:
    """The real node of a bed."""

    def __init__(self, machine: Machine, kubelet: Kubelet, *, runtime: Containers) -> None:
        self.machine, self.kubelet, self.runtime = machine, kubelet, runtime

    @property
    def name(self) -> str:
        return self.machine.name

    @property
    def address(self) -> str:
        """The node's address, which this machine reaches."""
        return self.machine.network.node

    @property
    def pod_resources(self) -> Path:
        """The kubelet's pod-resources socket, as this machine sees it.

        A pod finds it where it always is, at /var/lib/kubelet/pod-resources/kubelet.sock of the host.
        """
        return self.machine.outside(HOME / "pod-resources" / "kubelet.sock")

    def run(self, *command: str | Path, input: str | None = None) -> str:
        """What a command prints when it is run on the node itself."""
        return self.machine.run(*command, input=input)

    def restart_kubelet(self) -> None:
        """Stop the kubelet and start it again; return when it is healthy. Pods go on."""
        self.kubelet.stop()
        self.kubelet.start()


class NodeBed(Bed):
    """A control plane with one node on which pods run; see `Bed` for all else.

    Nodes of `add_nodes` can stand beside it; nobody renews their heartbeat, so the
    controllers hold them for lost after 40 s.
    """

    def __init__(
        self,
        *,
        name: str = "node-0",
        labels: Mapping[str, str] | None = None,
        taints: Sequence[str] = (),
        audit: bool = False,
        logs: Path | None = None,
        controllers: tuple[str, ...] = NODE_CONTROLLERS,
    ) -> None:
        debian.require()
        self._node_programs = binaries.need(*binaries.NODE_NAMES)
        self._shape = Shape(name=name, labels=labels or {}, taints=taints)
        self._node: Node | None = None
        self._reserved = Reserved()
        try:
            super().__init__(audit=audit, logs=logs, controllers=controllers)
        except BaseException:
            self._reserved.close()
            raise

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            self._start_node()
        except BaseException as error:
            self._household.ended(type(error))
            self.close()
            raise
        return self

    def close(self) -> None:
        """End everything, the node with all that runs on it, and remove the bed's directory."""
        try:
            super().close()
        finally:
            self._reserved.close()

    @property
    def node(self) -> Node:
        """The real node; there is one while the bed is up."""
        assert self._node is not None
        return self._node

    def add_gpus(self, count: int = 8, spec: GpuSpec | None = None) -> Gpus:
        """Give the node fake GPUs and their device plugin; return when pods can be given them."""
        gpus = Gpus(self._machine, self.client, directory=self.directory, count=count, spec=spec or GpuSpec())
        gpus.offer()
        return gpus

    def load_image(self, archive: Path) -> tuple[str, ...]:
        """Import the images of an archive (docker's or OCI's) into the node; gives their names."""
        return self.node.runtime.load(archive)

    def pod_logs(self, pod: str, *, namespace: str = "default", container: str | None = None) -> str:
        """What a pod's container has printed; of a pod with several, name one."""
        chosen = ("--container", container) if container else ()
        return self.kubectl("logs", pod, "--namespace", namespace, *chosen)

    def exec(self, pod: str, *command: str, namespace: str = "default", container: str | None = None) -> str:
        """What a command prints that is run in a pod's container."""
        chosen = ("--container", container) if container else ()
        return self.kubectl("exec", pod, "--namespace", namespace, *chosen, "--", *command)

    def _place(self) -> Place:
        network = self._reserved.network
        self._machine = Machine(self._household, network, name=self._shape.name)
        return Place(address=network.machine, services=network.services, real_nodes=True)

    def _start_node(self) -> None:
        plane, machine = self._plane, self._machine
        kubelet, proxy, coredns = self._node_programs
        runtime = Containers(machine, self.directory)
        self._node = Node(
            machine,
            Kubelet(
                machine, kubelet, authority=plane.pki, kubeconfig=plane.kubeconfig_for, shape=self._shape
            ),
            runtime=runtime,
        )
        runtime.start()
        Proxy(machine, proxy, authority=plane.pki, kubeconfig=plane.kubeconfig_for, node=machine.name).start()
        resolvers.start(
            machine, coredns, client=self.client, authority=plane.pki, kubeconfig=plane.kubeconfig_for
        )
        self._node.kubelet.start()
        self.kubectl("wait", f"node/{machine.name}", "--for=create", f"--timeout={READY_S:g}s")
        self.kubectl("wait", f"node/{machine.name}", "--for=condition=Ready", f"--timeout={READY_S:g}s")
