"""The page of troubleshooting names each message that a person may get."""

from __future__ import annotations

import ast
import re

from edgeseq.adapters.log import CATALOGUE
from edgeseq.core.types import Reason
from tests.support.errors_page import PAGE, Said, _errors_in, errors, renewed

TEXT = PAGE.read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """Give the rows of the table below a heading, by the name in their first cell."""
    part = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [re.split(r" \| ", line.strip("| ")) for line in part.splitlines() if line.startswith("| `")]
    return {row[0].strip("`"): row for row in cells}


def test_events_that_want_somebody_have_a_row() -> None:
    """Each event logged as warning or error is explained, says what to do, and exists."""
    wanted = {name for name, entry in CATALOGUE.items() if entry.level in ("warning", "error")}
    assert rows("Log events that want somebody").keys() == wanted
    assert all(len(row) == 3 and all(row) for row in rows("Log events that want somebody").values())


def test_reasons_have_a_row() -> None:
    """Each reason of a rejection is explained."""
    assert rows("Reasons of rejected readings").keys() == {str(reason) for reason in Reason}


def test_errors_are_those_of_the_sources() -> None:
    """Each error of the device's sources stands in the tables; `make contract` renews them."""
    assert renewed(TEXT) == TEXT, "the tables are old: make contract"
    assert sum(map(len, errors().values())) > 100


def test_errors_are_found_in_all_their_forms() -> None:
    """The search finds classes, places of the file, texts with parts filled in, and both of a choice."""
    code = (
        'raise ConfigError("a", do="b")\nraise place.fault(f"c {x} d", "key", wanted="e")\n'
        'raise BundleError("f" if x else "g")\nraise ValueError("h")\nraise ConfigError(x)\n'
    )
    found = {*_errors_in(ast.parse(code))}
    assert found == {Said("a", "", "b"), Said("c … d", "e", ""), Said("f", "", ""), Said("g", "", "")}
