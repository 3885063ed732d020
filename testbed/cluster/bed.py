"""
The test bed, control-plane depth: a real Kubernetes without a single container.

`Bed` is a plain context manager around etcd, API server, controller manager and
scheduler, plus what a kubelet would do and tests need: nodes that are Ready, pods that
run in name, tokens that are renewed in files. Agents and operator run as local
processes, each with the kubeconfig of its own identity; those started by `spawn` go
when the bed goes. Leaving the block, in whatever way, leaves nothing behind but the logs, and those
only if it is left by an error.

Its calls block, for milliseconds mostly; from a coroutine use `asyncio.to_thread`
where that matters. The pytest fixtures are in `fixtures`, the command in `__main__`.
"""

import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from testbed.cluster import binaries, kubeconfigs, nodes, tokens
from testbed.cluster.certificates import Authority
from testbed.cluster.clients import Client, Object, tls
from testbed.cluster.control_planes import CONTROLLERS, LOOPBACK, ApiServer, ControlPlane, Place
from testbed.cluster.errors import KubectlFailed
from testbed.cluster.pods import PodRunner
from testbed.cluster.processes import Household, Process
from testbed.cluster.tokens import Binding, Token, TokenKeeper
from testbed.cluster.waits import states_of, wait_for

KUBECTL_TIMEOUT_S = 120.0

EVENTS_CHARACTERS = 4_000
"""How much of a namespace's events is shown where waiting was in vain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A ServiceAccount's credentials as files; the token's is renewed while the bed is up."""

    name: str
    kubeconfig: Path
    token: Path
    ca: Path
    server: str


class Bed:
    """A Kubernetes control plane for tests, up in seconds and gone without a trace.

    `audit` writes every request to `audit_log` (JSON lines, metadata level); `logs` is a
    directory that outlives the bed; `controllers` replaces those of the controller manager.
    """

    def __init__(
        self, *, audit: bool = False, logs: Path | None = None, controllers: tuple[str, ...] = CONTROLLERS
    ) -> None:
        self._programs = binaries.ensure()
        self._household = Household(logs=logs)
        try:
            self._plane = ControlPlane(
                self._household,
                self._programs,
                audit=audit,
                controllers=controllers,
                place=self._place(),
            )
        except BaseException:
            self._household.close()
            raise
        self._mine: set[str] = set()
        self._keeper: TokenKeeper | None = None
        self._runner: PodRunner | None = None

    def __enter__(self) -> Self:
        try:
            self._plane.start()
            self._keeper = TokenKeeper(self.client)
            admin = tls(self.ca, self._plane.admin)
            self._runner = PodRunner(self.server, admin, plays=self._mine.__contains__)
        except BaseException as error:
            self._household.ended(type(error))
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._household.ended(kind)
        self.close()

    def _place(self) -> Place:
        """Where the control plane goes; a bed with a real node has made a network for it."""
        return LOOPBACK

    def close(self) -> None:
        """End everything and remove the bed's directory. Doing it twice does no harm."""
        try:
            if self._runner is not None:
                self._runner.close()
            if self._keeper is not None:
                self._keeper.close()
            self._runner = self._keeper = None
        finally:
            self._household.close()
            self._plane.close()

    @property
    def directory(self) -> Path:
        """Where the bed keeps its files; gone with the bed."""
        return self._household.directory

    @property
    def logs(self) -> Path:
        """Where each process's output is, as `<name>.log`; it stays there if the bed's block fails."""
        return self._household.logs

    @property
    def audit_log(self) -> Path | None:
        """The API server's audit log, where one was asked for."""
        return self._plane.audit_log

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._plane.server

    @property
    def ca(self) -> Path:
        """The certificate of the authority that signed the API server's."""
        return self._plane.ca

    @property
    def authority(self) -> Authority:
        """That authority, which signs for whoever else is part of the bed."""
        return self._plane.pki

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self._plane.kubeconfig

    @property
    def client(self) -> Client:
        """Requests as the administrator."""
        return self._plane.client

    @property
    def apiserver(self) -> ApiServer:
        """The API server, to be stopped and started."""
        return self._plane.apiserver

    @property
    def token_keeper(self) -> TokenKeeper:
        """What renews the identities' tokens; there is one while the bed is up."""
        assert self._keeper is not None
        return self._keeper

    def add_nodes(
        self, names: Iterable[str], *, gpus: int = 8, labels: Mapping[str, str] | None = None
    ) -> None:
        """Create Ready nodes; pods that the scheduler binds to them are set Running."""
        for name in names:
            self._mine.add(name)
            self.client.create("/api/v1/nodes", nodes.node(name, gpus=gpus, labels=labels))

    def apply(self, objects: Iterable[Mapping[str, Any]]) -> list[Object]:
        """Server-side apply in the order given; CRDs are waited for. Raises ApiError if one is refused."""
        return self.client.apply(objects)

    def node_token(
        self, node: str, service_account: str, namespace: str, *, audience: str | None = None
    ) -> Token:
        """A token of a ServiceAccount that names the node it is used on."""
        binding = Binding(service_account=service_account, namespace=namespace, node=node, audience=audience)
        return tokens.request(self.client, binding)

    def identity(
        self,
        service_account: str,
        namespace: str,
        *,
        node: str | None = None,
        audience: str | None = None,
        expiry_s: int = tokens.EXPIRY_S,
    ) -> Identity:
        """The files with which a process is this ServiceAccount, on this node if one is given.

        The token lasts `expiry_s` seconds (600 at least) and is renewed at half of that.
        """
        binding = Binding(
            service_account=service_account,
            namespace=namespace,
            node=node,
            audience=audience,
            expiry_s=expiry_s,
        )
        parts = (namespace, service_account, node, audience and audience.replace("/", "-"))
        name = ".".join(filter(None, parts))
        home = self.directory / "identities" / name
        self.token_keeper.keep(binding, home / "token")
        shutil.copyfile(self.ca, home / "ca.crt")
        kubeconfig = kubeconfigs.by_token_file(
            home / "kubeconfig.yaml",
            server=self.server,
            ca=self.ca,
            token=home / "token",
            namespace=namespace,
        )
        return Identity(
            name=name, kubeconfig=kubeconfig, token=home / "token", ca=home / "ca.crt", server=self.server
        )

    def kubectl(
        self,
        *arguments: str,
        input: str | None = None,
        kubeconfig: Path | None = None,
        editor: Path | None = None,
    ) -> str:
        """What kubectl prints, as the administrator or as another kubeconfig's user.

        `editor` is the program that `kubectl edit` opens. Raises KubectlFailed with what it wrote to stderr.
        """
        environment = {
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "KUBECTL_KUBERC": "false",
            "KUBECACHEDIR": str(self.directory / "kubectl"),
            "HOME": str(self.directory),
            **({"KUBE_EDITOR": str(editor)} if editor is not None else {}),
        }
        done = subprocess.run(
            [self._programs.kubectl, *arguments],
            env=environment,
            input=input,
            text=True,
            capture_output=True,
            timeout=KUBECTL_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def wait(self, *arguments: str, namespace: str = "default", standstill_s: float = 30.0) -> None:
        """Wait for what `kubectl wait …` or `kubectl rollout status …` waits for, while pods make progress.

        Raises GaveUp with the states of the namespace's pods and the newest events, once neither has
        changed for `standstill_s` seconds.
        """
        short = ("--namespace", namespace, "--timeout=2s")

        def holds() -> bool | None:
            try:
                self.kubectl(*arguments, *short)
            except KubectlFailed:
                return None
            return True

        wait_for(
            holds,
            f"kubectl {' '.join(arguments)} --namespace {namespace}",
            standstill_s=standstill_s,
            seen=lambda: states_of(self.client.get(f"/api/v1/namespaces/{namespace}/pods")["items"]),
            why=lambda: self.kubectl("events", "--namespace", namespace)[-EVENTS_CHARACTERS:],
        )

    def spawn(
        self, name: str, arguments: Sequence[str], *, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a program that goes when the bed goes, however that happens.

        Its output is in `logs`; it sees the environment given, or else the caller's.
        """
        return self._household.start(name, arguments, environment=environment)
