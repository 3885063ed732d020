"""Pods really run on the bed's node: probed, served, named, logged, entered, and autoscaled."""

import httpx
import pytest

from testbed.cluster import binaries
from testbed.cluster.errors import KubectlFailed
from testbed.cluster.node_beds import NodeBed
from testbed.cluster.waits import eventually
from testbed.cluster.workloads import Namespace, deployment, fetched, service


def test_a_deployment_runs_and_is_ready_when_its_probe_says_so(space: Namespace) -> None:
    space.apply(
        deployment("www", command="sleep 2; " + "hostname >/www/index.html; exec httpd -f -p 8080 -h /www")
    )
    assert eventually(lambda: [p["status"]["phase"] for p in space.pods("www")] == ["Running"])
    (pod,) = space.pods("www")
    ready = {c["type"]: c["status"] for c in pod["status"]["conditions"]}
    assert ready["Ready"] == "False"
    space.wait("rollout", "status", "deployment/www")


def test_pods_answer_this_machine_at_their_addresses(space: Namespace) -> None:
    space.serve("www", replicas=2)
    answers = {
        p["metadata"]["name"]: fetched(f"http://{p['status']['podIP']}:8080/") for p in space.pods("www")
    }
    assert len(answers) == 2
    assert all(name == answer for name, answer in answers.items())


def test_a_service_answers_this_machine_and_pods_by_address_and_name(space: Namespace) -> None:
    space.serve("www")
    (pod,) = (p["metadata"]["name"] for p in space.pods("www"))
    assert eventually(lambda: fetched(f"http://{space.address('www')}/") == pod)
    space.run("client", "sleep 1000")
    assert space.exec("client", f"wget -qO- http://{space.address('www')}/") == pod
    assert space.exec("client", "wget -qO- http://www/") == pod
    assert space.exec("client", f"wget -qO- http://www.{space.name}.svc.cluster.local/") == pod


def test_a_pod_reaches_its_own_service(space: Namespace) -> None:
    """The road there leads out of the pod's card and back in by it."""
    space.serve("www")
    (pod,) = (p["metadata"]["name"] for p in space.pods("www"))
    assert eventually(lambda: fetched(f"http://{space.address('www')}/") == pod)
    assert space.exec(pod, "wget -qO- http://www/") == pod


def test_a_pod_reaches_the_api_server_with_its_own_account(space: Namespace) -> None:
    kubectl = binaries.find("kubectl")
    volume = {"name": "programs", "hostPath": {"path": str(kubectl.parent)}}
    mount = {"name": "programs", "mountPath": "/programs", "readOnly": True}
    space.run("client", "sleep 1000", container={"volumeMounts": [mount]}, volumes=[volume])
    who = space.exec(
        "client", "HOME=/tmp /programs/kubectl auth whoami -o jsonpath={.status.userInfo.username}"
    )
    assert who == f"system:serviceaccount:{space.name}:default"


def test_what_a_pod_prints_is_in_its_log(node_bed: NodeBed, space: Namespace) -> None:
    space.run("talker", "echo one; echo two; sleep 1000")
    assert eventually(lambda: node_bed.pod_logs("talker", namespace=space.name) == "one\ntwo\n")


def test_a_command_that_fails_in_a_pod_fails(node_bed: NodeBed, space: Namespace) -> None:
    space.run("quiet", "sleep 1000")
    assert node_bed.exec("quiet", "hostname", namespace=space.name) == "quiet\n"
    with pytest.raises(KubectlFailed, match="exit code 3"):
        node_bed.exec("quiet", "sh", "-c", "exit 3", namespace=space.name)


def test_a_pod_that_ends_in_failure_is_told_so(space: Namespace) -> None:
    space.apply(deployment("broken", command="echo no; exit 7"))
    reason = "jsonpath={.items[*].status.containerStatuses[*].lastState.terminated.exitCode}"
    assert eventually(lambda: space.kubectl("get", "pods", "-l", "app=broken", "-o", reason) == "7")


def test_a_claim_finds_its_volume_and_keeps_what_is_written(
    space: Namespace, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shelf = tmp_path_factory.mktemp("shelf")
    size = {"storage": "1Gi"}
    name = f"{space.name}-shelf"
    common = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**common, "capacity": size, "hostPath": {"path": str(shelf)}},
    }
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shelf"},
        "spec": {**common, "resources": {"requests": size}, "volumeName": name},
    }
    space.bed.apply([volume])
    space.apply(claim)
    mount = {"volumeMounts": [{"name": "shelf", "mountPath": "/shelf"}]}
    mounted = [{"name": "shelf", "persistentVolumeClaim": {"claimName": "shelf"}}]
    space.run("writer", "echo kept >/shelf/book; sleep 1000", container=mount, volumes=mounted)
    assert eventually(lambda: (shelf / "book").exists())
    space.kubectl("delete", "pod", "writer")
    space.kubectl("delete", "pvc", "shelf")
    space.bed.kubectl("delete", "pv", name)
    assert (shelf / "book").read_text() == "kept\n"


def test_the_autoscaler_and_the_garbage_collector_are_at_work(space: Namespace) -> None:
    """No metrics here, so it says that it can't scale: that it says so is what is asked."""
    space.apply(deployment("www"), service("www"))
    space.kubectl("autoscale", "deployment/www", "--max=3", "--cpu=50%")
    told = "jsonpath={.status.conditions[?(@.type=='ScalingActive')].status}"
    assert eventually(lambda: space.kubectl("get", "hpa/www", "-o", told) == "False", 60.0)


def test_pods_outlive_a_restart_of_the_kubelet(node_bed: NodeBed, space: Namespace) -> None:
    space.serve("www")
    (before,) = space.pods("www")
    node_bed.node.restart_kubelet()
    assert fetched(f"http://{before['status']['podIP']}:8080/") == before["metadata"]["name"]
    node_bed.wait("wait", f"node/{node_bed.node.name}", "--for=condition=Ready")
    space.serve("later")
    (after,) = space.pods("www")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_the_kubelet_answers_the_api_server_alone(node_bed: NodeBed) -> None:
    response = httpx.get(f"https://{node_bed.node.address}:10250/pods", verify=False, trust_env=False)
    assert response.status_code == 401
