"""A proposal as a commented configuration, and as JSON."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from edgeseq.config.sample import toml
from edgeseq.core.durations import format_duration
from edgeseq.core.instants import format_instant
from edgeseq.scan.left_out import LeftOut
from edgeseq.scan.measure import resolution
from edgeseq.scan.observe import Number, Observed
from edgeseq.scan.propose import Proposal, Table

WIDTH = 110
MOST_LINES = 12
"""Numbers of a table that are described one by one."""
ROOM = 2
"""The node's limit of streams is so many times what was seen, where the default would be short."""
DEFAULT_STREAMS = 1000


def configuration(seen: Observed, proposal: Proposal, mqtt: Mapping[str, Any]) -> str:
    """Write the file.

    Args:
        seen: what was seen, settled.
        proposal: what is made of it.
        mqtt: keys of the [mqtt] table.
    """
    blocks = [_head(seen, proposal)]
    if proposal.streams * ROOM > DEFAULT_STREAMS:
        blocks.append(f"[node]\nmax_streams = {min(100_000, proposal.streams * ROOM)}")
    blocks.append("\n".join(["[mqtt]", *(f"{key} = {toml(value)}" for key, value in mqtt.items())]))
    blocks += ["\n".join(_table(table)) for table in proposal.tables]
    if proposal.left_out:
        blocks.append("\n".join(["# Left out:", *(line for one in proposal.left_out for line in _left(one))]))
    return "\n\n".join(blocks) + "\n"


def _head(seen: Observed, proposal: Proposal) -> str:
    days_ns = 86_400 * 10**9
    text = (
        f"Written by `edgeseq scan` at {format_instant(seen.last_ns // 10**9 * 10**9)}, after"
        f" {format_duration(max(seen.span_ns, 10**9) // 10**9 * 10**9)}: {seen.messages} messages,"
        f" {len(seen.topics)} topics, {proposal.streams} streams. Periods are what was measured in that time; where it"
        " was short, look over them. `edgeseq config check` says what is wrong, `edgeseq run` starts."
    )
    if seen.span_ns < days_ns:
        text += " Seasons longer than what was seen are learned while it runs."
    return "\n".join(_comment(text))


def _comment(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        _inert(text), WIDTH, initial_indent="# ", subsequent_indent=f"# {indent}", break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def _inert(text: str) -> str:
    r"""Keep names of topics from breaking out of a comment, or out of a terminal's line.

    >>> _inert("a\nb\x1b[2J°")
    'a?b?[2J°'
    """
    return "".join(char if char.isprintable() else "?" for char in text)


def _table(table: Table) -> Iterator[str]:
    yield from _comment(_title(table))
    yield from _numbers(table.numbers)
    if table.resting:
        names = ", ".join(f"{_shown(n)} (always {n.last:g})" for n in table.resting[:MOST_LINES])
        yield from _comment(f"  never changed, so left out of fields: {names}", indent="    ")
    if not table.is_off:
        yield from _lines(table)
        return
    count = min(number.count for number in table.numbers)
    yield from _comment(
        f"  Not read: it never changed in {count} readings. Without the marks it is.", indent="  "
    )
    for line in "\n".join(_lines(table)).splitlines():
        yield f"# {line}"


def _lines(table: Table) -> Iterator[str]:
    """Write a table without comments before it."""
    yield "[[streams]]"
    yield f"name = {toml(table.name)}"
    yield f"topic = {_one_or_list(table.topics)}"
    for key in ("exclude", "fields"):
        if getattr(table, key):
            yield f"{key} = {toml(getattr(table, key))}"
    if table.decoder:
        yield f"decoder = {toml(table.decoder)}"
    yield f'every = "{format_duration(round(table.every_s * 1e9))}"{_about(table)}'
    if table.is_held:
        yield 'on_gap = "hold"   # nothing new means that it is as it was'
    if table.is_counter:
        yield 'kind = "counter"   # what is forecast is how much is added in a period'
    if table.time:
        yield f"time = {toml(table.time)}   # of the reading itself"
    if table.season_s:
        yield f'season = "{format_duration(round(table.season_s * 1e9))}"   # repeats in what was seen'
    if table.decoder == "sparkplug":
        yield "# rebirth = true   # ask edge nodes for a birth where their aliases are not known"
    units = {n.unit for n in table.numbers} - {""}
    if units & {"°F"}:
        yield '# convert = "°C"'


def _one_or_list(topics: Sequence[str]) -> str:
    if len(topics) == 1:
        return toml(topics[0])
    text = toml(list(topics))
    return text if len(text) < WIDTH else "[\n" + "".join(f"  {toml(topic)},\n" for topic in topics) + "]"


def _title(table: Table) -> str:
    count = len({number.source for number in table.numbers})
    what = ("counter" if table.is_counter else "stream") + ("" if count == 1 else "s")
    return f"{table.decoder or 'plain numbers and JSON'}: {count} {what}"


def _about(table: Table) -> str:
    found = table.cadence
    if not found.is_known:
        return "   # a guess: too few readings came to tell"
    how = "" if found.is_regular else ", irregularly"
    return f"   # they came each {found.median_s:.3g} s{how}"


def _numbers(numbers: Sequence[Number]) -> Iterator[str]:
    """Describe numbers: those of one name together."""
    by_name: dict[tuple[str, str], list[Number]] = defaultdict(list)
    for number in numbers:
        by_name[_shown(number), number.unit].append(number)
    for (name, unit), group in list(by_name.items())[:MOST_LINES]:
        count = len({number.source for number in group})
        parts = [name + (f" ({count} streams)" if count > 1 else ""), unit, _range(group), _step(group)]
        yield from _comment("  " + ", ".join(filter(None, parts)), indent="    ")
    if len(by_name) > MOST_LINES:
        yield f"#   and {len(by_name) - MOST_LINES} more"


def _shown(number: Number) -> str:
    """Name a number as a reader knows it: by its field, or its topic where that is all that tells it apart."""
    if number.name in ("", "state"):
        return number.topic
    return (number.source[1] if "=" in number.name else None) or number.name


def _range(group: Iterable[Number]) -> str:
    seen = [value for number in group for value in number.values]
    if not seen:
        return "retained only"
    return f"{min(seen):g} to {max(seen):g}" if min(seen) < max(seen) else f"always {seen[0]:g}"


def _step(group: Iterable[Number]) -> str:
    steps = [step for number in group if (step := resolution(number))]
    return f"steps of {min(steps):g}" if steps else ""


def _left(one: LeftOut) -> list[str]:
    shown = f": {', '.join(one.examples)}" if one.examples else ""
    more = f" and {one.more} more" if one.more else ""
    return _comment(f"- {one.why} ({one.count}){shown}{more}", indent="  ")


def told(seen: Observed, proposal: Proposal) -> dict[str, Any]:
    """Tell all that was found as JSON's types."""
    return {
        "messages": seen.messages,
        "topics": len(seen.topics),
        "streams": proposal.streams,
        "seconds": round(seen.span_ns / 1e9, 3),
        "tables": [_told_table(table) for table in proposal.tables],
        "left_out": [
            {"why": one.why, "count": one.count, "examples": one.examples} for one in proposal.left_out
        ],
    }


def _told_table(table: Table) -> dict[str, Any]:
    return {
        "name": table.name,
        "decoder": table.decoder or None,
        "topic": table.topics,
        "exclude": table.exclude,
        "fields": table.fields,
        "every_s": table.every_s,
        "on_gap": "hold" if table.is_held else "missing",
        "kind": "counter" if table.is_counter else "gauge",
        "time": table.time,
        "season_s": table.season_s,
        "is_off": table.is_off,
        "never_changed": sorted({n.name for n in table.resting}),
        "streams": [
            {
                "topic": n.source[0],
                "field": n.source[1],
                "unit": n.unit or None,
                "readings": n.count,
                "resolution": resolution(n),
            }
            for n in table.numbers
        ],
    }
