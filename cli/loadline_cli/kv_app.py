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
    """Prepare what bounds the KV memory of a model's requests.

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
