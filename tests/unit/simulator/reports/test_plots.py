"""Axes of the report's plots say what their grid lines are."""

import re

import numpy as np
import pytest

from loadline_sim.reports import plots


@pytest.mark.parametrize("most", [1.001, 1.0033, 1.03, 1.4, 9.0])
def test_no_two_grid_lines_of_latencies_have_one_name(most: float) -> None:
    quantiles = np.linspace(0, 1, 11)
    drawn = plots.latency_ratios(quantiles, [("code", "low", np.linspace(1.0, most, 11))], wide=True)
    names = re.findall(r"([+±−-][\d.e+]+%)", drawn)
    assert len(names) >= 3
    assert len(names) == len(set(names))
