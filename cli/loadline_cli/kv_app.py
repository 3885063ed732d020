"""
`loadline kv`: its commands with their options and help texts, and nothing of what they do.
"""

from pathlib import Path
from typing import Annotated

import typer

from loadline_cli.options import OutputOption, show_help_without_a_command
from loadline_cli.outputs import Output

kv = typer.Typer(invoke_without_command=True, rich_markup_mode=None)


@kv.callback()
def _kv(context: typer.Context) -> None:
    """Prepare what bounds the KV memory of a model's requests, and work out what that would cost.

    \b
    What keeping KV in fewer bits, or fewer tokens, does to a model's predictions:
      loadline kv analyse ./my-model --data prompts.jsonl

    \b
    Train gates that choose which tokens a request keeps:
      loadline kv train-gates ./my-model --data prompts.jsonl --kept-tokens 1024 --out gates.safetensors
    """
    show_help_without_a_command(context)


@kv.command(name="train-gates", short_help="Train the gates that choose which tokens a request keeps.")
def train_gates(  # noqa: PLR0917
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a causal model of transformers, with its weights."),
    ],
    data: Annotated[
        Path,
        typer.Option("--data", metavar="FILE", help='Lines of JSON: {"text": "…"} or {"ids": [1, 2, …]}.'),
    ],
    kept_tokens: Annotated[
        int,
        typer.Option(
            "--kept-tokens", metavar="M", min=1, help="Tokens that a request keeps; near the budget in use."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="FILE", help="The file of gates; written when training ends.")
    ] = Path("gates.safetensors"),
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Steps of training.")] = 1000,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, help="Examples in a step, all of one length.")
    ] = 4,
    length: Annotated[
        int, typer.Option("--length", metavar="N", min=16, help="Tokens of an example that is cut from text.")
    ] = 2048,
    rate: Annotated[
        float, typer.Option("--rate", metavar="R", min=0.0, help="Learning rate of AdamW.")
    ] = 1e-3,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Seed of the first gates and of the order.")
    ] = 0,
    restart: Annotated[
        bool, typer.Option("--restart", help="Begin anew, although a training for FILE was interrupted.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Train the gates that choose which tokens a request keeps, and write them to a file.

    \b
    For a service that keeps 1,024 tokens of each request:
      loadline kv train-gates ./my-model --data prompts.jsonl --kept-tokens 1024

    A gate gives each token a retention β, and a token of age t is worth β^t (TRIM-KV, arXiv
    2512.03324). The model stays as it is. Each step compares its predictions with those under
    gated attention, and lowers β until the tokens that are worth keeping fit into M. Train on
    text like the service's own, and longer than M: on shorter text nothing has to be forgotten.

    The file is bound to the model by a fingerprint, and an engine refuses it for another one.
    An interrupted training goes on where it was when the same command runs again.

    The command needs torch and transformers, as an engine's image has them.

    Exit codes: 0 success, 2 the training could not run, 130 it was interrupted.
    """
    from loadline_cli import gate_trainings

    raise typer.Exit(
        gate_trainings.train(
            model,
            data,
            kept_tokens=kept_tokens,
            out=out,
            plan=gate_trainings.Plan(steps=steps, batch=batch, length=length, rate=rate, seed=seed),
            restart=restart,
            output=output,
        )
    )


@kv.command(short_help="Find out what each way to keep a model's KV costs, in bytes and predictions.")
def analyse(  # noqa: PLR0917
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="Folder of a causal model of transformers, with its weights."),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help='Lines of JSON: {"text": "…"} or {"ids": [1, 2, …]}.'),
    ] = None,
    random_ids: Annotated[
        bool,
        typer.Option("--random-ids", help="Instead of --data: try the command; measures nothing of use."),
    ] = False,
    sequences: Annotated[
        int, typer.Option("--sequences", metavar="N", min=1, help="Sequences that are measured, at most.")
    ] = 8,
    length: Annotated[
        int,
        typer.Option("--length", metavar="N", min=128, help="Tokens of a sequence that is cut from text."),
    ] = 2048,
    kept_tokens: Annotated[
        int | None,
        typer.Option(
            "--kept-tokens",
            metavar="M",
            min=80,
            help="Tokens that a request keeps under retention, in blocks of 16. Default: a quarter of the"
            " shortest sequence.",
        ),
    ] = None,
    buffer_tokens: Annotated[
        int | None,
        typer.Option(
            "--buffer-tokens",
            metavar="B",
            min=16,
            help="Tokens gathered before some are dropped. Default: a quarter of M.",
        ),
    ] = None,
    gates: Annotated[
        Path | None,
        typer.Option("--gates", metavar="FILE", help="Gates of train-gates: measures them (TRIM-KV) too."),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            "--context",
            metavar="N",
            min=1,
            help="Tokens of the request whose bytes are computed. Default: 32768, or the model's longest.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of random ids.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Also write report.html and summary.json into DIR."),
    ] = None,
    open_report: Annotated[
        bool, typer.Option("--open/--no-open", help="Open that report in a browser at the end.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Find out what each way to keep a model's keys and values costs, in bytes and in predictions.

    \b
    On text like the service's own, with a report:
      loadline kv analyse ./my-model --data prompts.jsonl --out report
    What dropping all but 512 tokens does:
      loadline kv analyse ./my-model --data prompts.jsonl --kept-tokens 512

    Measured, on the data: how far the distribution of the next token moves (KL, in nats) with
    keys and values in each type that vLLM has for them, and with retention by each policy; how
    few tokens hold 90, 95 and 99 % of the attention of each KV head; how much alike adjacent
    layers are. Types are simulated, in torch.

    Computed, from the model's shape: bytes of a request and of each decoded token; from which
    context on a step reads more KV than weights, and how long that takes at least on some GPUs;
    what Squeezed Attention, ShadowKV and RetrievalAttention would move. What a paper claims is
    marked as such.

    Models with latent attention (MLA), sliding windows or other layers are refused. The model
    runs in float32 on the CPU: 4 bytes a parameter, and some 17 passes over each sequence. The
    command needs torch and transformers, as an engine's image has them.

    Exit codes: 0 success, 2 the analysis could not run, 130 it was interrupted.
    """
    from loadline_cli import kv_analyses

    plan = kv_analyses.Plan(
        data=data,
        random_ids=random_ids,
        sequences=sequences,
        length=length,
        kept_tokens=kept_tokens,
        buffer_tokens=buffer_tokens,
        gates=gates,
        context_tokens=context,
        seed=seed,
    )
    raise typer.Exit(kv_analyses.analyse(model, plan, out=out, open_report=open_report, output=output))
