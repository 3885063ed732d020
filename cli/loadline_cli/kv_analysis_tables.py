"""
The tables of `loadline kv analyse`: what each way to keep KV costs, what was measured, what would be read.

Layers are summed up over their KV heads; the JSON has each head. Every title says whether its figures were
measured or computed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from loadline_cli.outputs import screen, table
from loadline_policies.kv.analyses import BATCHES
from loadline_policies.kv.analysis_results import Analysis, Choice, HeadMasses
from loadline_sim.reports.formats import percent, sized

if TYPE_CHECKING:
    from rich.table import Table

NOT_MEASURED = "not measured"


def show(found: Analysis) -> None:
    """Print all tables on stdout."""
    console = screen()

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, highlight=False)

    say(heading(found))
    say(f"\nWays to keep a request of {found.context_tokens:,} tokens (bytes computed, drift measured)")
    console.print(_choices(found))
    say("\nLayers (measured): likeness to the layer before, tokens that hold attention's mass")
    console.print(_layers(found))
    say(_merging(found))
    say(f"\nRead for one token of a request of {found.context_tokens:,} (computed)")
    console.print(_sparse_reads(found))
    say("\nKV's share of what a decode step reads, by context and batch (computed)")
    console.print(_shares(found))
    say(f"\nShortest decode step at {found.context_tokens:,} tokens a request, in ms, by batch (computed)")
    console.print(_steps(found))
    say("\n".join(("", *found.left_out)))


def heading(found: Analysis) -> str:
    """The model and the data in a sentence each."""
    model, data = found.model, found.data
    longest = "" if data.longest_tokens == data.shortest_tokens else f" to {data.longest_tokens:,}"
    lines = [
        f"{model.path}: {model.layers} layers of {model.kv_heads} KV heads of {model.head} elements,"
        f" {sized(model.token_bytes)} of KV a token, {sized(model.weight_bytes)} of weights a step",
        f"Data: {data.source}; {data.sequences} sequences of {data.shortest_tokens:,}{longest} tokens,"
        f" judged from token {data.judged_from:,} on",
    ]
    if data.random_ids:
        lines.append("Ids are random: what was measured says nothing about a service")
    return "\n".join(lines)


def _choices(found: Analysis) -> "Table":
    columns = ("KV/token", "request", "KL, nats", "same token")
    rows = table("choice", *columns, right=frozenset(columns))
    for one in found.choices:
        rows.add_row(_name(one), sized(one.token_bytes), sized(one.request_bytes), *_drift(one))
    return rows


def _name(one: Choice) -> str:
    return f"({one.name})" if one.served_by == "nobody" else one.name


def _drift(one: Choice) -> tuple[str, str]:
    if one.drift is None:
        return ("as auto", "") if one.exact else (NOT_MEASURED, "")
    return f"{one.drift.kl_nats:.4f}", percent(one.drift.same_token_share)


def _layers(found: Analysis) -> "Table":
    columns = ("keys", "values", "90 %", "95 %", "99 %", "95 %, by head")
    rows = table("layer", *columns, right=frozenset(columns))
    likenesses = {one.layer: one for one in found.likenesses}
    for layer in range(found.model.layers):
        heads = [one for one in found.masses if one.layer == layer]
        like = likenesses.get(layer)
        rows.add_row(
            str(layer),
            f"{like.keys_cosine:.2f}" if like else "",
            f"{like.values_cosine:.2f}" if like else "",
            *_means(heads),
            _range([one.share_for_95 for one in heads]),
        )
    return rows


def _means(heads: Sequence[HeadMasses]) -> tuple[str, ...]:
    shares = (
        [one.share_for_90 for one in heads],
        [one.share_for_95 for one in heads],
        [one.share_for_99 for one in heads],
    )
    return tuple(percent(sum(one) / len(one)) for one in shares)


def _range(shares: Sequence[float]) -> str:
    return f"{percent(min(shares))} to {percent(max(shares))}"


def _merging(found: Analysis) -> str:
    one = found.merging
    return (
        f"Merging layers would make room for {one.formula_ratio:.2f} times the tokens by its paper's formula"
        f" ({one.paper_ratio} is what the paper reports). It isn't served: {one.why_not}"
    )


def _sparse_reads(found: Analysis) -> "Table":
    columns = ("GPU memory", "link", "host memory")
    rows = table("method", *columns, right=frozenset(columns))
    for one in found.sparse_reads:
        rows.add_row(one.method, sized(one.gpu_bytes), sized(one.link_bytes), sized(one.host_bytes))
    return rows


def _shares(found: Analysis) -> "Table":
    batches = tuple(map(str, BATCHES))
    rows = table("tokens a request", *batches, right=frozenset({"tokens a request", *batches}))
    for tokens in dict.fromkeys(one.context_tokens for one in found.step_reads):
        shares = [one.kv_share for one in found.step_reads if one.context_tokens == tokens]
        rows.add_row(f"{tokens:,}", *(percent(share, 0) for share in shares))
    rows.add_row("half of it from", *(f"{one.context_tokens:,}" for one in found.dominances))
    return rows


def _steps(found: Analysis) -> "Table":
    batches = tuple(map(str, BATCHES))
    rows = table("GPU", "TB/s", *batches, right=frozenset({"TB/s", *batches}))
    for gpu in dict.fromkeys(one.gpu for one in found.steps):
        steps = [one for one in found.steps if one.gpu == gpu]
        rate = steps[0].gigabytes_per_s / 1e3
        rows.add_row(gpu, f"{rate:.2f}", *(f"{one.least_ms:.3g}" for one in steps))
    return rows
