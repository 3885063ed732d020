"""The recordings that ship with the simulator are whole."""

import pytest

from loadline_sim.traffic import recordings


def test_the_azure_traces_share_one_clock() -> None:
    recorded = recordings.azure_2023()
    assert {name: len(trace) for name, trace in recorded.items()} == {"code": 8819, "chat": 19366}
    assert recorded["chat"].arrival_s[0] == 0.0
    assert recorded["code"].arrival_s[0] == pytest.approx(77.3, abs=0.1)
