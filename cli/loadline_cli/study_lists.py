"""
`loadline study list`: what each study answers, and how long it takes.
"""

from loadline_cli.outputs import Output, print_json, screen, table
from loadline_sim.reports import formats
from loadline_sim.studies.registry import STUDIES


def show(output: Output) -> None:
    """Print the studies on stdout."""
    if output is Output.JSON:
        print_json([{"name": one.name, "answers": one.answers, "seconds": one.seconds} for one in STUDIES])
        return
    rows = table("study", "answers", "takes", right=frozenset({"takes"}))
    for one in STUDIES:
        rows.add_row(one.name, one.answers, f"about {formats.seconds(one.seconds)}")
    screen().print(rows)
