"""A page of pictures, tables and sentences: one HTML file that needs nothing else, for desk, phone and dark rooms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from edgeseq_train.pictures.canvas import Picture, inline_svg


def page(title: str, parts: Iterable[str]) -> str:
    """Put a page together from a title and its parts."""
    css = resources.files("edgeseq_train.pictures").joinpath("page.css").read_text()
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head>\n<body>{body}</body></html>\n"
    )


def heading(text: str, note: str = "") -> str:
    """Begin a section, with a sentence of what it is about."""
    return f"<h2>{escape(text)}</h2>" + paragraph(note)


def paragraph(text: str) -> str:
    """Write a paragraph; empty text is none."""
    return f"<p>{escape(text)}</p>" if text else ""


def bullets(texts: Sequence[str]) -> str:
    """List sentences."""
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if texts else ""


def gallery(pictures: Sequence[Picture]) -> str:
    """Show pictures beside one another where there is room; none are no gallery."""
    figures = (
        f'<figure id="{p.name}">{inline_svg(p)}<figcaption>{escape(p.caption)}</figcaption></figure>'
        for p in pictures
    )
    return f'<div class="gallery">{"".join(figures)}</div>' if pictures else ""


def beside(pictures: str, *parts: str) -> str:
    """Show a gallery of one picture with its tables and sentences on its right, on a phone below it."""
    return f'<div class="beside">{pictures}<div>{"".join(parts)}</div></div>'


def table(head: Sequence[str], rows: Sequence[Sequence[str]], ours: Iterable[int] = ()) -> str:
    """Lay out a table: the first column names the row, all others stand to the right; `ours` are rows in bold."""
    strong = set(ours)
    columns = "".join(f"<th{'' if i == 0 else ' class=n'}>{escape(text)}</th>" for i, text in enumerate(head))
    lines = []
    for i, (name, *cells) in enumerate(rows):
        figures = "".join(f"<td class=n>{escape(cell)}</td>" for cell in cells)
        lines.append(f"<tr{' class=ours' if i in strong else ''}><th>{escape(name)}</th>{figures}</tr>")
    return f'<div class="scroll"><table><thead><tr>{columns}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def facts(pairs: Sequence[tuple[str, str]]) -> str:
    """List facts by name."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(text)}</dd></div>" for name, text in pairs)
    return f"<dl>{rows}</dl>"


def glossary(pairs: Sequence[tuple[str, str]]) -> str:
    """Explain words."""
    rows = "".join(f"<div><dt>{escape(word)}</dt><dd>{escape(text)}</dd></div>" for word, text in pairs)
    return f'<dl class="words">{rows}</dl>'
