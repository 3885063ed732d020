"""
Bars and curves made of block characters.

Block characters fill a terminal's cell in eighths, upwards or to the right, so that a line
of 80 columns shows a value to a fraction of a percent. All functions are pure, from numbers
to rich text; `live_view` and `panels` decide what is drawn and in which colour.
"""

from collections.abc import Callable, Sequence

from rich.text import Text

_RIGHTWARD = " ▏▎▍▌▋▊▉█"
_UPWARD = " ▁▂▃▄▅▆▇█"
_NUDGE = 3

Style = Callable[[float], str]
"""Chooses the style of a column by its value."""


def bar(
    share: float, width: int, *, style: str, marks: Sequence[float] = (), rest: str = "bright_black"
) -> Text:
    """A bar of `width` cells filled to `share` (0 to 1), with a stroke at each of the `marks` (0 to 1)."""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    cells = [_RIGHTWARD[min(max(eighths - 8 * i, 0), 8)] for i in range(width)]
    strokes = {min(round(mark * width), width - 1) for mark in marks}
    text = Text()
    for i, cell in enumerate(cells):
        if i in strokes:
            text.append("┃", style=f"bold black on {style}" if cell == "█" else "bold")
        else:
            text.append("·" if cell == " " else cell, style=rest if cell == " " else style)
    return text


def scale(labels: Sequence[tuple[float, str]], width: int, *, style: str = "dim") -> Text:
    """The labels under a bar of `width` cells, each centred at its share as nearly as there is room.

    A label that would have to move by more than `_NUDGE` cells is left out.
    """
    line = [" "] * width
    free = 0
    for share, label in sorted(labels):
        start = min(max(round(share * width) - len(label) // 2, 0), width - len(label))
        if start < free - _NUDGE or free + len(label) > width:
            continue
        start = max(start, free)
        line[start : start + len(label)] = label
        free = start + len(label) + 1
    return Text("".join(line), style=style)


def curve(
    values: Sequence[float], *, width: int, height: int, low: float, high: float, style: Style, rule: int = -1
) -> list[Text]:
    """The last `width` values as columns, as `height` lines from the top; `low` is an empty column.

    Line `rule`, counted from the top, is dashed where no column covers it.
    """
    shown = list(values[-width:])
    lines = []
    for line in range(height):
        empty = "╌" if line == rule else " "
        text = Text(empty * (width - len(shown)), style="bright_black")
        for value in shown:
            eighths = round((value - low) / (high - low) * height * 8) - 8 * (height - 1 - line)
            cell = _UPWARD[min(max(eighths, 0), 8)]
            text.append(empty if cell == " " else cell, style="bright_black" if cell == " " else style(value))
        lines.append(text)
    return lines


def condensed(values: Sequence[float], *, size: int, newest: int) -> list[float]:
    """The maximum of each stretch of `size` values, so that no peak is lost; the last stretch has `newest`.

    If `newest` is counted from a fixed start, earlier stretches keep their values as new values arrive.
    """
    ends = range(len(values), 0, -1)
    stretches, end = [], len(values)
    for length in (newest or size, *(size for _ in ends)):
        if end <= 0:
            break
        stretches.append(max(values[max(end - length, 0) : end]))
        end -= length
    return stretches[::-1]
