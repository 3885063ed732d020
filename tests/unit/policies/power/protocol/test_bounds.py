"""One table of bounds, and everybody who goes by it."""

from dataclasses import replace
from typing import Any

import pytest

from loadline_agent.hardware import armed_records
from loadline_api.generate import DEFINITIONS, crd
from loadline_api.names import NODE_CAPACITIES, POWER_DOMAINS, Resource
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol import bounds, plausibility
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report


def _schema(resource: Resource) -> Any:
    (definition,) = (one for one in DEFINITIONS if one.resource == resource)
    return crd(definition)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def _range(field: Any) -> tuple[int, int]:
    return field["minimum"], field["maximum"]


def test_what_may_be_declared_of_a_domain() -> None:
    schema = _schema(POWER_DOMAINS)
    spec, status = schema["spec"]["properties"], schema["status"]["properties"]
    assert _range(spec["leaseSeconds"]) == bounds.LEASE_SECONDS
    assert _range(spec["budgetWatts"]) == bounds.BUDGET_WATTS
    assert _range(spec["hostWatts"]["properties"]["max"]) == bounds.HOST_WATTS
    assert status["members"]["maxItems"] == bounds.MEMBERS


def test_what_an_agent_may_publish_of_its_node() -> None:
    status = _schema(NODE_CAPACITIES)["status"]["properties"]
    assert status["gpus"]["maxItems"] == bounds.GPUS[1]
    assert _range(status["gpus"]["items"]["properties"]["maxWatts"]) == bounds.GPU_WATTS
    assert _range(status["hostMaxWatts"]) == bounds.HOST_WATTS
    assert bounds.GPUS[1] == armed_records.MAX_GPUS, "the guard's record imports nothing of the policies"
    assert bounds.UUID_BYTES == armed_records.UUID_BYTES


GPU = GpuReport(uuid="gpu", watts=200.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0)
REPORT = Report(
    node="node", domain="row", sequence=1, age_s=0.0, host_watts=0.0, host_max_watts=650.0, gpus=(GPU,)
)


@pytest.mark.parametrize(
    ("most", "too_much"),
    [
        ({"host_max_watts": float(bounds.HOST_WATTS[1])}, {"host_max_watts": bounds.HOST_WATTS[1] + 1.0}),
        (
            {"gpus": (replace(GPU, max_watts=float(bounds.GPU_WATTS[1])),)},
            {"gpus": (replace(GPU, max_watts=bounds.GPU_WATTS[1] + 1.0),)},
        ),
        (
            {"gpus": tuple(replace(GPU, uuid=str(number)) for number in range(bounds.GPUS[1]))},
            {"gpus": tuple(replace(GPU, uuid=str(number)) for number in range(bounds.GPUS[1] + 1))},
        ),
        ({"epoch": Epoch(bounds.TRANSITIONS, "uid")}, {"epoch": Epoch(bounds.TRANSITIONS + 1, "uid")}),
    ],
    ids=["host watts", "GPU watts", "GPUs", "transitions"],
)
def test_what_a_coordinator_believes(most: dict[str, Any], too_much: dict[str, Any]) -> None:
    plausibility.check(replace(REPORT, **most))
    with pytest.raises(InvalidInput):
        plausibility.check(replace(REPORT, **too_much))
