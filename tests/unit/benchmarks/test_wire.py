"""A row with a member that reports anything at all: short forms of the benchmark."""

import json
from random import Random

import pytest

from benchmarks.wire import play
from loadline_api.reports import decode_report, encode_report
from loadline_policies.errors import InvalidInput
from loadline_policies.power.protocol.messages import GpuReport, Report
from testbed.hostile_messages import changed

GPU = GpuReport(uuid="gpu", watts=300.0, enforced_watts=400.0, min_watts=100.0, max_watts=400.0)
REPORT = Report(
    node="node", domain="row", sequence=1, age_s=0.1, host_watts=500.0, host_max_watts=650.0, gpus=(GPU,)
)


@pytest.mark.parametrize("seed", [2, 10])
def test_a_member_that_reports_anything_trips_and_ends_nothing_and_leaves_nothing_behind(seed: int) -> None:
    """In both of these the row was held for good, for GPUs of which the member had told once."""
    outcome = play(seed)
    assert outcome.reports > 100
    assert outcome.most_heat < 1.0
    assert not outcome.died_of
    assert not outcome.held
    assert not outcome.raised


def test_a_changed_report_is_read_or_refused() -> None:
    random, read = Random(1), 0
    for _ in range(2000):
        try:
            report = decode_report(changed(encode_report(REPORT), random))
        except InvalidInput as error:
            assert len(str(error).encode(errors="replace")) <= 1000
            continue
        read += report != REPORT
        json.loads(encode_report(report))
    assert read > 200
