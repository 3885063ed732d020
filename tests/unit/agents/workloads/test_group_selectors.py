"""A replica may be a group of pods: an agent looks for all of them, an autoscaler for one."""

from typing import Any

from loadline_agent.workloads.services import service_of

NAME, LEADERS = "leaderworkerset.sigs.k8s.io/name=llm", "leaderworkerset.sigs.k8s.io/worker-index=0"


def service(**status: str) -> dict[str, Any]:
    ref = {"apiVersion": "leaderworkerset.x-k8s.io/v1", "kind": "LeaderWorkerSet", "name": "llm"}
    metadata = {"name": "chat", "namespace": "serving"}
    return {"metadata": metadata, "spec": {"workloadRef": ref}, "status": status}


def test_workers_are_found_beside_their_leaders() -> None:
    found = service_of(service(selector=f"{NAME},{LEADERS}", podSelector=NAME))
    assert found.selector == {("leaderworkerset.sigs.k8s.io/name", "llm")}


def test_where_one_selector_finds_all_there_is_no_other() -> None:
    assert service_of(service(selector="app=llm")).selector == {("app", "llm")}
