"""docs/alerts.md names all there is; its commands and configurations are held to in test_blocks.py."""

from __future__ import annotations

import re
from pathlib import Path

from edgeseq.core.asking import REQUESTS
from edgeseq.core.types import AlertKind

PAGE = (Path(__file__).parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")


def test_page_names_every_kind_and_every_verb() -> None:
    """Nothing that is alerted or can be asked for is missing."""
    kinds = set(re.findall(r"`(\w+)`", PAGE.partition("## Groups")[0]))
    assert {str(kind) for kind in AlertKind} <= kinds
    verbs = set(re.findall(r"^\| `(\w+)` \| `\{", PAGE, re.MULTILINE))
    assert verbs == set(REQUESTS) - {"health", "info", "snapshot", "streams", "recording"}
