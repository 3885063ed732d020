"""
How many bytes an expert has at a precision.

The bits of the number formats are arithmetic: a weight's own bits, and its share of the scale of its
group. What a precision costs in the quality of answers isn't computed here, and whether a kernel for
it exists depends on the engine. Figures from papers are marked as such.
"""

from dataclasses import dataclass

from loadline_policies.errors import InvalidInput

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Precision:
    """A number format for weights. `paper` is set where `bits` is a published figure, not arithmetic."""

    name: str
    bits: float
    note: str
    paper: bool = False

    def bytes_of(self, parameters: int) -> float:
        """Bytes of an expert with so many parameters."""
        return parameters * self.bits / 8.0


PRECISIONS = (
    Precision(name="bf16", bits=16.0, note="16 bits a weight"),
    Precision(
        name="fp8", bits=8.0 + 32 / 128**2, note="8 bits, and a 32-bit scale for each block of 128 × 128"
    ),
    Precision(
        name="int4",
        bits=4.0 + 16 / 64,
        note="4 bits, and a 16-bit scale for each group of 64 weights, as in FineQuant (arXiv 2308.09723), "
        "whose group sizes vary by matrix",
    ),
    Precision(
        name="mxfp4",
        bits=4.0 + 8 / 32,
        note="4 bits, and an 8-bit scale for each block of 32 weights (OCP MX)",
    ),
    Precision(
        name="qmoe",
        bits=0.8,
        note="published for a switch transformer of 1.6 trillion parameters (QMoE, arXiv 2310.16795); nobody "
        "has shown it for a model with experts as small as these",
        paper=True,
    ),
)


def find(name: str) -> Precision:
    """The precision of that name; InvalidInput if there is none."""
    for precision in PRECISIONS:
        if precision.name == name:
            return precision
    names = ", ".join(precision.name for precision in PRECISIONS)
    raise InvalidInput("--precision", name, fix=f"use one of {names}")
