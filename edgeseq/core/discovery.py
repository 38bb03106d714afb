"""Streams → what Home Assistant is told of them: device-based MQTT discovery, of versions from 2024.11 on.

    <prefix>/device/<id>/config   one retained message for the node, and one for each page of a [[streams]] table

A page holds the streams of one table in the order of their first readings, as many as there is room for: later streams
never move earlier ones. Rules: home-assistant.io, "MQTT", sections "Device discovery payload" and of each platform.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec
from msgspec import UNSET

from edgeseq.core.discovery_payload import Announcement, Component, Device, Origin
from edgeseq.core.entities import Entities, bridge, label_of, of_channel, of_node, of_stream, of_table, short
from edgeseq.core.told import RenderContext
from edgeseq.core.topics import slug
from edgeseq.core.types import StreamRule

MOST_COMPONENTS = 150
"""Entities of one message: some 45 KB, at most 128 KB with the longest names (and the usual topic prefix)."""


class Wanted(NamedTuple):
    """What the configuration asks for."""

    prefix: str
    streams_per_device: int
    has_buttons: bool
    """Whether the node answers requests."""
    version: str
    """Of edgeseq."""


class Member(NamedTuple):
    """Part of a stream that is announced as a whole."""

    stream: int
    channel: int | None
    """None: the stream itself."""


class Page(NamedTuple):
    """What one message tells of."""

    id: str
    name: str
    rule: str | None
    """Key of the [[streams]] table; None: the node itself."""
    members: tuple[Member, ...] = ()
    is_first: bool = True
    """Of the table: what it has once is told here."""


def layout(context: RenderContext, wanted: Wanted, streams: Iterable[int]) -> dict[str, Page]:
    """Lay out all messages: topic → page. The streams come in the order of their first readings."""
    node = node_id(context)
    pages = [Page(node, f"edgeseq {context.node}", None)]
    of_rules: dict[str, list[int]] = {}
    for stream in streams:
        of_rules.setdefault(context.infos[stream].rule, []).append(stream)
    for key, numbers in of_rules.items():
        pages += _pages_of(context, wanted, key, numbers)
    return {f"{wanted.prefix}/device/{page.id}/config": page for page in pages}


def node_id(context: RenderContext) -> str:
    """Name the node, in the letters of discovery topics; no two nodes of a broker have the same."""
    return slug(context.prefix, context.node, distinct="/" in context.prefix or "-" in context.prefix)


def announce_page(context: RenderContext, wanted: Wanted, page: Page) -> Announcement:
    """Tell of a page."""
    node = node_id(context)
    return Announcement(
        device=Device(
            identifiers=page.id,
            name=page.name,
            manufacturer="edgeseq",
            model="node" if page.rule is None else "streams",
            version=wanted.version,
            via_device=UNSET if page.rule is None else node,
        ),
        origin=Origin("edgeseq", wanted.version),
        availability=(bridge(context),),
        components={
            f"{node}_{key}": msgspec.structs.replace(component, unique_id=f"{node}_{key}")
            for key, component in _entities(context, wanted, page)
        },
    )


def _entities(context: RenderContext, wanted: Wanted, page: Page) -> Iterator[tuple[str, Component]]:
    """Give all of a page, each under its key."""
    if page.rule is None:
        yield from of_node(context)
    elif page.is_first:
        yield from of_table(context, page.rule)
    for member in page.members:
        yield from _of_member(context, wanted, member)


def _of_member(context: RenderContext, wanted: Wanted, member: Member) -> Entities:
    if member.channel is None:
        return of_stream(context, member.stream, has_buttons=wanted.has_buttons)
    return of_channel(context, member.stream, member.channel)


# --- pages ------------------------------------------------------------------------------------------------------


def _pages_of(context: RenderContext, wanted: Wanted, key: str, streams: list[int]) -> Iterator[Page]:
    """Fill pages with the streams of a table, in order."""
    rule, first = context.rules[key], streams[0]
    # All streams of a table have as many entities, and so have all their channels.
    cost_of: dict[int | None, int] = {None: len(list(_of_member(context, wanted, Member(first, None))))}
    of_each = len(list(_of_member(context, wanted, Member(first, 0))))
    for channel in range(len(rule.forecast_names)):
        cost_of[channel] = of_each
    parts: list[list[Member]] = []
    room = count = 0
    for member in (Member(stream, channel) for stream in streams for channel in cost_of):
        is_full = member.channel is None and count == wanted.streams_per_device
        if not parts or is_full or room < cost_of[member.channel]:
            parts.append([])
            room, count = MOST_COMPONENTS - 1, 0
        parts[-1].append(member)
        room -= cost_of[member.channel]
        count += member.channel is None
    for n, members in enumerate(parts):
        is_own = wanted.streams_per_device == 1 and not rule.channels
        id_, name = _of_one(context, members[0].stream) if is_own else _of_many(context, rule, n)
        yield Page(id_, name, key, tuple(members), is_first=n == 0)


def _of_one(context: RenderContext, stream: int) -> tuple[str, str]:
    """Give id and name of the page of a single stream: the stream's, whatever its number."""
    info = context.infos[stream]
    label = label_of(context.rule_of(stream), info)
    return f"{node_id(context)}_s_{info.id}", f"edgeseq {context.node} {label}"


def _of_many(context: RenderContext, rule: StreamRule, number: int) -> tuple[str, str]:
    """Give id and name of a table's page; slugs hold no underscore."""
    name, id_ = (
        f"edgeseq {context.node} {short(rule.key)}",
        f"{node_id(context)}_{slug(rule.key, distinct=True)}",
    )
    return (f"{id_}_{number + 1}", f"{name} {number + 1}") if number else (id_, name)
