"""
Formats numbers for a report: with their unit, and with only as many digits as are meaningful.

Used as filters by the page's template, and for the sentences that go into it.
"""

import math
import re

from markupsafe import Markup, escape

MISSING = "–"
"""Shown in place of a missing number."""


def kilowatts(watts: float) -> str:
    """Watts as kW with one decimal."""
    return f"{watts / 1e3:,.1f} kW".replace(",", " ")


def gibibytes(count: float) -> str:
    """Bytes as GiB, with one decimal."""
    return f"{count / 2**30:.1f} GiB"


def sized(count: float) -> str:
    """Bytes with three digits, in the unit that fits: B, kB, MB, GB or TB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1e3:
            return f"{count:.{0 if unit == 'B' else max(0, 3 - len(str(int(count))))}f} {unit}"
        count /= 1e3
    return f"{count:.3g} TB"


def megabytes(count: float) -> str:
    """Bytes as MB with three digits, from a thousand MB on as GB."""
    value, unit = (count / 1e9, "GB") if count >= 1e9 else (count / 1e6, "MB")
    return f"{value:.{max(0, 3 - len(str(int(value))))}f} {unit}"


def percent(share: float | None, digits: int = 1) -> str:
    """A fraction as percent."""
    return MISSING if share is None or math.isnan(share) else f"{share * 100:.{digits}f} %"


def change(ratio: float) -> str:
    """A ratio as a change in percent, with its sign."""
    return MISSING if math.isnan(ratio) else f"{(ratio - 1) * 100:+.1f} %".replace("-", "−")


def seconds(value: float | None) -> str:
    """Seconds with three digits, in milliseconds below one, with two digits below ten of these."""
    if value is None or math.isnan(value):
        return MISSING
    if 0 < value < 0.01:
        return f"{value * 1e3:.2g} ms"
    if 0 < value < 1:
        return f"{value * 1e3:.0f} ms"
    digits = 0 if value >= 100 or value == int(value) else 1 if value >= 10 else 2
    return f"{value:.{digits}f} s"


def minutes(value_s: float) -> str:
    """A time of the run as minutes and seconds."""
    sign = "−" if value_s < 0 else ""
    whole = int(abs(value_s))
    return f"{sign}{whole // 60}:{whole % 60:02d}"


def prose(text: str) -> Markup:
    """A sentence as HTML: text in backticks becomes code, between two asterisks bold."""
    coded = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<b>\1</b>", coded))


def number(value: float | None) -> str:
    """A number without a known unit: an integer if it is whole, else with four digits."""
    if value is None or math.isnan(value):
        return MISSING
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace(",", " ")
    return f"{value:.4g}"
