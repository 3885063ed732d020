"""
The plots of the study of expert caches.

As in `plots`, each function returns an SVG element, for a wide or for a narrow page. Policies meet where
all experts have a slot, so the curves by memory have no names at their ends: the page has the key.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from loadline_sim.experts.studies import SHARES, BatchSize, Outcome, Study
from loadline_sim.reports.axes import apart, beside, margins, size
from loadline_sim.reports.styles import ROLES, canvas, svg

DRAWN = {
    "belady": ("budget", (5, 3)),
    "lru": ("uncapped", ()),
    "lfu": ("low", ()),
    "plec": ("row", ()),
    "plec-perfect": ("heat", (1, 1.5)),
}
"""The policies that the curves show, with the role of the colour, and the dash; the page has the key."""

PREDICTED = {
    "popularity": ("popularity", "uncapped"),
    "co-activation": ("co-activ.", "low"),
    "linear": ("linear", "row"),
}


def hit_ratios(study: Study, *, wide: bool) -> str:
    """The hit ratio of the policies by memory."""
    return _by_memory(
        study, lambda one: one.replay.hit_ratio * 100, name="hits", unit=" %",
        label="Hit ratio by memory, for each policy", wide=wide,
    )  # fmt: skip


def stalls(study: Study, *, wide: bool) -> str:
    """The stall per token of the policies by memory, in milliseconds."""
    return _by_memory(
        study, lambda one: one.stall_s * 1e3, name="stalls", unit=" ms",
        label="Stall per token by memory, for each policy", wide=wide,
    )  # fmt: skip


def _by_memory(
    study: Study, value: Callable[[Outcome], float], *, name: str, unit: str, label: str, wide: bool
) -> str:
    shares = np.array(SHARES) * 100
    lines = {
        policy: np.array([value(one) for point in study.curves for one in point if one.policy.name == policy])
        for policy in DRAWN
    }
    top = max(float(line.max()) for line in lines.values()) or 1.0
    with canvas(wide=wide, height_inches=3.2 if wide else 3.0) as (figure, axes):
        axes.axvline(study.slots / study.routing.model_experts * 100, color=ROLES["muted"], lw=0.9)
        for policy, line in lines.items():
            role, dash = DRAWN[policy]
            axes.plot(shares, line, color=ROLES[role], lw=1.7, dashes=dash or (None, None))
        axes.set_xlim(0, 100)
        axes.set_ylim(0, top * 1.04)
        axes.xaxis.set_major_locator(MultipleLocator(12.5 if wide else 25))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:g} %"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g}{unit}"))
        margins(figure, wide=wide)
        return svg(figure, name=f"{name}-{size(wide)}", label=label)


def recalls(study: Study, *, wide: bool) -> str:
    """By layer: the share of the used experts that each predictor names."""
    layers = np.array(study.routing.layer_numbers)
    by_name = {one.predictor: np.array(one.by_layer) * 100 for one in study.prepared.accuracies}
    with canvas(wide=wide, height_inches=2.7) as (figure, axes):
        for predictor, (_, role) in PREDICTED.items():
            axes.plot(layers, by_name[predictor], color=ROLES[role], lw=1.7)
        _named(
            axes, [(text, role, float(by_name[key][-1])) for key, (text, role) in PREDICTED.items()], 100.0
        )
        axes.set_ylim(0, 100)
        axes.set_xlim(float(layers[0]) - 0.5, float(layers[-1]))
        axes.xaxis.set_major_locator(MultipleLocator(max(1, layers.size // (13 if wide else 5))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda layer, _: f"{layer:g}"))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda level, _: f"{level:g} %"))
        margins(figure, wide=wide)
        return svg(figure, name=f"recalls-{size(wide)}", label="Recall of each predictor by layer")


def distinct_experts(batches: Sequence[BatchSize], *, experts: int, wide: bool) -> str:
    """Distinct experts of a layer by batch size: measured, and if routing were uniform."""
    sizes = [one.tokens for one in batches]
    with canvas(wide=wide, height_inches=2.5) as (figure, axes):
        axes.axhline(experts, color=ROLES["muted"], lw=0.9)
        axes.plot(sizes, [one.uniform for one in batches], color=ROLES["uncapped"], lw=1.4, dashes=(4, 2))
        axes.plot(sizes, [one.distinct for one in batches], color=ROLES["row"], lw=1.8, marker="o", ms=3.5)
        ends = [("uniform", "uncapped", batches[-1].uniform), ("measured", "row", batches[-1].distinct)]
        _named(axes, ends, float(experts))
        axes.set_xscale("log", base=2)
        axes.set_xlim(sizes[0] * 0.9, sizes[-1])
        axes.set_ylim(0, experts * 1.06)
        axes.set_xticks(sizes, [str(each) for each in sizes])
        axes.minorticks_off()
        margins(figure, wide=wide)
        return svg(figure, name=f"distinct-{size(wide)}", label="Distinct experts of a layer by batch size")


def _named(axes: Axes, ends: Sequence[tuple[str, str, float]], top: float) -> None:
    """A name beside the end of each line, moved apart where the ends are close."""
    order = sorted(range(len(ends)), key=lambda i: -ends[i][2])
    levels = apart([ends[i][2] for i in order], gap=0.075 * top)
    lift = max(0.0, 0.0 - min(levels))
    for i, level in zip(order, levels, strict=True):
        beside(axes, level + lift, text=ends[i][0], role=ends[i][1])
