"""The figures of known traces are those that were published of them."""

import numpy as np
import pytest

from loadline_sim.traffic import prefixes, recordings, sessions
from loadline_sim.traffic.statistics import Lengths, statistics
from loadline_sim.traffic.traces import Trace


def test_azure_2023_has_the_figures_that_others_computed() -> None:
    code, chat = (statistics(recordings.azure_2023()[name]) for name in ("code", "chat"))
    assert (round(code.mean_per_minute), code.peak_per_minute) == (151, 632)
    assert code.deviation_per_minute == pytest.approx(1.04, abs=0.005)
    assert code.dispersion == pytest.approx(13.2, abs=0.05)
    assert (round(chat.mean_per_minute), chat.peak_per_minute) == (333, 507)
    assert chat.dispersion == pytest.approx(1.4, abs=0.05)
    assert (chat.prompt.p50, chat.prompt.p99) == (1020, 4142)
    assert (chat.output.p50, chat.output.p90, chat.output.p99) == (129, 424, 601)


def test_what_a_short_trace_cannot_tell_is_unknown() -> None:
    one = statistics(Trace(np.array([5.0]), np.array([10]), np.array([2])))
    assert np.isnan(
        [one.mean_per_minute, one.peak_per_minute, one.deviation_per_minute, one.dispersion]
    ).all()
    assert one.prompt == Lengths(mean=10.0, p50=10.0, p90=10.0, p99=10.0)
    assert one.cached_share is None


def test_shared_prefixes_are_a_share_of_all_blocks() -> None:
    blocks = prefixes.of_ids(np.array([0, 1, 2, 0, 1, 3]), np.array([3, 3]), block_tokens=16)
    trace = Trace(np.array([0.0, 1.0]), np.array([48, 48]), np.array([1, 1]), blocks)
    assert statistics(trace).cached_share == pytest.approx(2 / 6)


def test_agents_ask_nearly_the_same_again_and_again() -> None:
    drawn = sessions.drawn(recordings.agentic_sessions(), per_hour=100, duration_s=2 * 86_400, seed=1)
    assert statistics(drawn).cached_share == pytest.approx(0.963, abs=0.01)
