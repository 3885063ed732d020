"""
`loadline simulate --from-journal`: replays a journal's decisions, and prints which are the same.

What is replayed and compared is the simulator's; this module names files, and shows counts and differences.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from loadline_cli import policies
from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_policies.errors import InvalidInput
from loadline_sim.journals import replays
from loadline_sim.journals.replays import Difference, Replay

SHOWN_DIFFERENCES = 10
"""In a table; JSON has all that are kept."""

MUCH_UNSEEN = 0.05
"""The share of the time without recorded loads from which a note says so. Chosen."""


def replay(files: Sequence[Path], *, policy: str | None, skip_bad: bool, output: Output) -> Exit:
    """Replay journals, by their own documents or by the one in the file `policy`; FAILURE if any differs."""
    document = None if policy is None else policies.power_document(policy)
    try:
        with progress_bars() as progress:
            found = replays.replay(
                files,
                document=document,
                skip_bad=skip_bad,
                told=lambda share: progress("replaying the journal", share),
            )
    except InvalidInput as error:
        hint = error.fix if skip_bad else f"{error.fix}; or leave bad lines out by `--skip-bad`"
        raise CommandError(f"`{error.field}` is {error.shown}", hint=hint) from error
    except OSError as error:
        raise CommandError(
            f"can't read `{error.filename}`: {(error.strerror or 'unknown error').lower()}",
            hint="give the file that an agent writes with `--journal`, or what its /v1/journal answers",
        ) from error
    if not found.compared and not found.unknown:
        names = ", ".join(file.name for file in files)
        raise CommandError(
            f"there is no decision of a power policy in {names}",
            hint="give the journal of a node that was its domain's coordinator",
        )
    for note in _notes(found):
        aside().print(f"note: {note}", soft_wrap=True)
    if output is Output.JSON:
        print_json(_summary(found))
    else:
        _show(found)
    return Exit.OK if found.is_same else Exit.FAILURE


def _notes(found: Replay) -> list[str]:
    """What a reader must know of the figures."""
    notes = found.reading.skipped.notes("lines")
    notes += [f"{place} is cut, as where an agent was killed; it is left out." for place in found.reading.cut]
    notes += [
        f"this version reads the document {then} as {now}: its settings have others beside them since."
        for then, now in found.rehashed.items()
    ]
    notes += [
        f"{count} decisions can't be replayed: the journal doesn't hold their document {name}."
        for name, count in found.unknown.items()
    ]
    if found.unlinked:
        notes.append(
            f"{found.unlinked} decisions begin with another state than the one before left:"
            " there are decisions between them that aren't in the journal."
        )
    if found.document is not None:
        notes.append(
            "loads are those recorded: under other caps the row would have drawn otherwise from the first"
            " difference on. Reliefs are not replayed."
        )
        if found.unseen_s > MUCH_UNSEEN * found.seen_s:
            notes.append(
                f"for {found.unseen_s:.0f} of {found.seen_s:.0f} s no load was recorded: another policy may"
                " have moved there. Agents record two a second with `--journal-observations true`."
            )
    return notes


def _summary(found: Replay) -> dict[str, object]:
    document = found.document
    return {
        "lines": found.reading.lines,
        "skipped_lines": found.reading.skipped.count,
        "first_time": found.first_time,
        "last_time": found.last_time,
        "nodes": sorted(found.nodes),
        "domains": sorted(found.domains),
        "terms": found.terms,
        "policy": None if document is None else {"name": document.policy.name, "hash": document.hash},
        "compared": found.compared,
        "same": found.same,
        "all_same": found.is_same,
        "not_compared": dict(found.unknown),
        "hashes_of_this_version": found.rehashed,
        "unlinked": found.unlinked,
        "seen_seconds": round(found.seen_s, 3),
        "unseen_seconds": round(found.unseen_s, 3),
        "other_lines": dict(found.others),
        "counts": [
            {"decider": decider, "hash": name, "compared": count.compared, "same": count.same}
            for (decider, name), count in found.counts.items()
        ],
        "levels": [
            {
                "recorded": levels.recorded,
                "replayed": levels.replayed,
                "decisions": stay.decisions,
                "seconds": round(stay.seconds, 3),
                "highest_load": stay.highest_load,
                "highest_watts": stay.highest_watts,
            }
            for levels, stay in found.stays.items()
        ],
        "differences": [
            {
                "file": one.place.file,
                "line": one.place.line,
                "time": one.time,
                "decider": one.decider,
                "field": one.field,
                "recorded": one.recorded,
                "replayed": one.replayed,
                "draw_watts": one.draw_watts,
            }
            for one in found.differences
        ],
    }


def _show(found: Replay) -> None:
    console, document = screen(), found.document
    console.print(
        f"{found.reading.lines} lines from {found.first_time} to {found.last_time}: PowerDomain"
        f" {_names(found.domains)}, led by {_names(found.nodes)} in"
        f" {found.terms} {'term' if found.terms == 1 else 'terms'}\n",
        soft_wrap=True,
    )
    figures = ("decisions", "the same", "different")
    rows = table("decided by", "document", *figures, right=frozenset(figures))
    for (decider, name), count in found.counts.items():
        rows.add_row(
            decider, name or "–", *map(str, (count.compared, count.same, count.compared - count.same))
        )
    console.print(rows)
    console.print()
    if document is not None:
        console.print(
            f"replayed with {document.policy.name}, document {document.hash}"
            f"{' (the recorded one)' if _is_recorded(found) else ''}\n",
            soft_wrap=True,
        )
        _show_levels(found)
    if found.differences:
        _show_differences(found.differences)
    console.print(_verdict(found), soft_wrap=True)


def _show_levels(found: Replay) -> None:
    """How long each level was in force, and where the two weren't at the same one."""
    recorded_s, replayed_s = Counter[str](), Counter[str]()
    for levels, stay in found.stays.items():
        recorded_s[levels.recorded] += round(stay.seconds * 1e3)
        replayed_s[levels.replayed] += round(stay.seconds * 1e3)
    figures = ("recorded for", "replayed for")
    rows = table("level", *figures, right=frozenset(figures))
    for level in dict.fromkeys((*recorded_s, *replayed_s)):
        rows.add_row(level, *(f"{one[level] / 1e3:.0f} s" for one in (recorded_s, replayed_s)))
    console = screen()
    console.print(rows)
    console.print()
    if any(levels.recorded != levels.replayed for levels in found.stays):
        _show_other_levels(found)


def _show_other_levels(found: Replay) -> None:
    figures = ("decisions", "for", "highest load", "highest draw")
    rows = table("recorded", "replayed", *figures, right=frozenset(figures))
    for levels, stay in sorted(found.stays.items(), key=lambda pair: -pair[1].seconds):
        if levels.recorded == levels.replayed:
            continue
        watts = "–" if stay.highest_watts is None else f"{stay.highest_watts / 1e3:.1f} kW"
        rows.add_row(*levels, str(stay.decisions), f"{stay.seconds:.0f} s", f"{stay.highest_load:.1%}", watts)
    console = screen()
    console.print(rows)
    console.print()


def _show_differences(differences: Sequence[Difference]) -> None:
    rows = table("line", "time", "field", "recorded", "replayed", right=frozenset({"line"}))
    for one in differences[:SHOWN_DIFFERENCES]:
        values = (json.dumps(value) for value in (one.recorded, one.replayed))
        rows.add_row(str(one.place.line), one.time[11:23], f"{one.decider} {one.field}", *values)
    console = screen()
    console.print("The first fields that differ:\n")
    console.print(rows)
    console.print()


def _verdict(found: Replay) -> str:
    unknown = f"; {found.unknown.total()} could not be compared" if found.unknown else ""
    if found.same == found.compared:
        return f"All {found.compared} compared decisions are the same{unknown}."
    return f"{found.compared - found.same} of {found.compared} compared decisions differ{unknown}."


def _is_recorded(found: Replay) -> bool:
    assert found.document is not None
    return {name for _, name in found.counts} == {found.document.hash}


def _names(names: set[str]) -> str:
    return ", ".join(sorted(names)) or "–"
