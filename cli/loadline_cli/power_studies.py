"""
`loadline study power`: reads policies, runs the study, prints its rows, writes its report and its ConfigMap.

The study is the simulator's; this module turns options into its settings, and errors into hints.
"""

from collections.abc import Sequence
from pathlib import Path

from loadline_cli.exits import CommandError, Exit
from loadline_cli.outputs import Output, aside, print_json, screen, table
from loadline_cli.progress import progress_bars
from loadline_cli.report_files import Shown, write_report
from loadline_cli.study_runs import processors
from loadline_policies.errors import InvalidInput, InvalidPolicy, UnsafeDomain
from loadline_sim.reports import formats, power_pages
from loadline_sim.weeks import studies
from loadline_sim.weeks.studies import Settings, Study


def power(
    policies: Sequence[Path],
    *,
    servers: str,
    base_servers: int,
    days: int,
    load: float,
    replay_share: float,
    seed: int,
    jobs: int | None,
    emit: Path | None,
    shown: Shown,
) -> Exit:
    """Run the study and write its report; FAILURE if none is recommended. `jobs` None: one a processor."""
    settings = Settings(
        documents=studies.built_in() | documents_of(policies),
        servers=counts(servers),
        base_servers=base_servers,
        days=days,
        load=load,
        seed=seed,
        replay_share=replay_share,
    )
    try:
        with progress_bars() as progress:
            study = studies.run(settings, jobs=jobs or processors(), progress=progress)
    except (InvalidInput, InvalidPolicy) as error:
        raise CommandError(f"`{error.field}` is {error.shown}", hint=error.fix) from error
    except UnsafeDomain as error:
        raise CommandError(str(error), hint="give fewer with `--servers`") from error
    show(study, shown.output)
    write_report(lambda folder: power_pages.write(study, folder), shown.out, open_report=shown.open_report)
    if emit is not None:
        write_manifest(study, emit)
    return Exit.FAILURE if study.best is None else Exit.OK


def documents_of(files: Sequence[Path]) -> dict[str, str]:
    """The texts of policy documents, by their files' names without suffix."""
    found: dict[str, str] = {}
    for file in files:
        if file.stem in found or file.stem in studies.built_in():
            raise CommandError(f"two policies are called `{file.stem}`", hint="rename the file")
        try:
            found[file.stem] = file.read_text("utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(f"`{file}` isn't UTF-8 text", hint="name a YAML file") from error
        except OSError as error:
            reason = (error.strerror or "unknown error").lower()
            raise CommandError(f"can't read `{file}`: {reason}", hint="name a YAML file") from error
    return found


def counts(text: str) -> tuple[int, ...]:
    """Numbers of servers, as an option has them: `44,48,52`."""
    try:
        return tuple(sorted({int(one) for one in text.split(",")}))
    except ValueError as error:
        raise CommandError(f"`--servers` is `{text}`", hint="give whole numbers, as 44,48,52") from error


def show(study: Study, output: Output) -> None:
    """Print the rows on stdout, as a table or as the JSON of `summary.json`."""
    if output is Output.JSON:
        print_json(power_pages.summary_of(study))
        return
    console = screen()
    console.print(f"{power_pages.verdict(study)}\n", soft_wrap=True)
    figures = ("servers", "above budget", "highest", "high p99", "low p99", "with caps")
    rows = table("policy", *figures, right=frozenset(figures))
    for row in study.rows:
        case, load = row.outcome.case, row.outcome.load
        rows.add_row(
            case.title,
            str(case.servers),
            formats.number(row.brakes),
            formats.percent(row.max_load),
            formats.percent(row.slower["high"][99]),
            formats.percent(row.slower["low"][99]),
            formats.percent(row.outcome.capped_s / load.seconds),
        )
    console.print(rows)
    console.print(
        "(above budget: times, as a mean over 2 s; p99: how much longer than on them without caps)\n",
        soft_wrap=True,
    )


def write_manifest(study: Study, path: Path) -> None:
    """Write the recommended policy's ConfigMap; say so where none is recommended."""
    try:
        text = power_pages.manifest(study)
    except LookupError as error:
        aside().print(f"no ConfigMap: {error}", soft_wrap=True)
        return
    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        reason = (error.strerror or "unknown error").lower()
        raise CommandError(
            f"can't write `{path}`: {reason}", hint="choose another file with `--emit`"
        ) from error
    aside().print(f"policy: {path}; apply it with kubectl apply -n loadline-system -f {path}", soft_wrap=True)
