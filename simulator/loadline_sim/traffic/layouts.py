"""
Which columns of a file say when requests came and how long they were.

Public traces name the same three things differently, and one publisher moved its columns between files. So
columns are found by name: those of the known publishers, Loadline's own, or the ones that a user names.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from loadline_policies.errors import InvalidInput, InvalidTrace

UNITS_S: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The columns of one kind of file.

    A number in `arrival` counts units of `unit_s` seconds; a timestamp is one by itself. `blocks` holds lists
    of the ids of a prompt's blocks of `block_tokens` tokens, `priority` whole numbers, the lower the earlier;
    both may be missing, unless a user has named the column.
    """

    name: str
    arrival: str
    prompt: str
    output: str
    unit_s: float = 1.0
    blocks: str = ""
    block_tokens: int = 0
    priority: str = ""
    is_named: bool = False

    @property
    def needed(self) -> tuple[str, str, str]:
        """The columns without which there is no request."""
        return (self.arrival, self.prompt, self.output)

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that a file must have."""
        return (*self.needed, self.priority) if self.is_named else self.needed


OWN: Final = Layout(
    name="Loadline",
    arrival="arrival_s",
    prompt="prompt_tokens",
    output="output_tokens",
    priority="priority",
)
AZURE: Final = Layout(
    name="Azure 2023 and 2024", arrival="TIMESTAMP", prompt="ContextTokens", output="GeneratedTokens"
)
BURST_GPT: Final = Layout(
    name="BurstGPT", arrival="Timestamp", prompt="Request tokens", output="Response tokens"
)
MOONCAKE: Final = Layout(
    name="Mooncake",
    arrival="timestamp",
    prompt="input_length",
    output="output_length",
    unit_s=UNITS_S["ms"],
    blocks="hash_ids",
    block_tokens=512,
)
LAYOUTS: Final = (OWN, AZURE, BURST_GPT, MOONCAKE)


def layout_of(columns: Collection[str], where: str) -> Layout:
    """The layout of a file with these columns; InvalidTrace says at `where` which are known."""
    for layout in LAYOUTS:
        if set(layout.needed) <= set(columns):
            return layout
    known = "; ".join(f"{', '.join(layout.needed)} ({layout.name})" for layout in LAYOUTS)
    raise InvalidTrace(
        where, list(columns), fix=f"name the columns as one of these does, or say which are which: {known}"
    )


def check_columns(layout: Layout, columns: Collection[str], where: str) -> None:
    """Raise InvalidTrace if a file lacks one of a layout's columns."""
    for column in layout.named:
        if column not in columns:
            raise InvalidTrace(where, list(columns), fix=f"there is no column {column}")


def parsed(text: str) -> Layout:
    """A user's layout: `arrival=NAME,prompt=NAME,output=NAME`, maybe `priority=NAME`, `unit=ms`;
    InvalidInput."""
    fix = "write arrival=NAME,prompt=NAME,output=NAME, priority=NAME if there is one, and unit=ms, us or ns"
    named = dict(OWN_KEYS)
    for part in text.split(","):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if key not in named or not equals or not value:
            raise InvalidInput("columns", text, fix=fix)
        named[key] = value
    if named["unit"] not in UNITS_S:
        raise InvalidInput("columns", text, fix=fix)
    return Layout(
        name="given",
        arrival=named["arrival"],
        prompt=named["prompt"],
        output=named["output"],
        unit_s=UNITS_S[named["unit"]],
        priority=named["priority"],
        is_named=named["priority"] != OWN.priority,
    )


OWN_KEYS: Final = {
    "arrival": OWN.arrival,
    "prompt": OWN.prompt,
    "output": OWN.output,
    "priority": OWN.priority,
    "unit": "s",
}
