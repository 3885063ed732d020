"""
The authors' own functions, taken at run time out of a checkout that LOADLINE_CAPACITY_AWARE_MOE names.

Nothing of theirs is kept here: their repository has no licence at these commits. Each function comes from
a commit at which it is right. Others have faults: one puts a plain top-k in the place of what it dropped,
one sets the weights of the wrong slots to zero. Needs torch.

Source: github.com/CASE-Lab-UMD/Capacity-Aware-MoE.
"""

import __future__

import ast
import math
import os
import subprocess
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

CHECKOUT = "LOADLINE_CAPACITY_AWARE_MOE"
"""The environment variable with the path of a checkout, or of its git directory."""

EXPERT_LEVEL = ("174afe8", "modeling_hf/modeling_mixtral.py")
"""`MixtralSparseMoeBlock.adjust_tokens`: score, first, last, overselect."""

DEVICE_LEVEL = ("606dc1d", "capacity_aware/capacity_patch.py")
"""`_token_drop_by_device`; a later commit, which not every checkout has."""


class NotThere(Exception):
    """The checkout isn't named, or lacks the commit."""


def adjusted(
    scores: Tensor, *, top_k: int, capacity: int, strategy: str, local: list[int] | None = None
) -> Tensor:
    """The weights [T, E] that are left: the score of each pair that is kept, else 0.

    `strategy` is theirs: score, first (keeps the first tokens), last (keeps the last) or overselect.
    """
    functions = _functions(*EXPERT_LEVEL, "adjust_tokens", "_get_local_expert_indices")
    block = SimpleNamespace(
        strategy=strategy,
        top_k=top_k,
        num_experts=scores.shape[1],
        config=SimpleNamespace(),
        local_expert_indices=local,
    )
    block._get_local_expert_indices = lambda device: functions["_get_local_expert_indices"](block, device)
    weights, experts = functions["adjust_tokens"](block, capacity, scores.clone())
    return _dense(weights, experts, scores.shape[1])


def dropped_by_device(scores: Tensor, *, top_k: int, capacity: int, devices: int) -> Tensor:
    """As `adjusted`, with one capacity for each device; theirs have experts in order, as many each."""
    functions = _functions(*DEVICE_LEVEL, "_token_drop_by_device", "_finalize_capacity_selection")
    drop = functions["_token_drop_by_device"]
    weights, experts = drop(scores.clone(), capacity, top_k, "score", 1, devices)
    return _dense(weights, experts, scores.shape[1])


def _dense(weights: Tensor, experts: Tensor, count: int) -> Tensor:
    """A dropped pair is at an expert that isn't there, `count`."""
    wide = torch.zeros(weights.shape[0], count + 1).scatter_add_(1, experts, weights)
    return wide[:, :count]


@cache
def _functions(commit: str, path: str, *wanted: str) -> dict[str, Any]:
    """The functions or methods of these names in a file."""
    checkout = os.environ.get(CHECKOUT, "")
    if not Path(checkout or "/nowhere").is_dir():
        raise NotThere(f"{CHECKOUT} names no checkout of Capacity-Aware-MoE")
    shown = subprocess.run(
        ["git", "-C", checkout, "show", f"{commit}:{path}"], capture_output=True, text=True, check=False
    )
    if shown.returncode:
        raise NotThere(f"{checkout} has no {path} at {commit}: {shown.stderr.strip()}")
    nodes = [node for node in ast.walk(ast.parse(shown.stdout)) if isinstance(node, ast.FunctionDef)]
    module = ast.Module(body=[node for node in nodes if node.name in wanted], type_ignores=[])
    names: dict[str, Any] = {"torch": torch, "math": math}
    exec(compile(module, path, "exec", flags=__future__.annotations.compiler_flag), names)
    return names
