"""Messages of topics that a decoder reads: what it says becomes rows, quickly for names that were looked up before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgeseq.core.decoders.family import Point, Said
from edgeseq.core.identity import packet_seed
from edgeseq.core.instants import LIMIT_NS, format_instant
from edgeseq.core.listeners import SKIPPED, UNBORN, Audience, Listener
from edgeseq.core.parsing import Fault, parse_number
from edgeseq.core.registry import Registry, place_of
from edgeseq.core.rows import (
    BY_PACKET,
    BY_TIME,
    FUTURE_TOLERANCE_NS,
    NOTHING,
    Row,
    admit,
    event_time,
    identity,
    is_good,
)
from edgeseq.core.types import Message, Options, Reason
from edgeseq.core.units import Conversion, canonical, conversion

MAX_NAME_CHARS = 256
"""Longer names are refused: they would stand in the journal, and in every answer about streams."""

_LARGEST = 1e308
"""Numbers beyond are rare enough to be looked at closely."""

_NUMBERS = frozenset({float, int})


class Stamp(NamedTuple):
    """What holds for all that a message says."""

    time_ns: int
    """Time of what has none of its own, …"""
    kind: int
    """… what identifies that, …"""
    seed: int
    """… and its seed, as in `rows.Row`."""
    latest_ns: int
    """Times beyond are of the future."""
    is_bad: bool
    """Whether its quality mark makes all values missing."""


def read_families(
    registry: Registry, options: Options, message: Message, audience: Audience
) -> tuple[list[Row], list[Fault]]:
    """Read a message by the decoders of its topic. One without readings, as is normal for the family, is ignored."""
    rows: list[Row] = []
    faults: list[Fault] = []
    heard: Sequence[Listener] = audience.listeners
    if message.retained and heard:
        heard = [one for one in heard if one.tells or one.rule.use_retained]
        if not heard:
            return rows, [Fault(Reason.RETAINED)]
    size = len(message.payload)
    if size > options.max_payload_bytes and heard:
        return rows, [Fault(Reason.PAYLOAD_TOO_LARGE, f"{size} bytes, allowed {options.max_payload_bytes}")]
    for listener in heard:
        said = listener.family.read(listener.memory, message)
        faults += said.faults
        if listener.memory.is_changed:
            registry.forget_listeners()
            listener.memory.is_changed = False
            if listener.tells and listener.family.is_lasting:
                registry.heard.append((message.topic, message.payload))
        if said.points and not (message.retained and not listener.rule.use_retained):
            _hear(registry, options, message, listener, said, rows, faults)
    if not rows and not faults:
        registry.ignored += 1
    return rows, faults


def _hear(
    registry: Registry,
    options: Options,
    message: Message,
    listener: Listener,
    said: Said,
    rows: list[Row],
    faults: list[Fault],
) -> None:
    """Add a row or a fault for what was said under each name that is wanted."""
    stamp = _stamp(listener, options, message, said)
    if isinstance(stamp, Fault):
        faults += [stamp] if _is_any_wanted(listener, said) else []
        return
    time_ns, kind, seed, latest_ns, is_bad = stamp
    place_of_name, conversions = listener.places.get, listener.conversions
    for point in said.points:
        name, value, own_ns = point
        place, is_number = place_of_name(name), type(value) in _NUMBERS
        if place == SKIPPED or (place == UNBORN and not is_number):
            continue
        is_usual = is_number and -_LARGEST < value < _LARGEST and not is_bad
        number = value + 0.0 if is_usual else _odd(value, name, is_bad=is_bad)
        if place is None or place == UNBORN:
            found = _look_up(registry, options, message, listener, point, stamp, number)
            if not isinstance(found, int):
                faults += [found] if found else []
                continue
            place = found
        if isinstance(number, Fault):
            faults.append(number)
            continue
        if conversions and name in conversions:
            factor, offset = conversions[name]
            number = factor * number + offset
        if own_ns is None:
            rows.append((place, time_ns, number, kind, seed))
        elif own_ns <= latest_ns:
            rows.append((place, own_ns, number, BY_TIME, own_ns))
        else:
            faults.append(_of_the_future(name, own_ns))


def _stamp(listener: Listener, options: Options, message: Message, said: Said) -> Stamp | Fault:
    """Find what holds for all that a message says."""
    rule, received_ns = listener.rule, message.received_ns
    latest_ns = LIMIT_NS
    if options.synchronised:
        latest_ns = received_ns + max(FUTURE_TOLERANCE_NS, rule.period_ns)
    if not listener.looks_up:
        if not message.mid:
            return Stamp(received_ns, NOTHING, 0, latest_ns, is_bad=False)
        seed = packet_seed(message.mid, message.payload)
        return Stamp(received_ns, BY_PACKET | message.dup, seed, latest_ns, is_bad=False)
    document = said.document
    time_ns = event_time(rule, options, message, document)
    if isinstance(time_ns, Fault):
        return time_ns
    kind, seed = identity(rule, message, document, time_ns)
    return Stamp(time_ns, kind, seed, latest_ns, not is_good(rule, document))


def _odd(value: object, name: str, *, is_bad: bool) -> float | Fault:
    """Read what is no usual number; of bad quality it is missing, whatever it is."""
    return math.nan if is_bad else parse_number(value, name)


def _is_any_wanted(listener: Listener, said: Said) -> bool:
    """Tell whether a message says a number that is wanted."""
    return any(type(value) in _NUMBERS and listener.is_free(name) for name, value, _ in said.points)


def _look_up(
    registry: Registry,
    options: Options,
    message: Message,
    listener: Listener,
    point: Point,
    stamp: Stamp,
    number: float | Fault,
) -> int | Fault | None:
    """Find the place of a name's readings; None where they are none. What has no stream yet may become one."""
    (name, value, own_ns), rule = point, listener.rule
    if len(name) > MAX_NAME_CHARS:
        return Fault(Reason.MALFORMED, f"a name of {len(name)} characters")
    if not listener.is_free(name):
        registry.remember_name(listener, name, SKIPPED)
        return None
    topic, field = listener.family.source(message.topic, name)
    told = listener.family.unit(listener.memory, message.topic, name)
    change, unit = _conversion(rule.convert, told or rule.unit or "")
    target = registry.target(rule, topic, field, unit)
    if registry.stream_of(target) is None:
        # Text and booleans are normal, and null before the first number: but not under a name that was asked for.
        if value is None or (not rule.fields and isinstance(value, str | bool)):
            _unborn(registry, listener, name)
            return None
        if isinstance(number, Fault):
            return number
        if own_ns is not None and own_ns > stamp.latest_ns:
            return _of_the_future(name, own_ns)
    if rule.convert and told is None and not rule.unit:
        return Fault(
            Reason.UNKNOWN_UNIT, f"{name}: it may have to be converted, and nothing has told its unit yet"
        )
    at_ns = stamp.time_ns if own_ns is None else own_ns
    stream = admit(
        registry, options, message, rule, target, 0.0 if isinstance(number, Fault) else number, at_ns
    )
    if isinstance(stream, Fault):
        return stream
    place = place_of(stream, 0)
    registry.remember_name(listener, name, place)
    if change is not None:  # after the name: to remember one may forget all others
        listener.conversions[name] = change
    return place


def _unborn(registry: Registry, listener: Listener, name: str) -> None:
    """Look no closer at a name until a number comes under it; another topic's may, where streams are shared."""
    if not listener.family.is_shared and not listener.rule.fields:
        registry.remember_name(listener, name, UNBORN)


def _conversion(wanted: Sequence[str], unit: str) -> tuple[Conversion | None, str | None]:
    """Say how a unit becomes one of those that are wanted, and which one that is."""
    for one in wanted:
        if change := conversion(unit, one):
            return change, canonical(one)
    return None, canonical(unit) or None


def _of_the_future(name: str, time_ns: int) -> Fault:
    return Fault(Reason.TIME_IN_FUTURE, f"{name}: {format_instant(time_ns)}")
