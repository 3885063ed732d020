"""
etcd, API server, controller manager and scheduler, started for tests.

Real binaries with the flags that a test bed wants: no fsync, no leader election, no
port but one, and of the controllers only those that a workload's life needs. etcd
listens on sockets in the bed's directory, so no other user of the machine reaches it;
controller manager and scheduler serve nothing. What is checked in production stays
on: Node and RBAC authorisation, the default admission plug-ins, bound tokens.

`Bed` owns this and adds nodes, pods and tokens; `processes` holds what is started.
"""

import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from testbed.cluster import kubeconfigs
from testbed.cluster.binaries import Binaries
from testbed.cluster.certificates import Authority, Pair
from testbed.cluster.clients import Client, tls
from testbed.cluster.errors import ApiError
from testbed.cluster.ports import Reservation
from testbed.cluster.processes import Household, Process

CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "daemonset-controller",
    "deployment-controller",
    "disruption-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "job-controller",
    "namespace-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "statefulset-controller",
    "validatingadmissionpolicy-status-controller",
)
"""What a workload's life and the chart need. No node life cycle: a bed's nodes are Ready for good."""

ETCD_ENDPOINT = "unix://client.sock:1"
"""A socket named `client.sock:1` in the working directory; etcd wants something like a port in it."""

ENVIRONMENT = {"PATH": os.environ.get("PATH", os.defpath)}
"""All that the four see: no proxy and no kubeconfig of whoever runs the tests."""

RATES = ("--kube-api-qps=200", "--kube-api-burst=400")
"""Chosen: the client's own limits of 20 and 50 requests a second would make 52 pods wait."""

PACES = ("--horizontal-pod-autoscaler-sync-period=2s", "--pvclaimbinder-sync-period=1s")
"""Chosen: both look every 15 s by default, and a test would wait for that."""

API_READY_S = 30.0
"""Three seconds on an idle machine; the rest is for one that is building at the same time."""

AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the API server listens, from which range Services get addresses, and whether kubelets call."""

    address: str = "127.0.0.1"
    services: str = "10.0.0.0/24"
    real_nodes: bool = False

    @property
    def service(self) -> str:
        """The API server's own address among the Services'."""
        return str(ipaddress.ip_network(self.services)[1])


LOOPBACK = Place()
"""A control plane for the processes of this machine alone."""


class ApiServer:
    """The API server, which tests stop and start again on the same port and data."""

    def __init__(self, household: Household, command: list[str], *, probe: Client) -> None:
        self._household, self._command, self._probe = household, command, probe
        self._process: Process | None = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.running

    def start(self) -> None:
        """Start the server and return when it is ready; nothing to do for one that runs.

        Scheduler and controllers back off while it is away, as they do in production:
        after a minute's absence it takes them up to half a minute more to come back.
        """
        if self.running:
            return
        self._process = _start(self._household, "kube-apiserver", command=self._command)
        self._process.until(self._probe.healthy, timeout_s=API_READY_S)

    def stop(self) -> None:
        """Stop the server; clients are refused until it is started again. Its data stays."""
        if self._process is not None:
            self._process.stop()


class ControlPlane:
    """The four processes and the credentials of those who may do all."""

    def __init__(
        self,
        household: Household,
        binaries: Binaries,
        *,
        audit: bool = False,
        controllers: tuple[str, ...] = CONTROLLERS,
        place: Place = LOOPBACK,
    ) -> None:
        self._household, self._binaries = household, binaries
        self._controllers, self._place = controllers, place
        self._reservation = Reservation(place.address)
        self.pki = Authority(household.directory / "pki")
        self._token_signer = self.pki.signing_key("service-accounts")
        self.ca = self.pki.pair.certificate
        self.server = f"https://{place.address}:{self._reservation.port}"
        self.audit_log = household.logs / "audit.jsonl" if audit else None
        self.admin = self.pki.client("admin", groups=("system:masters",))
        self.kubeconfig = self.kubeconfig_for("admin", self.admin)
        self.client = Client(self.server, tls(self.ca, self.admin))
        self.apiserver = ApiServer(household, self._apiserver_command(), probe=self.client)

    def start(self) -> None:
        """Start all four; return when the API server is ready and ServiceAccounts are being made."""
        etcd = _start(self._household, "etcd", command=self._etcd_command())
        etcd.until((self._household.directory / "client.sock:1").exists, timeout_s=10.0)
        self.apiserver.start()
        manager = _start(self._household, "kube-controller-manager", command=self._manager_command())
        _start(self._household, "kube-scheduler", command=self._scheduler_command())
        manager.until(self._has_default_account, timeout_s=API_READY_S)

    def close(self) -> None:
        """Close the connections and let go of the port; the household ends the processes."""
        self.client.close()
        self._reservation.close()

    def kubeconfig_for(self, name: str, client: Pair) -> Path:
        """Write the kubeconfig of a certificate's bearer."""
        path = self._household.directory / "kubeconfigs" / f"{name}.yaml"
        return kubeconfigs.by_certificate(path, server=self.server, ca=self.ca, client=client)

    def _has_default_account(self) -> bool:
        try:
            self.client.get("/api/v1/namespaces/default/serviceaccounts/default")
        except ApiError:
            return False
        return True

    def _etcd_command(self) -> list[str]:
        return [
            str(self._binaries.etcd),
            "--name=bed",
            "--data-dir=etcd",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={ETCD_ENDPOINT}",
            f"--advertise-client-urls={ETCD_ENDPOINT}",
            "--listen-peer-urls=unix://peer.sock:1",
            "--initial-advertise-peer-urls=http://localhost:2380",
            "--initial-cluster=bed=http://localhost:2380",
        ]

    def _apiserver_command(self) -> list[str]:
        place = self._place
        shown = self.pki.server("kube-apiserver", addresses=(place.address, place.service))
        command = [
            str(self._binaries.kube_apiserver),
            f"--etcd-servers={ETCD_ENDPOINT}",
            f"--bind-address={place.address}",
            f"--advertise-address={place.address}",
            f"--secure-port={self._reservation.port}",
            "--permit-port-sharing",
            f"--tls-cert-file={shown.certificate}",
            f"--tls-private-key-file={shown.key}",
            f"--client-ca-file={self.ca}",
            "--authorization-mode=Node,RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={self._token_signer.certificate}",
            f"--service-account-signing-key-file={self._token_signer.key}",
            f"--service-cluster-ip-range={place.services}",
            "--allow-privileged",
            "--profiling=false",
        ]
        return command + self._node_flags() + self._audit_flags()

    def _node_flags(self) -> list[str]:
        """How the server reaches kubelets; where there are none, nobody would lift taints or serve pods."""
        if not self._place.real_nodes:
            return ["--endpoint-reconciler-type=none", "--disable-admission-plugins=TaintNodesByCondition"]
        caller = self.pki.client("kube-apiserver-kubelet-client", groups=("system:masters",))
        return [
            f"--kubelet-certificate-authority={self.ca}",
            f"--kubelet-client-certificate={caller.certificate}",
            f"--kubelet-client-key={caller.key}",
            "--kubelet-preferred-address-types=InternalIP",
        ]

    def _audit_flags(self) -> list[str]:
        if self.audit_log is None:
            return []
        policy = self._household.directory / "audit-policy.yaml"
        policy.write_text(json.dumps(AUDIT_POLICY))
        return [f"--audit-log-path={self.audit_log}", f"--audit-policy-file={policy}"]

    def _manager_command(self) -> list[str]:
        user = self.pki.client("system:kube-controller-manager")
        return [
            str(self._binaries.kube_controller_manager),
            "--use-service-account-credentials",
            f"--kubeconfig={self.kubeconfig_for('kube-controller-manager', user)}",
            f"--root-ca-file={self.ca}",
            f"--service-account-private-key-file={self._token_signer.key}",
            f"--controllers={','.join(self._controllers)}",
            "--leader-elect=false",
            "--secure-port=0",
            *RATES,
            *PACES,
        ]

    def _scheduler_command(self) -> list[str]:
        user = self.pki.client("system:kube-scheduler")
        return [
            str(self._binaries.kube_scheduler),
            "--leader-elect=false",
            "--secure-port=0",
            *RATES,
            f"--kubeconfig={self.kubeconfig_for('kube-scheduler', user)}",
        ]


def _start(household: Household, name: str, *, command: list[str]) -> Process:
    """None of the four is given grace: the API server would wait for its watchers, and data go anyway."""
    return household.start(name, command, environment=ENVIRONMENT, grace_s=0.0)
