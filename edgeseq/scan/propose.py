"""What was seen → [[streams]] tables, one for each family, cadence and kind, by wildcards; and what is left out."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from edgeseq.core.decoders import FAMILIES
from edgeseq.core.durations import format_duration
from edgeseq.core.topics import is_match, is_overlap
from edgeseq.scan.filters import by_shape, cover, neighbours
from edgeseq.scan.left_out import LeftOut, is_bookkeeping, left_out
from edgeseq.scan.measure import Cadence, cadence, is_counter, period_s, season_s
from edgeseq.scan.observe import Number, Observed, Topic, settle
from edgeseq.scan.recognise import PLAIN, families_of
from edgeseq.scan.resting import set_aside
from edgeseq.scan.templates import companions_of, filters_of

REPORTS_CHANGES = frozenset({"zigbee2mqtt", "homeassistant", "homie", "sparkplug", "shelly1", "shelly2"})
"""Families that by their nature tell what has changed, and when it has."""

UNKNOWN_S = 600
"""Period of what came too seldom to tell."""

_OWN_PATHS = frozenset({"shelly2"})
"""Families whose names are not the JSON paths of their messages."""


_NO_NAME = re.compile(r"[^a-z0-9]+")


@dataclass(slots=True)
class Table:
    """A [[streams]] table."""

    name: str
    decoder: str
    topics: list[str]
    every_s: float
    exclude: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    is_held: bool = False
    is_counter: bool = False
    time: str | None = None
    season_s: float | None = None
    cadence: Cadence = field(default_factory=Cadence)
    numbers: list[Number] = field(default_factory=list)
    resting: list[Number] = field(default_factory=list)
    """Of its messages, left out since they never changed."""
    is_off: bool = False
    """Nothing of it ever changed: it is written as a comment."""


@dataclass(slots=True)
class Proposal:
    """What a scan has found."""

    tables: list[Table]
    left_out: list[LeftOut]

    @property
    def streams(self) -> int:
        """Count the streams that were seen."""
        return len({n.source for table in self.tables if not table.is_off for n in table.numbers})


OURS, NODE = "edgeseq/#", "edgeseq/edgeseq/#"
"""What nodes publish, with the usual prefix, and the one of the usual name: a wildcard may match it, seen or not."""


@dataclass(frozen=True, slots=True, order=True)
class _Rhythm:
    """What parts topics into tables."""

    every_s: float
    is_held: bool


def propose(seen: Observed) -> Proposal:
    """Propose tables for all numbers that were seen."""
    settle(seen, families_of(seen.topics))
    by_family: dict[str, list[Topic]] = defaultdict(list)
    for topic in seen.topics.values():
        if _wanted(topic):
            by_family[topic.reader].append(topic)
    tables: list[Table] = []
    for family in sorted(by_family, key=[*FAMILIES, PLAIN].index):
        make = _of_family if family else _of_plain
        tables += make(seen, family, by_family[family])
    for table in tables:
        if any(is_overlap(topic, NODE) for topic in table.topics):
            table.exclude.append(OURS)
    set_aside(tables)
    _name(tables)
    return Proposal(tables, left_out(seen))


def _wanted(topic: Topic) -> list[Number]:
    """List the numbers of a topic that are measurements."""
    return [n for n in topic.numbers.values() if not is_bookkeeping(topic, n)]


# --- rhythm -----------------------------------------------------------------------------------------------------


def _rhythms(family: str, topics: Sequence[Topic]) -> dict[str, _Rhythm]:
    """Choose period and gaps for each topic; what came too seldom goes with the most of its family."""
    found: dict[str, _Rhythm] = {}
    for topic in topics:
        measured = cadence(_wanted(topic))
        if measured.is_known:
            reports_changes = family in REPORTS_CHANGES or not measured.is_regular
            found[topic.name] = _Rhythm(period_s(measured, reports_changes=reports_changes), reports_changes)
    usual = Counter(found.values()).most_common(1)
    default = usual[0][0] if usual else _Rhythm(UNKNOWN_S, is_held=True)
    return {topic.name: found.get(topic.name, default) for topic in topics}


# --- families ---------------------------------------------------------------------------------------------------


def _of_family(seen: Observed, family: str, topics: list[Topic]) -> list[Table]:
    """Propose the tables of a family: exceptions first, by their topics, and the rest by wildcards."""
    twice = _told_twice(topics)
    topics = [topic for topic in topics if topic.name not in twice]
    rhythms, shapes = _rhythms(family, topics), by_shape(seen.topics)
    is_single = FAMILIES[family].source("a/b/c/d/e", "x")[1] is None
    groups: dict[tuple[_Rhythm, bool], list[Topic]] = defaultdict(list)
    for topic in topics:
        counts = is_single and all(is_counter(n) for n in _wanted(topic))
        groups[rhythms[topic.name], counts].append(topic)
    main = max(groups, key=lambda key: (not key[1], len(groups[key]), key[0].every_s))
    tables = []
    for key, group in groups.items():
        if key == main:
            continue
        names = {topic.name for topic in group}
        filters = cover(names, neighbours(names, shapes))
        tables += _tables(family, filters, key, group)
    filters = filters_of(family, [topic.name for topic in topics], seen)
    exclude = [one for table in tables for one in table.topics]
    exclude += (name for name in twice if any(is_match(one, name) for one in filters))
    rest = _tables(family, filters, main, groups[main])
    for table in rest:
        table.exclude = list(dict.fromkeys(exclude)) if table.topics == filters else []
    for table in tables:
        table.topics += companions_of(family, table.topics)
    return tables + rest


def _told_twice(topics: Sequence[Topic]) -> list[str]:
    """Name topics that tell of others what those tell as well: each change would count twice (Shelly's events/rpc)."""
    told_on: dict[tuple[str, str | None], set[str]] = defaultdict(set)
    for topic in topics:
        for number in _wanted(topic):
            told_on[number.source].add(topic.name)
    return sorted(
        topic.name
        for topic in topics
        if topic.name.endswith("/events/rpc") and all(len(told_on[n.source]) > 1 for n in _wanted(topic))
    )


def _tables(
    family: str, filters: list[str], key: tuple[_Rhythm, bool], topics: Sequence[Topic]
) -> list[Table]:
    """Make the tables of topics that share a rhythm: one of counters, where some are, and one of the rest."""
    rhythm, all_count = key
    numbers = [n for topic in topics for n in _wanted(topic)]
    counters = [] if all_count else [n for n in numbers if is_counter(n)]
    gauges = [n for n in numbers if n not in counters]
    names = {n.name for n in counters} - {n.name for n in gauges}
    counters = [n for n in counters if n.name in names]
    gauges = [n for n in numbers if n not in counters]
    tables = []
    if counters:
        at = sorted({n.topic for n in counters})
        others = [topic.name for topic in topics if topic.name not in at]
        tables.append(_table(family, cover(at, others), rhythm, counters, topics, counts=True))
        tables[0].fields = sorted(names)
    if gauges:
        tables.append(_table(family, filters, rhythm, gauges, topics, counts=all_count))
    return tables


def _table(
    family: str,
    filters: list[str],
    rhythm: _Rhythm,
    numbers: list[Number],
    topics: Sequence[Topic],
    *,
    counts: bool,
) -> Table:
    seasons = Counter(s for n in numbers[:50] if (s := season_s(n, rhythm.every_s)))
    season = seasons.most_common(1)[0] if seasons else None
    own = {n.topic for n in numbers}
    return Table(
        name="",
        decoder=family,
        topics=filters,
        every_s=rhythm.every_s,
        is_held=rhythm.is_held and not counts,
        is_counter=counts,
        time=_time_field(family, [topic for topic in topics if topic.name in own]),
        season_s=season[0] if season and 2 * season[1] > len(numbers[:50]) else None,
        cadence=cadence(numbers),
        numbers=numbers,
    )


def _time_field(family: str, topics: Sequence[Topic]) -> str | None:
    """Find a JSON path that holds the time of every message; None where one lacks it."""
    if family in _OWN_PATHS or (family and not FAMILIES[family].is_document) or not topics:
        return None
    shared: set[str] | None = None
    for topic in topics:
        always = {path for path, count in topic.time_fields.items() if topic.count and count >= topic.count}
        shared = always if shared is None else shared & always
    return min(shared, key=lambda path: (path.count("."), path)) if shared else None


# --- without a decoder ------------------------------------------------------------------------------------------


class _Alike(NamedTuple):
    """What topics without a decoder share that stand in one table."""

    fields: tuple[str, ...]
    counts: bool
    rhythm: _Rhythm
    time: str | None
    first_level: str


def _of_plain(seen: Observed, _: str, topics: list[Topic]) -> list[Table]:
    """Propose tables of JSON and plain numbers: topics that hold the same fields in the same rhythm stand together."""
    rhythms, shapes = _rhythms(PLAIN, topics), by_shape(seen.topics)
    groups: dict[_Alike, list[Number]] = defaultdict(list)
    for topic in topics:
        by_kind: dict[bool, list[Number]] = defaultdict(list)
        for number in _wanted(topic):
            by_kind[is_counter(number)].append(number)
        for counts, numbers in by_kind.items():
            fields = tuple(sorted(n.name for n in numbers))
            time = _time_field(PLAIN, [topic])
            first = topic.name.split("/", maxsplit=1)[0]
            groups[_Alike(fields, counts, rhythms[topic.name], time, first)] += numbers
    tables = []
    for alike, numbers in groups.items():
        names = {n.topic for n in numbers}
        filters = cover(names, neighbours(names, shapes))
        own = [seen.topics[name] for name in names]
        table = _table(PLAIN, filters, alike.rhythm, numbers, own, counts=alike.counts)
        table.fields = sorted(filter(None, alike.fields))
        tables.append(table)
    return tables


# --- names ---------------------- ---------------------------------------------------------------------------------


def _name(tables: Iterable[Table]) -> None:
    """Name each table, since saved state hangs on its name."""
    taken: Counter[str] = Counter()
    for table in tables:
        base = table.decoder or _NO_NAME.sub("-", table.topics[0].lower()).strip("-") or "plain"
        if table.is_counter:
            base += "-counters"
        if taken[base]:
            base += f"-{format_duration(round(table.every_s * 1e9))}"
        taken[base] += 1
        table.name = base if taken[base] == 1 else f"{base}-{taken[base]}"
