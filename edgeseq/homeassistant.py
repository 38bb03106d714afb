"""Telling Home Assistant of the streams, a few messages a second: after a connect, at its birth, as streams come.

What it may know is remembered with the node, over restarts, so that it can be taken away: single entities by a message
that names their platform alone, all of a topic by an empty one. Nothing here is of use, or loaded, where discovery is
off and was off before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from edgeseq import __version__
from edgeseq.compose import Node
from edgeseq.core.discovery import Page, Wanted, announce_page, layout
from edgeseq.core.discovery_payload import Component, removed
from edgeseq.core.topics import is_match
from edgeseq.core.types import Message, Outgoing

MESSAGES_AT_ONCE = 4
"""Some 300 KB a second, where they are large."""

BIRTHS_EVERY_S = 5.0
"""Whoever says that Home Assistant was born makes us tell all again, at most so often."""


class Discovery:
    """What Home Assistant shall know, what it may know already, and what is still to be told."""

    def __init__(self, node: Node, now_s: Callable[[], float] = time.monotonic) -> None:
        config = node.resolved.config
        settings = config.homeassistant
        self.node = node
        self.is_on = settings.discovery
        self.status_topic = settings.status_topic
        self.wanted = Wanted(settings.prefix, settings.streams_per_device, config.node.requests, __version__)
        self.pages: dict[str, Page] = {}
        filters = (one for rule in node.resolved.rules for one in rule.filters)
        self._is_shared = any(is_match(one, self.status_topic) for one in filters)
        """Whether streams are made of Home Assistant's status, too."""
        self._own = {self.status_topic, *node.announced}
        """Topics of messages that are no readings."""
        self._now_s = now_s
        self._begun_s = -BIRTHS_EVERY_S
        self._is_born = False
        self._known = -1
        self._queue: dict[str, None] = {}
        self.begin()

    def begin(self) -> None:
        """Tell all again from the beginning: to a broker that may have lost it, or to a new Home Assistant."""
        self._begun_s, self._is_born = self._now_s(), False
        self._lay_out()
        self._queue = dict.fromkeys([*self.node.announced, *self.pages])

    def parted(self, messages: list[Message]) -> list[Message]:
        """Give the messages that are readings; the others are Home Assistant's, or our own."""
        own = self._own
        readings = [message for message in messages if message.topic not in own]
        if len(readings) == len(messages):
            return messages
        status = [message for message in messages if message.topic == self.status_topic]
        self._is_born = self._is_born or any(message.payload == b"online" for message in status)
        if not (self._is_shared and status):
            return readings
        return [
            message for message in messages if message.topic == self.status_topic or message.topic not in own
        ]

    def look(self) -> list[Outgoing]:
        """Give what is to be told now; to be called every second of a connection."""
        if self._is_born and self._now_s() >= self._begun_s + BIRTHS_EVERY_S:
            self.begin()
        elif self._known != len(self.node.context.infos):
            self._lay_out()
        return [out for topic in list(self._queue)[:MESSAGES_AT_ONCE] for out in self._tell(topic)]

    def _lay_out(self) -> None:
        """Find what each message tells of; those that change go into the queue."""
        infos, hidden = self.node.context.infos, self.node.state.registry.hidden
        self._known = len(infos)
        if not self.is_on:
            return
        streams = (n for n in range(len(infos)) if infos[n].rule and n not in hidden)
        pages = layout(self.node.context, self.wanted, streams)
        self._queue |= dict.fromkeys(topic for topic, page in pages.items() if page != self.pages.get(topic))
        self.pages = pages

    def _tell(self, topic: str) -> list[Outgoing]:
        """Tell what a topic tells of, or that it is gone."""
        self._queue.pop(topic, None)
        self._own.add(topic)
        page = self.pages.get(topic)
        if page is None:
            return [self._take_away(topic)]
        announcement = announce_page(self.node.context, self.wanted, page)
        if holders := self._holders(topic, announcement.components):
            # An entity belongs to one device: it leaves the one before it enters the other.
            self._queue |= dict.fromkeys([*(one for one in holders if one in self.pages), topic])
            return [self._take_away(holder) for holder in holders]
        told = self.node.announced.get(topic, {})
        gone = removed({key: told[key] for key in told if key not in announcement.components})
        self.node.announced[topic] = {key: one.platform for key, one in announcement.components.items()}
        whole = msgspec.structs.replace(announcement, components={**gone, **announcement.components})
        return [_retained(topic, msgspec.json.encode(whole))]

    def _holders(self, topic: str, components: dict[str, Component]) -> list[str]:
        """List other topics by which some of these entities are known."""
        announced = self.node.announced.items()
        return [
            other for other, told in announced if other != topic and not told.keys().isdisjoint(components)
        ]

    def _take_away(self, topic: str) -> Outgoing:
        """Let go of all that a topic has told. It is said once more at the next connection, and then forgotten."""
        if self.node.announced.get(topic):
            self.node.announced[topic] = {}
        else:
            self.node.announced.pop(topic, None)
        return _retained(topic, b"")


def _retained(topic: str, payload: bytes) -> Outgoing:
    return Outgoing(topic, payload, qos=1, retain=True)
