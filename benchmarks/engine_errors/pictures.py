"""
Draws what `benchmarks.engine_error` has measured: each figure of each load, of engine and simulator.

    python -m benchmarks.engine_errors.pictures

Writes docs/pictures/engine-error.svg.
"""

import io
import json
from pathlib import Path
from typing import Any, Final

from matplotlib.figure import Figure

from benchmarks.result_files import RESULTS

PICTURE: Final = Path(__file__).parents[2] / "docs" / "pictures" / "engine-error.svg"
DRAWN: Final = {
    "ttft_p50": ("first token, p50", "o", "#0072b2"),
    "ttft_p99": ("first token, p99", "^", "#0072b2"),
    "itl_p50": ("between tokens, p50", "o", "#009e73"),
    "itl_p99": ("between tokens, p99", "^", "#009e73"),
    "e2e_p50": ("last token, p50", "o", "#d55e00"),
    "e2e_mean": ("last token, mean", "s", "#d55e00"),
}
"""How a figure is named, its marker and its colour."""


def main() -> None:
    """Draw the committed result."""
    found = json.loads(RESULTS.joinpath("engine-error.json").read_text("utf-8"))["results"]
    PICTURE.write_text(drawn(found["engine_s"], found["simulator_s"], tuple(found["errors"])), "utf-8")
    print(PICTURE)


def drawn(engine_s: dict[str, Any], simulator_s: dict[str, Any], loads: tuple[str, ...]) -> str:
    """An SVG: what the engine took against what the simulator said, with ten percent either way."""
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    axes = figure.add_subplot()
    ends = (0.01, 2.0)
    axes.fill_between(ends, [end * 0.9 for end in ends], [end * 1.1 for end in ends], color="#dddddd", lw=0)
    axes.plot(ends, ends, color="#888888", lw=0.8)
    for name, (label, marker, colour) in DRAWN.items():
        axes.plot(
            [engine_s[load][name] for load in loads],
            [simulator_s[load][name] for load in loads],
            marker, color=colour, ms=6, mfc="none", label=label,
        )  # fmt: skip
    axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends)
    axes.set(xlabel="the engine, seconds", ylabel="the simulator, seconds")
    axes.legend(frameon=False, fontsize=8)
    return _text(figure)


def _text(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


if __name__ == "__main__":
    main()
