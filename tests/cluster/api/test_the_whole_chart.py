"""Every object of the chart, pods and hooks included, is taken by the API server as it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed import charts
from testbed.api_callers import eventually
from testbed.charts import Manifest
from testbed.cluster.bed import Bed

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
HOOKS = ("pre-upgrade", "pre-delete", "test")

FILES = pytest.mark.parametrize(
    "file", [None, *charts.VALUES], ids=lambda file: file.stem if file else "defaults"
)


def everything(values: dict[str, Any] | None) -> list[Manifest]:
    hooks = [one for event in HOOKS for one in charts.hooks(event, values)]
    return [*charts.rendered(values), *hooks]


@FILES
def test_the_server_takes_every_object(charted: Bed, file: Path | None) -> None:
    found = everything(charts.read(file) if file else None)
    objects = [one for one in found if one["kind"] != "Pod"]  # whose account would have to be there
    told = charted.kubectl(
        "apply",
        "--dry-run=server",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "-f",
        "-",
        input=yaml.safe_dump_all(objects),
    )
    assert len(told.splitlines()) == len(objects)


@pytest.fixture(scope="module")
def restricted(charted: Bed) -> str:
    """A namespace that admits only what Pod Security calls restricted."""
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": RESTRICTED}}
    charted.apply([home])
    charted.wait("wait", "--for=create", "serviceaccount/default", namespace="restricted")
    return "restricted"


def pod_of(manifest: Manifest) -> Manifest:
    spec = manifest["spec"]
    return {**spec.get("template", {"spec": spec})["spec"], "serviceAccountName": "default"}


@FILES
def test_all_pods_but_the_agents_pass_the_restricted_standard(
    charted: Bed, restricted: str, file: Path | None
) -> None:
    values = charts.read(file) if file else None
    for manifest in everything(values):
        if manifest["kind"] in ("Deployment", "Job", "Pod"):
            name = manifest["metadata"]["name"]
            spec = {**pod_of(manifest), "priorityClassName": ""}
            pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
            taken = charted.client.create(f"/api/v1/namespaces/{restricted}/pods?dryRun=All", pod)
            assert taken["metadata"]["name"] == name


def test_the_chart_can_be_applied_again(charted: Bed) -> None:
    before = charted.apply(charts.control_plane_objects())
    after = charted.apply(charts.control_plane_objects())
    versions = [one["metadata"]["resourceVersion"] for one in before]
    assert [one["metadata"]["resourceVersion"] for one in after] == versions


@pytest.mark.parametrize(
    ("role", "may", "may_not"),
    [
        (
            "view",
            {("list", "inferenceservices")},
            {("create", "inferenceservices"), ("patch", "powerdomains")},
        ),
        (
            "edit",
            {("create", "inferenceservices"), ("patch", "inferenceservices/scale")},
            {("patch", "powerdomains"), ("patch", "inferenceservices/status")},
        ),
        (
            "admin",
            {("create", "powerdomains"), ("delete", "nodecapacities")},
            {("patch", "powerdomains/status"), ("create", "nodecapacities")},
        ),
    ],
)
def test_the_clusters_own_roles_take_our_kinds_in(
    charted: Bed, role: str, may: set[tuple[str, str]], may_not: set[tuple[str, str]]
) -> None:
    charted.kubectl(
        "create", "clusterrolebinding", f"crew-{role}", f"--clusterrole={role}", f"--group=crew-{role}"
    )

    def so() -> None:
        for (verb, resource), allowed in {
            **dict.fromkeys(may, "yes"),
            **dict.fromkeys(may_not, "no"),
        }.items():
            said = can(charted, role=role, verb=verb, resource=resource)
            assert said == allowed, f"{role}: {verb} {resource}"

    eventually(so)  # the API server learns of a binding a moment after it is written


def can(bed: Bed, *, role: str, verb: str, resource: str) -> str:
    plural, _, subresource = resource.partition("/")
    attributes = {"group": "loadline.dev", "resource": plural, "subresource": subresource, "verb": verb}
    spec = {"user": "sailor", "groups": [f"crew-{role}"], "resourceAttributes": attributes}
    head = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    answer = bed.client.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", {**head, "spec": spec})
    return "yes" if answer["status"]["allowed"] else "no"
