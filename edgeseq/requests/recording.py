"""What a node remembers of its streams: the history that forecasts are made from, a ring of at least 64 periods."""

from __future__ import annotations

from itertools import islice
from typing import cast

import numpy as np

from edgeseq.compose import Node
from edgeseq.core import align
from edgeseq.core.asking import RecordingRequest
from edgeseq.core.group import NONE_YET
from edgeseq.core.instants import format_instant, parse_instant
from edgeseq.core.payloads import RecordingEntry, ResponsePayload
from edgeseq.core.pipeline import NO_GROUP

MOST_VALUES = 3000
"""Of a page, some 40 KB; a single stream with more stands alone."""
MOST_STREAMS = 100


def answer_recording(node: Node, asked: RecordingRequest) -> ResponsePayload:
    """Tell a page of what is remembered."""
    since_ns = None if asked.since is None else parse_instant(asked.since)
    if asked.since is not None and since_ns is None:
        wanted = "since is no time such as 2026-03-01T10:00:00Z"
        return ResponsePayload(verb="recording", id=asked.id, error=wanted)
    registry = node.state.registry
    numbers = (
        n for n in range(asked.start, len(registry)) if registry.infos[n].rule and n not in registry.hidden
    )
    page: list[RecordingEntry] = []
    following = None
    for n in islice(numbers, MOST_STREAMS):
        entries = _entries(node, n, since_ns)
        if page and sum(len(one.values) for one in (*page, *entries)) > MOST_VALUES:
            following = n
            break
        page += entries
    else:
        following = next(numbers, None)
    return ResponsePayload(
        verb="recording", id=asked.id, count=registry.streams, recording=page, next=following
    )


def _entries(node: Node, number: int, since_ns: int | None) -> list[RecordingEntry]:
    """Tell what is remembered of a stream, a channel each; nothing where no step has been made."""
    state, info = node.state, node.state.registry.infos[number]
    if state.group_of[number] == NO_GROUP:
        return []
    group, row = state.groups[state.group_of[number]], state.row_of[number]
    end, first = int(group.table["next_step"][row]), int(group.table["first_step"][row])
    if first == NONE_YET:
        return []
    first = max(first, end - group.ring)
    period_ns = group.rule.period_ns
    first_ns = int(align.origin_ns(group.table, group.rule, np.array([row]), np.array([first]))[0])
    if since_ns is not None and since_ns >= first_ns:
        skipped = (since_ns - first_ns) // period_ns + 1
        first, first_ns = first + skipped, first_ns + skipped * period_ns
    if first >= end:
        return []
    history = group.table["history"][row][:, np.arange(first, end) % group.ring]
    names = group.rule.channel_names
    whole, rest = divmod(period_ns, 10**9)
    return [
        RecordingEntry(
            id=info.id,
            **({"channel": name} if len(names) > 1 else {}),
            unit=info.unit or group.rule.unit_of(name),
            first=format_instant(first_ns),
            period_s=period_ns / 1e9 if rest else whole,
            values=[value if np.isfinite(value) else None for value in cast("list[float]", values.tolist())],
        )
        for name, values in zip(names, history, strict=True)
    ]
