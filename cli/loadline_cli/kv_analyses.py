"""
`loadline kv analyse`: reads sequences, measures a model on them, and prints what ways to keep its KV cost.

The measurements are the plugin's, the arithmetic the policies'; this module turns options into their
settings, and errors into hints.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadline_cli import kv_analysis_tables
from loadline_cli.exits import CommandError, Exit
from loadline_cli.model_folders import check_packages, tokenizer
from loadline_cli.outputs import Output, print_json
from loadline_cli.progress import progress_bars
from loadline_cli.report_files import write_report
from loadline_policies.errors import InvalidInput
from loadline_policies.kv import analyses
from loadline_policies.kv.analysis_results import Analysis, DataFacts, ModelFacts
from loadline_policies.kv.budgets import Budget
from loadline_policies.models import gpu_memories
from loadline_sim.progress import Progress

if TYPE_CHECKING:
    from loadline_vllm.kv_analyses.analysed_models import AnalysedModel
    from loadline_vllm.kv_analyses.measurements import RetentionPlan
    from loadline_vllm.retention.gate_examples import Example

BLOCK_TOKENS: Final = 16
"""vLLM's block size on GPUs, unless it is told otherwise."""

SINK_TOKENS: Final = 4
RECENT_TOKENS: Final = 32
"""As the plugin has them by default."""

LEAST_KEPT_TOKENS: Final = 80
"""The fewest whole blocks that hold twice what always stays."""

USUAL_CONTEXT_TOKENS: Final = 32_768

OPTIONS: Final = {
    "retention.kept_tokens": "--kept-tokens",
    "retention.buffer_tokens": "--buffer-tokens",
    "retention.gates": "--gates",
    "data": "--data",
}
"""The options whose values are refused by other names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is measured: on which sequences, and under which budget. None: as it fits the sequences."""

    data: Path | None
    random_ids: bool
    sequences: int
    length: int
    kept_tokens: int | None
    buffer_tokens: int | None
    gates: Path | None
    context_tokens: int | None
    seed: int


def analyse(model: Path, plan: Plan, *, out: Path | None, open_report: bool, output: Output) -> Exit:
    """Measure a model and print the analysis; CommandError if that isn't possible."""
    if (plan.data is None) != plan.random_ids:
        raise CommandError(
            "`--data` or `--random-ids` is needed, and only one of them",
            hint="give text like the service's own; random ids only try the command",
        )
    check_packages("the analysis")
    with _hints(), progress_bars() as progress:
        found = _analysis(model, plan, progress)
    if output is Output.JSON:
        print_json(found.model_dump(mode="json"))
    else:
        kv_analysis_tables.show(found)
    if out is not None:
        from loadline_sim.reports import kv_pages

        write_report(lambda folder: kv_pages.write(found, folder), out, open_report=open_report)
    return Exit.OK


@contextmanager
def _hints() -> Iterator[None]:
    """Turn what is wrong with files and values into CommandErrors."""
    try:
        yield
    except InvalidInput as error:
        field = OPTIONS.get(error.field, error.field)
        raise CommandError(f"`{field}` is {error.shown}", hint=error.fix) from error
    except UnicodeDecodeError as error:
        raise CommandError("`--data` isn't UTF-8", hint="write it as UTF-8") from error
    except OSError as error:
        raise CommandError(
            f"can't read {error.filename or 'the model'}: {error.strerror or error}"
        ) from error


def _analysis(path: Path, plan: Plan, progress: Progress) -> Analysis:
    from transformers.utils import logging

    from loadline_vllm.kv_analyses import measurements
    from loadline_vllm.kv_analyses.analysed_models import AnalysedModel

    logging.disable_progress_bar()
    progress("loading the model", 0.0)
    model = AnalysedModel(path)
    progress("loading the model", 1.0)
    progress("reading the data", 0.0)
    examples = _examples(path, plan, vocabulary=model.vocabulary)
    retention = _retention(plan, shortest=min(len(one.ids) for one in examples), model=model)
    progress("reading the data", 1.0)
    findings = measurements.measure(model, examples, retention, progress=progress)
    return analyses.assemble(
        _facts(path, model),
        _data(plan, examples, judged_from=retention.judged_from),
        findings,
        budget=retention.budget,
        context_tokens=plan.context_tokens
        or min(USUAL_CONTEXT_TOKENS, model.longest_tokens or USUAL_CONTEXT_TOKENS),
        gpus=gpu_memories.load(),
    )


def _examples(path: Path, plan: Plan, *, vocabulary: int) -> "list[Example]":
    """The sequences, as many as are wanted."""
    from loadline_vllm.retention import gate_examples

    if plan.data is None:
        drawn = random.Random(plan.seed)
        return [
            gate_examples.Example(tuple(drawn.randrange(vocabulary) for _ in range(plan.length)))
            for _ in range(plan.sequences)
        ]
    lines = plan.data.read_bytes().decode("utf-8").split("\n")
    return gate_examples.read(lines, length=plan.length, tokens_of=tokenizer(path))[: plan.sequences]


def _retention(plan: Plan, *, shortest: int, model: "AnalysedModel") -> "RetentionPlan":
    """The budget under which retention is measured: a quarter of the shortest sequence unless it is said."""
    from loadline_vllm.kv_analyses.measurements import RetentionPlan
    from loadline_vllm.retention import gates

    kept = plan.kept_tokens or max(LEAST_KEPT_TOKENS, _blocks(shortest // 4))
    buffer = plan.buffer_tokens or max(BLOCK_TOKENS, _blocks(kept // 4))
    trained = None if plan.gates is None else gates.load(plan.gates, fingerprint=model.fingerprint)
    return RetentionPlan(
        budget=Budget(kept_tokens=kept, buffer_tokens=buffer, block_tokens=BLOCK_TOKENS),
        sink_tokens=SINK_TOKENS,
        recent_tokens=RECENT_TOKENS,
        gates=trained,
    )


def _blocks(tokens: int) -> int:
    """As many tokens as whole blocks have, at most so many."""
    return tokens // BLOCK_TOKENS * BLOCK_TOKENS


def _facts(path: Path, model: "AnalysedModel") -> ModelFacts:
    shape = model.shape
    return ModelFacts(
        path=str(path),
        fingerprint=model.fingerprint,
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        query_heads=shape.query_heads,
        head=shape.head,
        parameters=model.parameters,
        weight_bytes=model.weight_bytes,
        token_bytes=shape.token_bytes,
    )


def _data(plan: Plan, examples: "list[Example]", *, judged_from: int) -> DataFacts:
    lengths = [len(one.ids) for one in examples]
    return DataFacts(
        source=f"random ids, seed {plan.seed}" if plan.data is None else str(plan.data),
        random_ids=plan.random_ids,
        sequences=len(lengths),
        shortest_tokens=min(lengths),
        longest_tokens=max(lengths),
        judged_from=judged_from,
    )
