"""
A rich console that prints text from a cluster without interpreting it.

Any user who can write an object chooses the names and messages in it. An escape sequence in such a
text would move the cursor or change the window's title, and brackets would be parsed as rich markup
or raise an error. So this console prints control characters as escapes (`\\x1b`) and parses no markup,
in tables too. Code that wants styles passes rich's own `Text`.
"""

from typing import Any

from rich.console import Console
from rich.text import Text

from loadline_api.visible_texts import visible_lines


class VisibleConsole(Console):
    """rich's Console without markup, which prints control characters as escapes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape the text's control characters before rich renders it."""
        return super().render_str(visible_lines(text), **options)
