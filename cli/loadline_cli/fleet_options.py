"""
Options of all commands that simulate a fleet: which requests, which objectives, how steps are filled.
"""

from enum import StrEnum
from typing import Annotated, Final

import typer

ENGINES: Final = "a100-bloom-176b, h100-bloom-176b or h200-llama-3.1-8b-fp8"


class Router(StrEnum):
    """Where requests go on servers that do both."""

    QUEUES = "token-queues"
    TWO = "power-of-two"
    PREFIXES = "prefix-aware"


class Policy(StrEnum):
    """Which requests a server serves first, as vLLM names it."""

    FCFS = "fcfs"
    PRIORITY = "priority"


TRACE: Final = typer.Argument(
    metavar="TRACE",
    help="A .csv, .jsonl or .parquet file (also .gz, .xz), or one of azure-chat, azure-code, "
    "servegen-large, agents.",
)
TraceArgument = Annotated[str, TRACE]
ColumnsOption = Annotated[
    str | None,
    typer.Option(
        "--columns",
        metavar="SPEC",
        help="Names of TRACE's columns: arrival=NAME,prompt=NAME,output=NAME, and maybe priority=NAME, "
        "unit=s|ms|us|ns. "
        "Default: those of Azure, BurstGPT, Mooncake, or arrival_s, prompt_tokens, output_tokens.",
    ),
]
SkipOption = Annotated[
    bool, typer.Option("--skip-bad", help="Leave bad rows out and list them, instead of refusing TRACE.")
]
HoursOption = Annotated[
    float | None,
    typer.Option(
        "--hours",
        metavar="H",
        min=0.001,
        max=1344,
        help="Use the first H hours. Default: all of a file, 1 of a name.",
    ),
]
RateOption = Annotated[
    float,
    typer.Option(
        "--rate",
        metavar="FACTOR",
        min=0.001,
        max=1000,
        help="Multiply the requests, by copying or dropping some.",
    ),
]
TtftOption = Annotated[
    float | None,
    typer.Option("--ttft-ms", metavar="MS", min=0.001, help="Objective for the time to the first token."),
]
TpotOption = Annotated[
    float | None,
    typer.Option("--tpot-ms", metavar="MS", min=0.001, help="Objective for the mean time per further token."),
]
E2eOption = Annotated[
    float | None,
    typer.Option("--e2e-s", metavar="S", min=0.001, help="Objective for the time to the last token."),
]
ShareOption = Annotated[
    float,
    typer.Option(
        "--share", metavar="SHARE", min=0.001, max=1, help="Share of requests that must keep all objectives."
    ),
]
SERVERS: Final = typer.Option("--servers", metavar="N", min=1, max=4096, help="Servers of it.")
ServersOption = Annotated[int, SERVERS]
PrefillOption = Annotated[
    int,
    typer.Option("--prefill-servers", metavar="N", min=0, help="How many of them compute prompts only."),
]
SequencesOption = Annotated[
    int, typer.Option("--max-num-seqs", metavar="N", min=1, max=4096, help="Requests of a step, as in vLLM.")
]
TokensOption = Annotated[
    int,
    typer.Option(
        "--max-num-batched-tokens", metavar="N", min=1, max=65536, help="Tokens of a step, as in vLLM."
    ),
]
RouterOption = Annotated[
    Router,
    typer.Option(
        "--router",
        metavar="NAME",
        help="token-queues (fewest pending tokens), power-of-two (of two drawn) or prefix-aware "
        "(least left to compute).",
    ),
]
PrefixOption = Annotated[
    bool,
    typer.Option(
        "--prefix-cache/--no-prefix-cache",
        help="Keep blocks of prompts on servers, where TRACE says which prompts begin alike.",
    ),
]
PolicyOption = Annotated[
    Policy,
    typer.Option(
        "--scheduling-policy",
        metavar="NAME",
        help="fcfs (first come first served) or priority (TRACE's, the lowest number first), as in vLLM.",
    ),
]
SeedOption = Annotated[
    int, typer.Option("--seed", metavar="N", min=0, help="Random seed of whatever of TRACE is drawn.")
]
