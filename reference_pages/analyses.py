"""The page of what `loadline kv analyse` prints as JSON: every field, from the models of the document."""

from loadline_api.generate import structural
from loadline_policies.kv.analysis_results import SCHEMA, Analysis
from reference_pages import schema_fields
from reference_pages.markdown import code, prose, table
from reference_pages.pages import Page

HEADS = ("Field", "Type", "What it means")

READING = (
    f"{code('schema_name')} is {code(SCHEMA)}; it changes when a field is renamed or means something else. A"
    " share is from 0 to 1. A figure that wasn't measured is null."
)


def page() -> Page:
    """All fields, each before its own."""
    rows = (
        (code(one.path.removeprefix(".")), one.type, prose(one.description))
        for one in schema_fields.fields(structural(Analysis, defaults=True), "")
    )
    return Page(
        file="kv-analysis.md",
        title="Analysis of KV memory",
        about=(
            "The command `loadline kv analyse MODEL -o json` prints one JSON document, which it also writes"
            " as `summary.json` beside a report. This page lists its fields, and says of each figure whether"
            " it was measured or computed."
        ),
        source="`policies/loadline_policies/kv/analysis_results.py`",
        sections=(READING, table(HEADS, rows)),
    )
