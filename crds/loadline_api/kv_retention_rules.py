"""
What in a service's spec excludes retention, with the field and the fix.

An engine that can't bound its requests finds that itself when it starts, and then serves without bounds or
not at all. What a spec alone shows, the API server refuses before that; what only the engine can know, such
as its layers and kernels, is left to it.
"""

from collections.abc import Iterable
from typing import Final

from pydantic.config import JsonDict

from loadline_api.engine_options import forms
from loadline_api.kv_retention import IN_BLOCKS, WORKER_OPTION
from loadline_api.schemas import rule

BLOCK_OPTION: Final = "--block-size"

EXCLUDING: Final = (
    "--speculative-config",
    "--spec-method",
    "--spec-model",
    "--spec-tokens",
    "--decode-context-parallel-size",
    "--prefill-context-parallel-size",
    "--kv-transfer-config",
    "--kv-offloading-size",
    "--enable-dbo",
)
"""Arguments of vLLM with which an engine can't bound its requests."""

ASKED: Final = "(has(self.kvCache) && has(self.kvCache.retention) && self.kvCache.retention.mode != 'Off')"
"""In a rule of the whole spec: whether the operator starts engines with retention."""

OR_OFF: Final = "or set kvCache.retention.mode to Off"


def arguments_of(names: Iterable[str]) -> str:
    """In a rule of the whole spec: the arguments of the engine that mean one of these options."""
    return f"self.engine.arguments.filter(a, a.matches('{forms(names)}'))"


def _excluded_by(condition: str, *, field: str, at: str, why: str) -> JsonDict:
    return rule(
        f"!{ASKED} || {condition}",
        says=f"'kvCache.retention.mode is %s, but {why}, {OR_OFF}'"
        f".format([self.kvCache.retention.mode, {field}])",
        at=at,
    )


_EXCLUDING, _WORKERS = arguments_of(EXCLUDING), arguments_of((WORKER_OPTION,))
_SIZES = (
    "self.engine.arguments.filter(a, a.matches('"
    f"{forms((BLOCK_OPTION,)).removesuffix('([=.]|$)')}=[1-9][0-9]{{0,4}}$'))"
)


def _of_this_block(field: str) -> JsonDict:
    """An argument says the block size, so the API server can compare."""
    tokens = f"self.kvCache.retention.{field}"
    size = "int(a.find('[0-9]+$'))"
    return rule(
        f"!{ASKED} || !has({tokens}) || !has(self.engine) || {_SIZES}.all(a, {tokens} % {size} == 0)",
        says=f"'kvCache.retention.{field} is %d, but engine.arguments has %s: set {field} to a multiple of"
        f" that block size'.format([{tokens}, {_SIZES}[0]])",
        at=f".kvCache.retention.{field}",
    )


KV_RETENTION_RULES = (
    rule(
        f"!{ASKED} || !has(self.prefill)",
        says="'kvCache.retention.mode is %s, but engines that send keys and values to"
        f" each other cannot drop any: remove prefill, {OR_OFF}'.format([self.kvCache.retention.mode])",
        at=".kvCache.retention.mode",
    ),
    _excluded_by(
        "self.kvCache.dtype in ['auto', 'float16', 'bfloat16']",
        field="self.kvCache.dtype",
        at=".kvCache.dtype",
        why="kvCache.dtype is %s, and with which no engine can bound requests: set kvCache.dtype to auto",
    ),
    _excluded_by(
        "!has(self.parallelism) || self.parallelism.pipeline == 1",
        field="self.parallelism.pipeline",
        at=".parallelism.pipeline",
        why="parallelism.pipeline is %d: set it to 1 and raise tensor",
    ),
    _excluded_by(
        f"!has(self.engine) || {_EXCLUDING}.size() == 0",
        field=f"{_EXCLUDING}[0]",
        at=".engine.arguments",
        why="engine.arguments has %s, with which no engine can bound requests: remove that argument",
    ),
    _excluded_by(
        f"!has(self.engine) || {_WORKERS}.size() == 0",
        field=f"{_WORKERS}[0]",
        at=".engine.arguments",
        why="engine.arguments has %s, which the operator sets for it: remove that argument",
    ),
    *map(_of_this_block, IN_BLOCKS),
)
"""Rules of the whole spec."""
