"""All pages of the reference by file name, and the one that lists them."""

from reference_pages import analyses, commands, conditions, crds, metrics, policies
from reference_pages.pages import Page

BESIDE = (
    "The chart's values are in [its README](../../charts/loadline/README.md#values), made the same way from"
    " `values.yaml`. Words have the meaning of the [glossary](../glossary.md)."
)


def files() -> dict[str, str]:
    """The text of every page by its file's name."""
    pages = (
        crds.page(),
        conditions.page(),
        metrics.page(),
        commands.page(),
        policies.page(),
        analyses.page(),
    )
    return {page.file: page.text for page in (_index(pages), *pages)}


def _index(pages: tuple[Page, ...]) -> Page:
    lines = (f"- [{page.title}]({page.file}): {page.about}" for page in pages)
    return Page(
        file="README.md",
        title="Reference",
        about=(
            "These pages list what can be looked up: fields, conditions, metrics, commands and policies."
            " They are written from the code by `make generate`, and a test fails where one of them differs"
            " from it."
        ),
        source="the pages beside it",
        sections=("\n".join(lines), BESIDE),
    )
