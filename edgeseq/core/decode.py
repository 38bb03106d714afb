"""Decode: messages → readings and rejections.

Total: no bytes raise. What cannot be used is a Rejection with a reason of a closed set, and never disturbs the
readings beside it. Messages that are all of one make are read together (`alike`). Else each is read in one of three
ways: quickly where its topic has streams and all is as it should be (`usual`), by the decoders that the configuration
names for its topic (`families`), or by looking at everything (`careful`).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from edgeseq.core import careful
from edgeseq.core.alike import Columns, integers, read_alike
from edgeseq.core.families import read_families
from edgeseq.core.identity import FEW, Identity, identities, session_seed
from edgeseq.core.parsing import Fault
from edgeseq.core.registry import Registry, places
from edgeseq.core.rows import Row, rejection
from edgeseq.core.types import F64, Message, Options, Readings, Reason, Rejection, StreamInfo
from edgeseq.core.usual import read_usual


def decode(
    registry: Registry, options: Options, messages: Sequence[Message], session: int = 0
) -> tuple[Readings, list[Rejection], list[StreamInfo]]:
    """Turn messages into readings, rejections and the streams that were seen for the first time.

    One message may give many readings, all with its index, and several rejections. New streams are registered.
    A message of a topic that has no stream and finds no room for one is not read: one rejection, whatever it holds.
    `session` is the number of the broker's session, within which packet ids tell messages apart.
    """
    if len(messages) >= FEW and (columns := read_alike(registry, options, messages)):
        return _readings(registry, messages, columns, session), [], []
    indices: list[int] = []
    rows: list[Row] = []
    rejections: list[Rejection] = []
    before = len(registry)
    usual_of = registry.usual.get
    for index, message in enumerate(messages):
        usual = usual_of(message.topic)
        if usual is None or not (found := read_usual(usual, options, message)):
            found, faults = _read_closely(registry, options, message)
            rejections += [rejection(index, message, fault) for fault in faults]
        for row in found:
            indices.append(index)
            rows.append(row)
    if not rows:
        return Readings.empty(), rejections, registry.infos[before:]
    columns = _columns(indices, rows)
    return _readings(registry, messages, columns, session), rejections, registry.infos[before:]


def _read_closely(registry: Registry, options: Options, message: Message) -> tuple[list[Row], list[Fault]]:
    """Read a message in the way that its topic asks for."""
    audience = registry.audiences.get(message.topic)
    if audience is None:
        lack = registry.refusal(message.topic, options.max_streams)
        if lack is not None and not message.retained:
            return [], [Fault(Reason.TOO_MANY_STREAMS, lack)]
        audience = registry.audience(message.topic)
    rows, faults = read_families(registry, options, message, audience) if audience.is_any else ([], [])
    if audience.is_any and not audience.has_others:
        return rows, faults
    for item in careful.read(registry, options, message):
        if isinstance(item, Fault):
            faults.append(item)
        else:
            rows.append(item)
    registry.learn_usual(message.topic)
    return rows, faults


def _columns(indices: list[int], rows: list[Row]) -> Columns:
    """Make columns of rows, and of the messages that they were found in."""
    place, time_ns, value, kind, seed = zip(*rows, strict=True)
    values = np.frombuffer(array("d", value), dtype=np.float64)
    return Columns(
        integers(indices), integers(place), integers(time_ns), values, integers(kind), integers(seed)
    )


def _readings(registry: Registry, messages: Sequence[Message], columns: Columns, session: int) -> Readings:
    """Convert units, and compute the identities of all."""
    message, place, time_ns, value, kinds, seeds = columns
    received_ns = integers([one.received_ns for one in messages])
    stream, channel = places(place)
    if registry.conversions:
        value = _converted(registry, place.tolist(), value)
    named = kinds >> 1
    if session:
        seeds = np.where(named == Identity.PACKET, seeds | session_seed(session), seeds)
    return Readings(
        message_index=message.astype(np.int32),
        stream_index=stream.astype(np.int32),
        channel=channel.astype(np.int16),
        time_ns=time_ns,
        received_ns=received_ns[message],
        value=value,
        id_hash=identities(named, seeds, channel, value),
        comparable=(kinds & 1).astype(np.bool_),
    )


def _converted(registry: Registry, place: Sequence[int], values: F64) -> F64:
    """Convert what rules without a decoder take in one unit and give in another."""
    values = values.copy()
    for i, of_place in enumerate(place):
        if found := registry.conversions.get(of_place):
            values[i] = found[0] * values[i] + found[1]
    return values
