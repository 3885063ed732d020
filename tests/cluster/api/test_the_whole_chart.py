"""Every object of the chart, pods included, is taken by the API server as it is."""

from typing import Any

import pytest
import yaml

from hack import charts
from hack.testenv.bed import Bed

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "agent": {
                "runtimeClassName": "nvidia",
                "affinity": {"nodeAffinity": {}},
                "nodeSelector": {"a": "b"},
            },
            "operator": {"extraEnv": [{"name": "A", "value": "b"}], "logLevel": "debug"},
            "imagePullSecrets": [{"name": "pull"}],
            "priority": {"default": -5, "className": "admirals"},
        },
    ],
    ids=["defaults", "changed"],
)
def test_the_server_takes_every_object(charted: Bed, values: dict[str, Any]) -> None:
    manifests = yaml.safe_dump_all(charts.rendered(values))
    told = charted.kubectl(
        "apply",
        "--dry-run=server",
        "--server-side",
        "--force-conflicts",
        "--validate=strict",
        "-f",
        "-",
        input=manifests,
    )
    assert len(told.splitlines()) == len(charts.rendered(values))


def test_the_operators_pod_passes_the_restricted_standard(charted: Bed) -> None:
    home = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "restricted", "labels": RESTRICTED}}
    charted.apply([home])
    charted.kubectl("wait", "--for=create", "--timeout=20s", "-n", "restricted", "serviceaccount/default")
    (operator,) = (one for one in charts.rendered() if one["kind"] == "Deployment")
    spec = {**operator["spec"]["template"]["spec"], "serviceAccountName": "default"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec}
    taken = charted.client.create("/api/v1/namespaces/restricted/pods?dryRun=All", pod)
    assert taken["metadata"]["name"] == "operator"


def test_the_chart_can_be_applied_again(charted: Bed) -> None:
    before = charted.apply(charts.control_plane_objects())
    after = charted.apply(charts.control_plane_objects())
    versions = [one["metadata"]["resourceVersion"] for one in before]
    assert [one["metadata"]["resourceVersion"] for one in after] == versions
