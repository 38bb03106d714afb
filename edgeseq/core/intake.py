"""From messages to readings: decode, deduplicate, count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeseq.core import dedupe
from edgeseq.core.decode import decode
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.state import NO_GROUP, State, add_rows, places
from edgeseq.core.types import (
    I64,
    Bool,
    Heard,
    Message,
    Outgoing,
    Readings,
    Reason,
    Rejection,
    StreamInfo,
)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a batch of messages amounts to."""

    readings: Readings
    rejections: list[Rejection]
    created: list[StreamInfo]
    asks: tuple[Outgoing, ...] = ()
    """What decoders ask of devices, where the configuration lets them."""
    heard: tuple[Heard, ...] = ()
    """Messages that said what others mean, to be journaled."""


def accept(state: State, messages: Sequence[Message]) -> Batch:
    """Decode and deduplicate messages; register streams and reading ids. Never raises on any bytes."""
    readings, rejections, created = decode(state.registry, state.options, messages, state.session)
    add_rows(state)
    duplicate = _remember(state, readings)
    counts = state.counts
    counts.received += len(readings) + len(rejections)
    again = int(np.count_nonzero(duplicate))
    counts.duplicate += again
    for rejection in rejections:
        counts.reject(rejection.reason)
    for i in duplicate.nonzero()[0]:
        index = int(readings.message_index[i])
        rejections.append(Rejection(index, Reason.DUPLICATE, messages[index].topic))
    told = _take_from_decoders(state) if state.registry.memories else ((), ())
    return Batch(readings.take(~duplicate) if again else readings, rejections, created, *told)


def _take_from_decoders(state: State) -> tuple[tuple[Outgoing, ...], tuple[Heard, ...]]:
    """Count the messages that decoders ignored, and give what they ask of devices and what is to be kept."""
    registry = state.registry
    heard = tuple(registry.heard)
    registry.heard.clear()
    state.counts.ignored += registry.ignored
    registry.ignored = 0
    asks = tuple(ask for memory in registry.memories.values() for ask in memory.asks)
    for memory in registry.memories.values():
        memory.asks.clear()
    return asks, heard


def recall(state: State, heard: Sequence[Heard]) -> None:
    """Let decoders hear again what said what other messages mean; no reading comes of it."""
    registry = state.registry
    for topic, payload in heard:
        for listener in registry.audience(topic).listeners:
            listener.family.read(listener.memory, Message(topic, payload, 0, retained=True))
            listener.memory.is_changed = False
    registry.forget_listeners()


def distrust(state: State) -> None:
    """Forget what decoders were told and may not hold any more: messages may have come that nobody kept."""
    for key, memory in state.registry.memories.items():
        FAMILIES[state.registry.rules[key].decoder or ""].distrust(memory)


def _remember(state: State, readings: Readings) -> Bool:
    """Look up and remember the identities of readings → (n,) True for duplicates."""
    duplicate = dedupe.is_recent(state.recent, readings)
    if len(readings) > 1 and dedupe.may_be_forgotten(state.recent, readings, duplicate):
        half = len(readings) // 2
        return np.concatenate(
            [_remember(state, readings.take(part)) for part in (slice(half), slice(half, None))]
        )
    group_of, row_of = places(state, readings.stream_index)
    for index in set(group_of.tolist()) - {NO_GROUP}:
        own = ((group_of == index) & ~duplicate).nonzero()[0]
        duplicate[own] = dedupe.remember(state.groups[index].table, row_of[own], _pick(readings, own))
    fresh = (~duplicate & (group_of != NO_GROUP)).nonzero()[0]
    dedupe.remember_in_node(state.recent, _pick(readings, fresh))
    return duplicate


def _pick(readings: Readings, rows: I64) -> Readings:
    """Select rows of an ascending index array; usually that is all of them."""
    return readings if len(rows) == len(readings) else readings.take(rows)


def remember_new(state: State, readings: Readings) -> None:
    """Remember the identities of readings that are no duplicates."""
    group_of, row_of = places(state, readings.stream_index)
    for index in set(group_of.tolist()) - {NO_GROUP}:
        own = np.flatnonzero(group_of == index)
        dedupe.insert(state.groups[index].table, row_of[own], readings.take(own))
    dedupe.remember_in_node(state.recent, readings.take(group_of != NO_GROUP))
