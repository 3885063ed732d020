"""
kubelet and kube-proxy on a node of the bed, with settings that fit a small machine.

The kubelet is at home in /var/lib/kubelet, as everywhere; the node sees that folder,
the machine sees it inside the bed's. Both are told what they are by the bed's own
authority. kube-proxy programs nftables, in the node's network namespace.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from testbed.cluster import containers, resolvers
from testbed.cluster.certificates import Authority, Pair
from testbed.cluster.errors import BedError
from testbed.cluster.machines import Machine
from testbed.cluster.processes import Process

HOME = Path("/var/lib/kubelet")
HEALTH_PORT = 10248
READY_S = 60.0
GRACE_S = 10.0

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")

Kubeconfig = Callable[[str, Pair], Path]
"""Writes the kubeconfig of a certificate's bearer, under a name."""

EVICTION = {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"}
"""A developer's disk is full more often than a server's, and nothing here is worth an eviction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a node registers itself; taints are written as `key=value:Effect`."""

    name: str = "node-0"
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: Sequence[str] = ()


class Kubelet:
    """The kubelet, which tests stop and start again."""

    def __init__(
        self, machine: Machine, program: Path, *, authority: Authority, kubeconfig: Kubeconfig, shape: Shape
    ) -> None:
        self._machine, self._shape = machine, shape
        address = machine.network.node
        shown = authority.server("kubelet", addresses=(address,))
        user = authority.client(f"system:node:{shape.name}", groups=("system:nodes",))
        directory = authority.directory.parent
        (directory / "resolv.conf").write_text(f"nameserver {machine.network.dns}\n")
        settings = directory / "kubelet.yaml"
        settings.write_text(
            json.dumps(
                self._settings(authority.pair.certificate, shown, resolv_conf=directory / "resolv.conf")
            )
        )
        self._command: list[str | Path] = [
            program,
            f"--config={settings}",
            f"--kubeconfig={kubeconfig('kubelet', user)}",
            f"--hostname-override={shape.name}",
            f"--node-ip={address}",
        ]
        if shape.labels:
            labels = ",".join(f"{key}={value}" for key, value in shape.labels.items())
            self._command.append(f"--node-labels={labels}")
        self._process: Process | None = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the kubelet and return when it says that it is healthy; nothing to do for one that runs."""
        if self.running:
            return
        self._process = self._machine.start("kubelet", self._command, grace_s=GRACE_S)
        self._process.until(self._healthy, timeout_s=READY_S)

    def stop(self) -> None:
        """Stop the kubelet; its pods go on."""
        if self._process is not None:
            self._process.stop()

    def _healthy(self) -> bool:
        url = f"http://{self._machine.network.node}:{HEALTH_PORT}/healthz"
        try:
            return httpx.get(url, timeout=2.0, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _settings(self, ca: Path, shown: Pair, *, resolv_conf: Path) -> dict[str, object]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(ca)},
            },
            "authorization": {"mode": "Webhook"},
            "tlsCertFile": str(shown.certificate),
            "tlsPrivateKeyFile": str(shown.key),
            "containerRuntimeEndpoint": f"unix://{containers.SOCKET}",
            "healthzBindAddress": self._machine.network.node,
            "healthzPort": HEALTH_PORT,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._machine.make_group(),
            "nodeStatusUpdateFrequency": "1s",
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": [],
            "evictionHard": EVICTION,
            "imageGCHighThresholdPercent": 100,
            "volumePluginDir": str(HOME / "volume-plugins"),
            "clusterDomain": resolvers.DOMAIN,
            "clusterDNS": [self._machine.network.dns],
            "resolvConf": str(resolv_conf),
            "registerWithTaints": [taint(text) for text in self._shape.taints],
        }


class Proxy:
    """kube-proxy: what makes a Service's address answer, from pods and from this machine."""

    def __init__(
        self, machine: Machine, program: Path, *, authority: Authority, kubeconfig: Kubeconfig, node: str
    ) -> None:
        user = authority.client("system:kube-proxy")
        settings = authority.directory.parent / "kube-proxy.yaml"
        document = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": machine.network.pods,
            "hostnameOverride": node,
            "clientConnection": {"kubeconfig": str(kubeconfig("kube-proxy", user))},
            "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }
        settings.write_text(json.dumps(document))
        self._machine = machine
        self._command: list[str | Path] = [program, f"--config={settings}"]

    def start(self) -> None:
        """Start it; rules are there a moment after the first Service is."""
        self._machine.start("kube-proxy", self._command)


def taint(text: str) -> dict[str, str]:
    """A taint as the API has it; raises BedError for a text that is none."""
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    if not key or effect not in EFFECTS:
        raise BedError(f"taint is {text!r}: write it as key=value:{EFFECTS[0]}")
    return {"key": key, "value": value, "effect": effect}
