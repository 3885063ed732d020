"""
What commands need that run a model of transformers from a folder: its packages, and its tokenizer.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadline_cli.exits import CommandError


def check_packages(what: str) -> None:
    """CommandError if torch or transformers isn't installed; `what` needs them."""
    try:
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{what} needs the Python package `{error.name}`, which isn't installed",
            hint="run it in an engine's image, or pip install torch transformers safetensors",
        ) from error
    assert torch
    assert transformers


def tokenizer(model: Path) -> Callable[[str], list[int]]:
    """Splits text into the model's tokens; its tokenizer is read only if there is text."""
    found: list[Any] = []

    def tokens_of(text: str) -> list[int]:
        if not found:
            from transformers import AutoTokenizer

            found.append(AutoTokenizer.from_pretrained(model))
        return list(found[0](text)["input_ids"])

    return tokens_of
