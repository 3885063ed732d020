"""Hypothesis' strategies for batches: small enough to be read when one fails. Needs torch."""

from hypothesis import strategies as st

from loadline_vllm.experts.priorities import Metric
from testbed.experts.cases import Case, Shape, draw

GAMMAS = st.integers(100, 4_000)
"""In thousandths."""


@st.composite
def cases(draw_from: st.DrawFn, *, tied: bool | None = None) -> Case:
    """A batch of up to 40 tokens for 2 to 16 experts, of any kind."""
    experts = draw_from(st.sampled_from((2, 3, 4, 8, 16)))
    groups = draw_from(st.sampled_from((1, 4))) if experts >= 8 else 1
    shape = Shape(
        tokens=draw_from(st.integers(1, 40)),
        experts=experts,
        top_k=draw_from(st.integers(1, min(4, experts // min(groups, 2)))),
        metric=draw_from(st.sampled_from(Metric)),
        skew=draw_from(st.sampled_from((0.0, 1.5, 3.0))),
        tied=draw_from(st.booleans()) if tied is None else tied,
        biased=draw_from(st.booleans()),
        groups=groups,
        padding=draw_from(st.sampled_from((0, 1, 6))),
        classes=draw_from(st.booleans()),
    )
    return draw(draw_from(st.integers(0, 2**32 - 1)), shape)
