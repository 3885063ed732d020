"""What an InferenceService becomes, and what its status says."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from loadline_api.inference_services import InferenceService
from loadline_operator.kinds import Manifest
from loadline_operator.services import workloads
from loadline_operator.services.plan import Changes, Observed, plan, signature

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def service(*, status: Manifest | None = None, **spec: Any) -> InferenceService:
    model = {} if "workloadRef" in spec else {"model": {"uri": "hf://org/llm"}}
    return InferenceService.parse(
        {
            "metadata": {"name": "chat", "namespace": "serving", "uid": "uid-chat", "generation": 4},
            "spec": {**model, **spec},
            "status": status or {},
        }
    )


def stored(manifest: Manifest, **status: int) -> Manifest:
    """The object as the API server keeps it, rolled out as far as `status` says."""
    metadata = {**manifest["metadata"], "generation": 7}
    return {**manifest, "metadata": metadata, "status": {"observedGeneration": 7, **status}}


def rolled_out(one: InferenceService, *, ready: int, total: int) -> Observed:
    counts = {"replicas": total, "readyReplicas": ready, "updatedReplicas": total}
    made = plan(one, Observed(), now=NOON)
    assert made.deployment is not None
    assert made.front is not None
    return Observed(deployment=stored(made.deployment, **counts), front=stored(made.front))


def health(changes: Changes) -> tuple[str, str, str]:
    assert changes.status is not None
    by_type = {one["type"]: one for one in changes.status["status"]["conditions"]}
    ready = by_type["Ready"]
    assert {ready["status"], by_type["WorkloadsReady"]["status"]} == {ready["status"]}
    return ready["status"], ready["reason"], ready["message"]


def container(one: InferenceService) -> Manifest:
    made = plan(one, Observed(), now=NOON).deployment
    assert made is not None
    found: Manifest = made["spec"]["template"]["spec"]["containers"][0]
    return found


def test_a_service_becomes_a_deployment_and_a_service() -> None:
    changes = plan(service(replicas=3), Observed(), now=NOON)
    assert changes.deployment is not None
    assert changes.front is not None
    assert changes.deployment["spec"]["replicas"] == 3
    labels = changes.deployment["spec"]["template"]["metadata"]["labels"]
    assert labels == {"loadline.dev/service": "chat", "loadline.dev/pool": "main"}
    assert changes.front["spec"]["selector"] == labels
    for made in (changes.deployment, changes.front):
        (owner,) = made["metadata"]["ownerReferences"]
        assert (owner["uid"], owner["controller"]) == ("uid-chat", True)


def test_gpus_are_the_product_of_the_degrees() -> None:
    one = container(service(parallelism={"tensor": 4, "pipeline": 2}))
    assert one["resources"]["limits"] == {"nvidia.com/gpu": "8"}
    assert {"--tensor-parallel-size=4", "--pipeline-parallel-size=2"} <= set(one["args"])


def test_the_model_is_named_as_clients_ask_for_it() -> None:
    assert container(service())["args"][:2] == ["--model=org/llm", "--served-model-name=chat"]


def test_the_template_is_laid_over_by_container_name() -> None:
    sidecar = {"name": "logs", "image": "logs:1"}
    template = {"spec": {"containers": [{"name": "vllm", "image": "mine:2"}, sidecar]}}
    made = plan(service(template=template), Observed(), now=NOON).deployment
    assert made is not None
    ours, theirs = made["spec"]["template"]["spec"]["containers"]
    assert ours["image"] == "mine:2"
    assert ours["args"]
    assert theirs == sidecar


def test_a_template_cannot_take_the_selectors_labels_away() -> None:
    made = plan(
        service(template={"metadata": {"labels": {"loadline.dev/service": "other", "team": "a"}}}),
        Observed(),
        now=NOON,
    ).deployment
    assert made is not None
    labels = made["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "a"
    assert labels["loadline.dev/service"] == "chat"


@given(
    replicas=st.integers(0, 4),
    ready=st.integers(0, 4),
    total=st.integers(0, 4),
    tensor=st.sampled_from([1, 8]),
    refusal=st.sampled_from([None, "spec.template is wrong"]),
)
def test_planning_its_own_result_gives_nothing(
    replicas: int, ready: int, total: int, tensor: int, refusal: str | None
) -> None:
    one = service(replicas=replicas, parallelism={"tensor": tensor})
    observed = rolled_out(one, ready=ready, total=total)
    observed = Observed(deployment=observed.deployment, front=observed.front, refusal=refusal)
    first = plan(one, observed, now=NOON)
    assert first.deployment is None
    assert first.front is None
    assert first.status is not None
    after = service(replicas=replicas, parallelism={"tensor": tensor}, status=first.status["status"])
    assert not plan(after, observed, now=NOON + timedelta(days=1))


def test_others_conditions_are_left_alone() -> None:
    one = service()
    observed = rolled_out(one, ready=1, total=1)
    first = plan(one, observed, now=NOON)
    assert first.status is not None
    capped = {"type": "PowerCapped", "status": "True", "reason": "LevelRaised"}
    status = {**first.status["status"], "conditions": [*first.status["status"]["conditions"], capped]}
    assert not plan(service(status=status), observed, now=NOON)


def test_scaling_is_written_and_told() -> None:
    observed = rolled_out(service(replicas=1), ready=1, total=1)
    changes = plan(service(replicas=2), observed, now=NOON)
    assert changes.deployment is not None
    assert changes.front is None
    assert health(changes) == ("False", "Progressing", "1 of 2 replicas are ready")


def test_a_rolled_out_service_is_ready() -> None:
    one = service(replicas=2)
    changes = plan(one, rolled_out(one, ready=2, total=2), now=NOON)
    assert health(changes) == ("True", "AsDeclared", "2 of 2 replicas are ready")
    assert changes.status is not None
    status = changes.status["status"]
    assert (status["replicas"], status["readyReplicas"], status["observedGeneration"]) == (2, 2, 4)
    assert status["selector"] == "loadline.dev/pool=main,loadline.dev/service=chat"


def test_a_service_at_rest_is_ready() -> None:
    one = service(replicas=0)
    assert health(plan(one, rolled_out(one, ready=0, total=0), now=NOON))[0] == "True"


def test_the_deployments_complaint_is_told() -> None:
    one = service()
    observed = rolled_out(one, ready=0, total=0)
    assert observed.deployment is not None
    complaint = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "quota"}
    observed.deployment["status"]["conditions"] = [complaint]
    assert health(plan(one, observed, now=NOON)) == (
        "False",
        "Unavailable",
        "0 of 1 replicas are ready: quota",
    )


def test_a_refused_template_is_told_in_the_api_servers_words() -> None:
    one = service(template={"spec": {"restartPolicy": "Sometimes"}})
    changes = plan(one, Observed(refusal="restartPolicy: Unsupported value"), now=NOON)
    assert health(changes) == ("False", "TemplateRefused", "restartPolicy: Unsupported value")


def test_an_object_of_somebody_else_is_not_taken_over() -> None:
    foreign: Manifest = {"kind": "Deployment", "metadata": {"name": "chat"}, "spec": {}, "status": {}}
    changes = plan(service(), Observed(deployment=foreign), now=NOON)
    assert changes.deployment is None
    assert health(changes)[1:] == (
        "NoWorkload",
        "Deployment chat belongs to somebody else: rename one of the two",
    )


def test_an_attached_workload_is_left_to_its_owner() -> None:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "theirs"}
    changes = plan(service(workloadRef=ref), Observed(), now=NOON)
    assert changes.deployment is None
    assert health(changes)[:2] == ("Unknown", "NotTold")


def test_what_this_version_does_not_run_is_not_called_ready() -> None:
    one = service(prefill={"replicas": 1})
    assert health(plan(one, rolled_out(service(), ready=1, total=1), now=NOON))[0] == "False"


def test_parts_that_nothing_acts_on_are_named() -> None:
    one = service(slo={"ttftMs": 500}, scaling={"maxReplicas": 4})
    _, _, text = health(plan(one, rolled_out(one, ready=1, total=1), now=NOON))
    assert "doesn't act on spec.scaling, spec.slo" in text


def test_what_somebody_changes_is_put_right() -> None:
    observed = rolled_out(service(), ready=1, total=1)
    assert observed.deployment is not None
    observed.deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    assert plan(service(), observed, now=NOON).deployment is not None


def test_the_api_servers_own_wording_is_settled_after_one_apply() -> None:
    one = service(template={"spec": {"tolerations": [{"operator": "Exists"}]}})
    wanted = workloads.deployment(one)
    worded = stored(wanted)
    worded["spec"] = {**worded["spec"], "template": {"spec": {"containers": []}}}
    assert plan(one, Observed(deployment=worded), now=NOON).deployment is not None
    settled = frozenset({signature(wanted, worded)})
    assert plan(one, Observed(deployment=worded, settled=settled), now=NOON).deployment is None


def test_an_edit_that_only_removes_is_noticed() -> None:
    before = workloads.deployment(service(template={"spec": {"hostNetwork": True}}))
    assert plan(service(), Observed(deployment=stored(before)), now=NOON).deployment is not None
