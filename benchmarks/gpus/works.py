"""
The works that load a GPU, run by a timetable read from stdin; `loads` is the other side.

`product` is a square matrix product in bf16, the steady load. `prefill` and `decode` are one
GPU's part of a layer of BLOOM-176B at tensor parallel 8, the model that the power model
is fitted on, without what its GPUs say to each other: the same weights move through memory
and the same arithmetic is done. Layers take turns, so that no weight stays in a cache.

torch is loaded by name, since a checkout is checked where it isn't installed.
"""

import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Final

from benchmarks.gpus.loads import SEED
from loadline_agent.boot_clock import boottime

torch: Any = importlib.import_module("torch")

HIDDEN, HEADS, HEAD, INNER = 14_336, 112 // 8, 128, 57_344 // 8
"""BLOOM-176B's published shape; an eighth of heads and of the inner layer."""
LAYERS: Final = 4
CONTEXT_TOKENS: Final = 1_024
"""What each sequence of a decode batch has behind it."""
IN_FLIGHT: Final = 2
"""Steps that are queued beside the one that runs: none, and the GPU waits; many, and load ends late."""
WARM_STEPS: Final = 10

Step = Callable[[], Any]


class Works:
    """Makes the step of a work, warm; one call of a step queues it on the GPU."""

    def product(self, size: int) -> Step:
        """A product of two matrices of size × size."""
        left, right, out = (_random(size, size) for _ in range(3))
        return _warm(partial(torch.matmul, left, right, out=out))

    def prefill(self, tokens: int) -> Step:
        """The layers over a prompt of so many tokens."""
        x = _random(tokens, HIDDEN)
        return _captured(lambda: self._through(x, lambda asked, layer: _among_themselves(asked)))

    def decode(self, batch: int) -> Step:
        """The layers over one new token of each of so many sequences."""
        x = _random(batch, HIDDEN)
        past = [_random(2, batch, HEADS, CONTEXT_TOKENS, HEAD) for _ in range(LAYERS)]
        return _captured(lambda: self._through(x, lambda asked, layer: _with_past(asked, past[layer])))

    @cached_property
    def _weights(self) -> list[list[Any]]:
        shapes = ((HIDDEN, 3 * HEADS * HEAD), (HEADS * HEAD, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN))
        return [[_random(a, b) / a**0.5 for a, b in shapes] for _ in range(LAYERS)]

    def _through(self, x: Any, attend: Callable[[Any, int], Any]) -> Any:
        for layer, (asking, outward, up, down) in enumerate(self._weights):
            x = x + attend(_normal(x) @ asking, layer) @ outward
            x = x + torch.nn.functional.gelu(_normal(x) @ up) @ down
        return x


def _among_themselves(asked: Any) -> Any:
    q, k, v = asked.view(1, -1, 3, HEADS, HEAD).permute(2, 0, 3, 1, 4)
    seen = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return seen.transpose(1, 2).reshape(-1, HEADS * HEAD)


def _with_past(asked: Any, past: Any) -> Any:
    q = asked.view(-1, 3, HEADS, 1, HEAD)[:, 0]
    seen = torch.nn.functional.scaled_dot_product_attention(q, past[0], past[1])
    return seen.reshape(-1, HEADS * HEAD)


def _warm(step: Step) -> Step:
    for _ in range(WARM_STEPS):
        out = step()
    if not bool(torch.isfinite(out).all()):
        raise ValueError("a work gave a number that isn't finite: its watts would mean nothing")
    return step


def _captured(step: Step) -> Step:
    """The step as a CUDA graph, as engines run decode: its kernels are too short to be launched singly."""
    _warm(step)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    graph.replay()
    return graph.replay  # type: ignore[no-any-return]


def run(step: Step, timetable: list[list[float]]) -> list[tuple[float, float]]:
    """Go through pauses and spans; when load began and ended in each."""
    on: list[tuple[float, float]] = []
    for pause_s, load_s in timetable:
        time.sleep(pause_s)
        began_s = boottime()
        _load(step, began_s + load_s)
        on.append((began_s, boottime()))
    return on


def _load(step: Step, until_s: float) -> None:
    queued: list[Any] = []
    while boottime() < until_s:
        step()
        queued.append(torch.cuda.Event())
        queued[-1].record()
        if len(queued) > IN_FLIGHT:
            queued.pop(0).synchronize()
    torch.cuda.synchronize()


def _random(*shape: int) -> Any:
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def _normal(x: Any) -> Any:
    return torch.nn.functional.layer_norm(x, (HIDDEN,))


def _say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


def main() -> None:
    """Serve orders until stdin ends."""
    torch.manual_seed(SEED)
    works = Works()
    makers = {"product": works.product, "prefill": works.prefill, "decode": works.decode}
    with torch.inference_mode():
        _say({"device": torch.cuda.get_device_name()})
        for line in sys.stdin:
            order = json.loads(line)
            step = makers[order["work"]](order["size"])
            torch.cuda.synchronize()
            _say({"begun": boottime()})
            _say({"on": run(step, order["timetable"])})
            del step


if __name__ == "__main__":
    main()
