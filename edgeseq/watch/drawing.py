"""The terminal view as lines of text: as many columns as the terminal has room for, streams with alerts first."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from edgeseq.watch.terminal import (
    BLUE,
    BOLD,
    DIM,
    GREEN,
    PLAIN,
    YELLOW,
    Paint,
    cells,
    fit,
    number,
    printable,
    spark,
)  # fmt: skip
from edgeseq.watch.told import band
from edgeseq.watch.view import LOG_LINES, SPARK_READINGS, URGENCY, Row, View

STATE_COLORS = {"ok": GREEN, "silent": YELLOW, "stuck": YELLOW, "mismatch": YELLOW, "off": DIM}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: as wide as its texts need, and dropped where the terminal is too narrow."""

    title: str
    max_width: int
    rank: int
    """0 is dropped last."""
    right: bool = False


COLUMNS = {
    "stream": Column("stream", 32, 0),
    "spark": Column("readings", 0, 2),
    "now": Column("now", 12, 1, right=True),
    "band": Column("next, interval", 32, 3),
    "source": Column("by", 10, 4),
    "skill": Column("skill", 7, 5, right=True),
    "state": Column("state", 24, 1),
}
SPARK_MIN, STREAM_MIN = 12, 8
GAP = "  "

Cells = dict[str, tuple[str, str]]
"""Column → text and tint."""


def draw(view: View, width: int, height: int, paint: Paint, footer: Iterable[str] = ()) -> list[str]:
    """Draw the view as at most `height` lines of `width` columns."""
    footer = list(footer)
    account = view.account if len(view.nodes) < 2 else ""
    head = [_header(view, width, paint), paint(fit(account, width), DIM) if account else ""]
    room = height - len(head) - len(footer) - min(len(view.log), LOG_LINES) - 3
    names = _by_urgency(view, max(room, 1))
    rows = {name: _texts(view.shown(name), view.rows[name]) for name in names}
    widths = _layout(width, rows.values())
    lines = [*head, _titles(widths, paint)]
    lines += [_draw_row(view.rows[name], texts, widths, paint) for name, texts in rows.items()]
    if len(view.rows) > len(names):
        lines.append(paint(fit(f"… and {len(view.rows) - len(names)} more", width), DIM))
    lines.append("")
    lines += [paint(fit(text, width), tint) for text, tint in view.log]
    lines += [fit(text, width) for text in footer]
    return lines[:height]


def _by_urgency(view: View, room: int) -> list[str]:
    """Keep the order of arrival, but where not all fit prefer streams with open alerts."""
    names = list(view.rows)
    if len(names) <= room:
        return names
    urgency = {
        name: max((one.urgency for one in view.rows[name].open.values()), default=-1) for name in names
    }
    chosen = set(sorted(names, key=lambda name: -urgency[name])[: max(room - 1, 1)])
    return [name for name in names if name in chosen]


def _layout(width: int, rows: Collection[Cells]) -> dict[str, int]:
    """Choose the columns that fit and how wide they are; the sparkline takes what is left."""
    wanted = {
        name: min(max([cells(column.title), *(cells(row[name][0]) for row in rows)]), column.max_width)
        for name, column in COLUMNS.items()
        if name != "spark"
    }
    for rank in range(5, 0, -1):
        widths = {name: wanted.get(name, 0) for name, column in COLUMNS.items() if column.rank <= rank}
        left = width - sum(widths.values()) - len(GAP) * (len(widths) - 1)
        if "spark" in widths and left >= SPARK_MIN:
            return {**widths, "spark": min(left, SPARK_READINGS)}
        if "spark" not in widths and widths["stream"] + min(left, 0) >= STREAM_MIN:
            return {**widths, "stream": widths["stream"] + min(left, 0)}
    return {"stream": min(wanted["stream"], width)}


def _header(view: View, width: int, paint: Paint) -> str:
    left = fit("edgeseq" + (f" · {shown}" if (shown := _nodes(view)) else ""), width // 2)
    told = [one for row in view.rows.values() for one in row.open.values()]
    opened = sum(not one.muted for one in told)
    muted = f" · {len(told) - opened} muted" if opened < len(told) else ""
    time = f"{view.newest:%Y-%m-%d %H:%M} · " if view.newest else ""
    right = f"{time}{view.forecasts:,} forecasts · {opened} open alert{'' if opened == 1 else 's'}{muted}"
    if view.unreadable:
        right += f" · {view.unreadable} unreadable"
    right = fit(right, max(width - cells(left) - cells(view.state) - 3, 0))
    gap = max(width - cells(left) - cells(view.state) - cells(right) - 2, 1)
    tint = GREEN if view.state == "online" else YELLOW
    return f"{paint(left, BOLD)}  {paint(view.state, tint)}{' ' * gap}{right}"


def _nodes(view: View) -> str:
    """Name the node that is shown, or say how many are."""
    if view.node != "+" or len(view.nodes) == 1:
        return f"node {printable(view.node if view.node != '+' else next(iter(view.nodes)))}"
    return f"{len(view.states)} nodes" if len(view.states) > 1 else ""


def _titles(widths: dict[str, int], paint: Paint) -> str:
    texts = [_cell(COLUMNS[name].title, name, width) for name, width in widths.items()]
    return paint(GAP.join(texts).rstrip(), DIM)


def _texts(name: str, row: Row) -> Cells:
    """Write the cells of a row; the sparkline is drawn when its width is known."""
    last = row.last
    return {
        "stream": (name, BOLD),
        "now": (number(last.observed) if last else "–", PLAIN),
        "band": (band(last) if last else "–", PLAIN),
        "source": (printable(last.source) if last else "–", BLUE if last and last.source == "model" else DIM),
        "skill": (f"{last.skill:+.0%}" if last and last.skill is not None else "–", PLAIN),
        "state": _state(row),
    }


def _draw_row(row: Row, texts: Cells, widths: dict[str, int], paint: Paint) -> str:
    drawn = [
        spark(row.readings, width, paint)
        if name == "spark"
        else paint(_cell(texts[name][0], name, width), texts[name][1])
        for name, width in widths.items()
    ]
    return GAP.join(drawn).rstrip()


def _state(row: Row) -> tuple[str, str]:
    if row.open:
        urgent = sorted(row.open.values(), key=lambda one: -one.urgency)
        return ", ".join(dict.fromkeys(map(str, urgent))), URGENCY[urgent[0].urgency]
    data = printable(row.status.data)
    if data not in ("", "ok"):
        return f"● {data}", STATE_COLORS.get(data, YELLOW)
    if row.status.alert == "watch":
        return "◐ watch", YELLOW
    if row.status.phase == "learning":
        return "learning", BLUE
    return data or "–", STATE_COLORS.get(data, PLAIN)


def _cell(text: str, column: str, width: int) -> str:
    fitted = fit(text, width)
    pad = " " * (width - cells(fitted))
    return pad + fitted if COLUMNS[column].right else fitted + pad
