"""
containerd on a node of the bed: its settings, its start, and the images it is given.

The usual containerd, runc and CNI plug-ins of the distribution, at their usual places
as the node sees them. Pods hang on a bridge inside the node's network namespace.
"""

import json
import re
import sys
from pathlib import Path

from testbed.cluster import images
from testbed.cluster.machines import Machine
from testbed.cluster.processes import Process
from testbed.fakegpu import container_runtime

SOCKET = "/run/containerd/containerd.sock"
READY_S = 30.0
PLUGINS = ("/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni")
"""Where distributions put the CNI plug-ins: Debian, upstream, Fedora."""

UNUSED = ("aufs", "btrfs", "devmapper", "zfs", "native")

SETTINGS = """\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = [{disabled}]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  sandbox_image = "{sandbox}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.nvidia.options]
      BinaryName = "{with_gpus}"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{plugins}"
    conf_dir = "{networks}"
"""
"""`restrict_oom_score_adj`: a confined root may not protect a container better than containerd is."""


class Containers:
    """The container runtime of a node."""

    def __init__(self, machine: Machine, directory: Path) -> None:
        self._machine, self._directory = machine, directory
        self._process: Process | None = None

    def start(self) -> None:
        """Start containerd, wait until it answers, and give it the image of the sandboxes."""
        networks = self._directory / "cni"
        networks.mkdir(parents=True, exist_ok=True)
        (networks / "10-bed.conflist").write_text(json.dumps(self._network()))
        settings = self._directory / "containerd.toml"
        settings.write_text(
            SETTINGS.format(
                disabled=", ".join(f'"io.containerd.snapshotter.v1.{name}"' for name in UNUSED),
                socket=SOCKET,
                sandbox=images.BUSYBOX,
                plugins=next(filter(lambda path: Path(path).is_dir(), PLUGINS), PLUGINS[0]),
                networks=networks,
                with_gpus=self._with_gpus(),
            )
        )
        process = self._machine.start("containerd", ["containerd", "--config", settings])
        process.until(self._machine.outside(SOCKET).is_socket, timeout_s=READY_S)
        self.load(images.busybox())

    def load(self, archive: Path) -> tuple[str, ...]:
        """Import the images of an archive (docker's or OCI's); gives their names."""
        told = self._images("import", archive)
        return tuple(re.findall(r"^unpacking (\S+)", told, re.MULTILINE))

    def tag(self, name: str, another: str) -> None:
        """Give an image another name beside its own, such as that of a registry."""
        self._images("tag", name, another)

    def _images(self, *arguments: str | Path) -> str:
        """What containerd's client prints about the images that the kubelet uses."""
        return self._machine.run("ctr", "--address", SOCKET, "--namespace", "k8s.io", "images", *arguments)

    def _with_gpus(self) -> Path:
        """The runtime that puts fake GPUs into containers, as a program of the bed."""
        program = self._directory / "nvidia-container-runtime"
        program.write_text(f"#!{sys.executable} -IS\n{Path(container_runtime.__file__).read_text()}")
        program.chmod(0o755)
        return program

    def _network(self) -> dict[str, object]:
        """The pods' network: a bridge with addresses by host, and ports of the host where asked for."""
        bridge = {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self._machine.network.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        mapped = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "bed", "plugins": [bridge, mapped]}
