"""Text for a terminal: safe, of known width, coloured where that is wanted."""

from __future__ import annotations

import datetime as dt
import math
import unicodedata
from collections.abc import Callable, Iterable

Paint = Callable[[str, str], str]
"""Colour a text: paint(text, tint)."""

PLAIN, BOLD, DIM = "", "1", "2"
RED, GREEN, YELLOW, BLUE = "31", "32", "33", "36"
BLOCKS = "▁▂▃▄▅▆▇█"


def colors(text: str, tint: str) -> str:
    """Paint with ANSI escapes."""
    return f"\x1b[{tint}m{text}\x1b[0m" if tint else text


def no_colors(text: str, _tint: str) -> str:
    """Leave the text as it is."""
    return text


def spark(readings: Iterable[tuple[float | None, bool]], width: int, paint: Paint = no_colors) -> str:
    """Draw readings as blocks, a gap as a space; outliers in red.

    >>> spark([(1, False), (2, False), (None, False), (9, True)], width=6)
    '  ▁▂ █'
    """
    shown = list(readings)[-width:] if width else []
    values = [value for value, _ in shown if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    # Halved first: the range of two finite numbers may be infinite.
    reach = high / 2 - low / 2
    top = len(BLOCKS) - 1
    blocks = [
        " " if v is None else BLOCKS[round((v / 2 - low / 2) / reach * top) if reach else 0] for v, _ in shown
    ]
    marked = [paint(b, RED if out else PLAIN) for b, (_, out) in zip(blocks, shown, strict=True)]
    return " " * (width - len(shown)) + "".join(marked)


def printable(text: str) -> str:
    r"""Replace what could steer a terminal: controls, escapes, bidirectional marks, lone surrogates.

    >>> printable("pump\x1b[2J\u202e1")
    'pump�[2J�1'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def cells(text: str) -> int:
    """Count the terminal cells of a printable text: wide characters take two, combining ones none."""
    return sum(_cells_of(c) for c in text)


def _cells_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Cut a text to a number of cells, with an ellipsis.

    >>> fit("cellar-temperature", 8)
    'cellar-…'
    """
    if cells(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += _cells_of(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…" if width > 0 else ""


def number(value: float | None) -> str:
    """Write a value short, with 4 significant digits or all before the point.

    >>> number(4512.3), number(24.244), number(0.00123), number(None)
    ('4,512', '24.24', '0.00123', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"


def clock(time: dt.datetime) -> str:
    """Write a time to the second, in UTC."""
    return f"{time.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}" if time.tzinfo else f"{time:%Y-%m-%d %H:%M:%S}"
