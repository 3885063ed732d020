"""
Cuts the routing that ships with the simulator out of DeepSeek's ESFT.

`python -m loadline_sim.experts.excerpts FOLDER` reads the folder of one task from a checkout of ESFT,
and writes the excerpt to where it ships. Of each of the first requests some tokens from the middle are
kept: the beginnings are the same template in all of them, and would make any policy look good.
"""

import lzma
import sys
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np

from loadline_sim.experts import routing_files
from loadline_sim.experts.routings import Routing

SEQUENCES, SKIPPED, KEPT = 24, 64, 40


def cut(routing: Routing) -> str:
    """The excerpt as a table."""
    sequences = routing.sequences[:SEQUENCES].tolist()
    return table(routing, sequences=sequences, kept=slice(SKIPPED, SKIPPED + KEPT))


def table(routing: Routing, *, sequences: Iterable[int], kept: slice) -> str:
    """The `kept` tokens of some requests as a table, weights with three digits after the point."""
    lines = [",".join(routing_files.COLUMNS)]
    for sequence in sequences:
        tokens = np.flatnonzero(routing.sequence == sequence).tolist()
        for number, token in list(enumerate(tokens, 1))[kept]:
            for layer, name in enumerate(routing.layer_numbers):
                ids = " ".join(map(str, routing.ids[token, layer].tolist()))
                weights = " ".join(f"{weight:.3f}" for weight in routing.weights[token, layer].tolist())
                lines.append(f"{sequence + 1},{number},{name},{ids},{weights}")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write the excerpt beside the simulator's other data."""
    text = cut(routing_files.read(Path(sys.argv[1]), experts=routing_files.EXAMPLE_EXPERTS))
    path = Path(str(files("loadline_sim.data").joinpath(routing_files.EXAMPLE)))
    path.write_bytes(lzma.compress(text.encode(), preset=9))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
