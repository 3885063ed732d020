"""
A model whose KV is analysed: what is refused of it, and how it runs with an attention of ours.

Analyses are of softmax attention over all tokens before. Models with latent attention, sliding windows or
layers of another kind are refused by their configuration. What a configuration doesn't say is found by a
check: under our full attention the model has to predict what it predicts under its own.
"""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch

from loadline_policies.errors import InvalidInput
from loadline_policies.kv.kv_formats import KvShape
from loadline_vllm.kv_analyses.attentions import Attention, States, full
from loadline_vllm.retention import frozen_models, gates

NUMBERS: Final = itertools.count()
"""transformers looks attention up by name in the whole process, so each model has a name of its own."""

OWN_ATTENTIONS: Final = ("sdpa", "eager")
CHECKED_TOKENS: Final = 64
MOST_DIFFERENCE: Final = 1e-2
"""Of log-probabilities in float32. Chosen: rounding makes 1e-4, another mask or a capped logit far more."""

ALL_TOKENS: Final = frozenset({"full_attention", "attention"})
OTHER_STATES: Final = ("mamba_", "ssm_", "linear_")
"""What the settings of recurrent layers begin with, also of those beside attention in one layer."""


class AnalysedModel:
    """A causal model in a directory, in float32 on the CPU.

    Raises InvalidInput for a directory without weights, and for a model whose attention isn't analysed.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise InvalidInput("MODEL", str(path), fix="give the folder of a model; a name isn't looked up")
        self.fingerprint = gates.fingerprint_of(path)
        config = json.loads((path / "config.json").read_text("utf-8"))
        refuse_other_attention(config)
        self._attention: Attention = full
        self._name = f"loadline_analysed_{next(NUMBERS)}"
        self._model = frozen_models.load(path, name=self._name, attend=self._attend)
        refuse_other_attention(self._model.config.get_text_config().to_dict())
        found = frozen_models.shape_of(self._model.config)
        text = self._model.config.get_text_config()
        self.shape = KvShape(
            layers=found.layers,
            kv_heads=found.kv_heads,
            query_heads=text.num_attention_heads,
            head=found.head,
        )
        self.longest_tokens: int | None = getattr(text, "max_position_embeddings", None)
        self.vocabulary = int(self._model.get_input_embeddings().num_embeddings)
        self.parameters = sum(one.numel() for one in self._model.parameters())
        self.weight_bytes = round(_stored_bytes(path) * self._read_share())

    def hidden(self, ids: Sequence[int], attention: Attention) -> torch.Tensor:
        """The last hidden states of a sequence under an attention: [tokens, hidden size]."""
        self._attention = attention
        with torch.no_grad():
            states = self._model.base_model(input_ids=torch.tensor([ids]), use_cache=False)
        last: torch.Tensor = states.last_hidden_state[0]
        return last

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """The logits of what follows each token, from its last hidden state."""
        with torch.no_grad():
            made: torch.Tensor = self._model.get_output_embeddings()(hidden)
        return made

    def check(self, ids: Sequence[int]) -> None:
        """InvalidInput if under our full attention the model predicts something else than under its own."""
        kind, some = self._model.config.model_type, list(ids[:CHECKED_TOKENS])
        seen: set[int] = set()

        def counted(layer: int, states: States) -> torch.Tensor:
            seen.add(layer)
            return full(layer, states)

        ours = self.logits(self.hidden(some, counted))
        if seen != set(range(self.shape.layers)):
            fix = (
                "give a model whose attention transformers looks up by name; this one has its own code for it"
            )
            raise InvalidInput("MODEL", kind, fix=fix)
        hidden, logits = self._own(some)
        if _apart(self.logits(hidden), logits):
            fix = "give a model whose logits are its last hidden states times a matrix, and nothing else"
            raise InvalidInput("MODEL", kind, fix=fix)
        if _apart(ours, logits):
            fix = "give a model with plain softmax attention; under it this one predicts something else"
            raise InvalidInput("MODEL", kind, fix=fix)

    def _own(self, ids: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """The last hidden states and the logits as the model itself computes them."""
        for name in OWN_ATTENTIONS:
            try:
                self._model.set_attn_implementation(name)
            except ValueError:  # a model that can't be run that way
                continue
            with torch.no_grad():
                given = {"input_ids": torch.tensor([ids]), "use_cache": False}
                found = self._model.base_model(**given).last_hidden_state[0], self._model(**given).logits[0]
            self._model.set_attn_implementation(self._name)
            return found
        kind = self._model.config.model_type
        raise InvalidInput("MODEL", kind, fix="give a model whose attention can be replaced")

    def _attend(self, module: Any, *states: Any, **named: Any) -> tuple[torch.Tensor, None]:
        """Called by the model in each layer, with states of one sequence."""
        query, key, value = (one[0] for one in states[:3])
        scale = named.get("scaling")
        layer = States(query, key, value, key.shape[-1] ** -0.5 if scale is None else scale)
        mixed = self._attention(module.layer_idx, layer)
        return mixed.transpose(0, 1)[None].contiguous(), None

    def _read_share(self) -> float:
        """The part of the parameters that a decode step reads: not a table in which it looks up one row.

        Exact if all parameters are stored in one type.
        """
        table = self._model.get_input_embeddings().weight
        tied = table is self._model.get_output_embeddings().weight
        return 1.0 if tied else 1 - table.numel() / self.parameters


def _apart(ours: torch.Tensor, own: torch.Tensor) -> bool:
    """Whether logits say something else, also if they are no numbers."""
    difference = (ours.log_softmax(-1) - own.log_softmax(-1)).abs().max()
    return not bool(difference <= MOST_DIFFERENCE)


def refuse_other_attention(config: dict[str, Any]) -> None:
    """InvalidInput for a configuration whose attention isn't over keys and values of all tokens before."""
    kind = config.get("model_type", "unknown")
    if config.get("kv_lora_rank"):
        fix = "give a model without latent attention (MLA): it keeps another thing than keys and values"
        raise InvalidInput("MODEL", kind, fix=fix)
    if config.get("sliding_window") and config.get("use_sliding_window", True):
        fix = f"give a model without sliding windows; this one sees {config['sliding_window']} tokens"
        raise InvalidInput("MODEL", kind, fix=fix)
    if states := sorted(key for key in config if key.startswith(OTHER_STATES)):
        fix = f"give a model that keeps keys and values alone; this one has {states[0]}"
        raise InvalidInput("MODEL", kind, fix=fix)
    kinds = config.get("layer_types") or config.get("layers_block_type") or ()
    if others := sorted(set(kinds) - ALL_TOKENS):
        fix = f"give a model whose layers all attend to all tokens; this one has {', '.join(others)}"
        raise InvalidInput("MODEL", kind, fix=fix)


def _stored_bytes(path: Path) -> int:
    """Bytes of the weights as they are stored."""
    total = 0
    for file in path.glob("*.safetensors"):
        with file.open("rb") as opened:
            header = int.from_bytes(opened.read(8), "little")
        total += file.stat().st_size - 8 - header
    return total
