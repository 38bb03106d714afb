"""What must hold of every page with pictures, and how a picture's data is read off its drawing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser

import numpy as np
from matplotlib.axes import Axes

from edgeseq_train.pictures.canvas import Picture

VOID = {"meta", "br", "img", "path", "rect", "use", "image", "stop", "circle"}


class Outline(HTMLParser):
    """Collects tags, ids, texts and everything that would be fetched; nesting must be right."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that opens."""
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [
            value or "" for name, value in attrs if name in {"src", "href", "srcset", "data", "action"}
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that is empty."""
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Check that what closes is what opened last."""
        assert tag in VOID or self.open.pop() == tag


def check_page(html: str, pictures: Sequence[Picture]) -> None:
    """The page is well nested, has each id once, fetches nothing, and shows every picture with its caption."""
    outline = Outline(html)
    assert outline.open == []
    assert len(set(outline.ids)) == len(outline.ids)
    assert [link for link in outline.links if not link.startswith(("#", "data:image/png;base64,"))] == []
    assert {link[1:] for link in outline.links if link.startswith("#")} <= set(outline.ids)
    assert set(re.findall(r"url\((#?)", html)) <= {"#"}
    assert not re.search(r"https?://|@import|<script|<link|<iframe", html)
    assert outline.tags.count("figure") == outline.tags.count("svg") == len(pictures)
    assert {p.name for p in pictures} <= set(outline.ids)
    for picture in pictures:
        assert picture.caption in unescape(html)


def ys(axes: Axes, label: str) -> list[float]:
    """Give the y data of the line with a label."""
    (line,) = [line for line in axes.get_lines() if line.get_label() == label]
    values: list[float] = np.asarray(line.get_ydata(), float).tolist()
    return values
