"""
The report of an analysis of a model's KV memory, as a page and as a summary.

Both are filled from one `Analysis`, so that they can't differ; the summary is the JSON that the command
prints. The page has tables alone, because it is written where an engine is installed, without a library that
draws.
"""

from pathlib import Path

from loadline_policies.kv.analyses import BATCHES
from loadline_policies.kv.analysis_results import Analysis
from loadline_sim.reports import page_files


def write(found: Analysis, folder: Path) -> tuple[Path, Path]:
    """Write both files into `folder`, which is created if needed, and return their paths."""
    return page_files.write(folder, page=html(found), summary=found.model_dump(mode="json"))


def html(found: Analysis) -> str:
    """The HTML page."""
    return page_files.rendered(
        "kv.html",
        found=found,
        batches=BATCHES,
        masses=_by_layer(found),
        contexts=_by(found.step_reads, "context_tokens"),
        gpus=_by(found.steps, "gpu"),
    )


def _by_layer(found: Analysis) -> list[tuple[int, object, list[object]]]:
    """Each layer with its likeness to the one before, if it has one, and its heads."""
    likenesses = {one.layer: one for one in found.likenesses}
    return [
        (layer, likenesses.get(layer), [one for one in found.masses if one.layer == layer])
        for layer in range(found.model.layers)
    ]


def _by(rows: tuple[object, ...], key: str) -> dict[object, list[object]]:
    """Rows by the value of a field, in their order."""
    grouped: dict[object, list[object]] = {}
    for row in rows:
        grouped.setdefault(getattr(row, key), []).append(row)
    return grouped
