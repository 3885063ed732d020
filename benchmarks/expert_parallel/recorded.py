"""
The recorded batches: all tokens of DeepSeek-V2-Lite's routing of one task, in a few of its layers.

The simulator's example has all layers and few tokens. An engine plans a placement from thousands of tokens
and serves batches of thousands, so here it is the other way round. `README.md` beside has origin and licence;
`python -m benchmarks.expert_parallel.recorded FOLDER` cuts the file out of a checkout of ESFT.

Half of the requests is planned from, the other half is served.
"""

import lzma
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from loadline_sim.arrays import Floats, Ints
from loadline_sim.experts import excerpts, routing_files
from loadline_sim.experts.routings import Routing

FILE = Path(__file__).with_name("routing-deepseek-v2-lite-law-4-layers.csv.xz")
LAYERS = (4, 11, 18, 25)
"""By their numbers in the model: evenly spaced, chosen before anything was measured."""

EXPERTS = 64
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The router's choice for some tokens: experts and their scores, [T, K] each, of `experts` in all."""

    experts: int
    ids: Ints
    scores: Floats

    @property
    def tokens(self) -> int:
        return int(self.ids.shape[0])

    @property
    def top_k(self) -> int:
        return int(self.ids.shape[1])


def read() -> Routing:
    """The recorded routing."""
    return routing_files.read(FILE, experts=EXPERTS)


def batch(routing: Routing, *, layers: Sequence[int], tokens: int) -> Batch:
    """The first tokens in some layers, given by index.

    Of several layers it makes one, whose experts are those of all of them, side by side: a token's choice
    there is its choices in each. So a layer of 128 experts has recorded loads too.
    """
    chosen = [routing.ids[:tokens, layer] + routing.experts * at for at, layer in enumerate(layers)]
    return Batch(
        experts=routing.experts * len(layers),
        ids=np.concatenate(chosen, axis=1),
        scores=np.concatenate([routing.weights[:tokens, layer] for layer in layers], axis=1),
    )


def loads(routing: Routing, *, layer: int) -> list[int]:
    """The pairs of each expert in a layer, of all tokens."""
    found: list[int] = np.bincount(routing.ids[:, layer].ravel(), minlength=routing.experts).tolist()
    return found


def main() -> None:
    """Write the file, from the folder of ESFT that is named."""
    whole = routing_files.read(Path(sys.argv[1]), experts=EXPERTS)
    text = excerpts.table(whole.in_layers(LAYERS), sequences=whole.sequences.tolist(), kept=slice(None))
    FILE.write_bytes(lzma.compress(text.encode(), preset=9))
    print(f"{FILE}: {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
