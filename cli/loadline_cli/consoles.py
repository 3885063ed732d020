"""
A terminal on which the words of a cluster only show.

Names, messages and refusals come from whoever may write them there: an escape sequence would move
the reader's cursor or set the title, and what looks like rich's markup would be taken for it, or end
the command where it is none. So a text that is printed here, in a table too, is no markup, and what
would do more than show is written visibly. Styles are asked for by rich's own `Text`.
"""

from typing import Any

from rich.console import Console
from rich.text import Text

from loadline_api.visible_texts import visible_lines


class VisibleConsole(Console):
    """As its base, without markup, and with every text made visible."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text as rich draws it."""
        return super().render_str(visible_lines(text), **options)
