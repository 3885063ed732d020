"""What of a report is believed, whatever a member says."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import Epoch, GpuReport, Report, ServiceReport
from loadline_policies.power.protocol.plausibility import BELIEVED_AFTER, Doubts, check

GPU = GpuReport(
    uuid="a",
    watts=200.0,
    enforced_watts=300.0,
    min_watts=100.0,
    max_watts=400.0,
    able=True,
    proven=True,
    safe_watts=250.0,
)
GOOD = Report(
    node="n", domain="row", sequence=1, age_s=0.1, host_watts=500.0, host_max_watts=650.0,
    gpus=(GPU, replace(GPU, uuid="b")), armed=True,
)  # fmt: skip


def of_gpu(**changes: Any) -> Report:
    return replace(GOOD, gpus=(replace(GPU, **changes), GOOD.gpus[1]))


def test_a_report_that_can_be_true_is_taken_as_it_is() -> None:
    check(GOOD)
    check(replace(GOOD, sequence=-30_000))  # as in a simulation that begins before zero
    assert Doubts().believed(GOOD) is GOOD


@pytest.mark.parametrize(
    ("report", "field"),
    [
        (replace(GOOD, age_s=-1.0), "ageSeconds"),
        (replace(GOOD, host_max_watts=-1e5), "hostMaxWatts"),
        (replace(GOOD, host_max_watts=1e300), "hostMaxWatts"),
        (replace(GOOD, gpus=tuple(replace(GPU, uuid=str(index)) for index in range(33))), "gpus"),
        (replace(GOOD, gpus=(GPU, GPU)), "gpus"),
        (replace(GOOD, epoch=Epoch(2**62, "uid")), "epoch.transitions"),
        (replace(GOOD, epoch=Epoch(-1, "uid")), "epoch.transitions"),
        (replace(GOOD, epoch=Epoch(1, "u" * 400)), "epoch.leaseUid"),
        (replace(GOOD, sequence=-(2**63)), "sequence"),
        (replace(GOOD, sequence=2**63), "sequence"),
        (replace(GOOD, lease_sequence=10**4000), "leaseSequence"),
        (replace(GOOD, plan_version=2**63), "planVersion"),
        (replace(GOOD, faults=("x",) * 33), "faults"),
        (replace(GOOD, faults=("x" * 400,)), "faults"),
        (replace(GOOD, armed_for="x" * 400), "armedFor"),
        (replace(GOOD, policy_level="x" * 400), "policyLevel"),
        (replace(GOOD, services=(ServiceReport("x" * 400, None),)), "services"),
        (of_gpu(uuid="x" * 400), "gpus.uuid"),
        (of_gpu(owners=("a/b",) * 65), "gpus[a].owners"),
        (of_gpu(owners=("x" * 400,)), "gpus[a].owners"),
        (of_gpu(min_watts=-1e5, max_watts=-1e5), "gpus[a]"),
        (of_gpu(min_watts=500.0), "gpus[a]"),
        (of_gpu(max_watts=1e300), "gpus[a]"),
    ],
)
def test_one_that_contradicts_itself_is_refused_by_the_field(report: Report, field: str) -> None:
    with pytest.raises(InvalidInput, match=f"report.{field.replace('[', '.').replace(']', '.')}"):
        check(report)


def test_a_node_without_gpus_draws_its_hosts_watts() -> None:
    bare = replace(GOOD, gpus=())
    check(bare)
    assert Doubts().believed(bare).watts == 500.0


@pytest.mark.parametrize("watts", [-2000.0, -0.1, 801.0, 1e200])
def test_a_draw_that_cant_be_counts_as_the_most_and_nothing_else_changes(watts: float) -> None:
    believed = Doubts().believed(of_gpu(watts=watts))
    assert believed == of_gpu(watts=400.0)


@pytest.mark.parametrize(
    "changes", [{"enforced_watts": -1e5}, {"enforced_watts": 500.0}, {"safe_watts": -1.0}]
)
def test_limits_that_cant_be_make_a_gpu_unable_at_its_maximum(changes: dict[str, float]) -> None:
    gpu, other = Doubts().believed(of_gpu(**changes)).gpus
    assert (gpu.enforced_watts, gpu.able) == (400.0, False)
    assert other == GOOD.gpus[1]


@pytest.mark.parametrize("host_watts", [-4000.0, 651.0])
def test_a_host_that_cant_be_counts_as_the_most(host_watts: float) -> None:
    assert Doubts().believed(replace(GOOD, host_watts=host_watts)).host_watts == 650.0


def test_it_is_believed_again_after_several_that_can_be_true() -> None:
    doubts = Doubts()
    doubts.believed(of_gpu(watts=-1.0))
    told = [doubts.believed(GOOD).gpus[0].watts for _ in range(BELIEVED_AFTER + 1)]
    assert told == [400.0] * (BELIEVED_AFTER - 1) + [200.0] * 2


@given(
    watts=st.floats(allow_nan=False, allow_infinity=False),
    enforced=st.floats(allow_nan=False, allow_infinity=False),
    safe=st.none() | st.floats(allow_nan=False, allow_infinity=False),
)
def test_no_gpu_ever_counts_below_nothing_or_holds_above_its_maximum(
    watts: float, enforced: float, safe: float | None
) -> None:
    report = Doubts().believed(of_gpu(watts=watts, enforced_watts=enforced, safe_watts=safe))
    gpu = report.gpus[0]
    assert 0 <= gpu.watts <= 2 * gpu.max_watts
    assert 0 < gpu.enforced_watts <= gpu.max_watts + 0.5
