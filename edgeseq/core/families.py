"""Messages of topics that a decoder reads: what it says becomes rows, quickly for names that were looked up before."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgeseq.core.decoders.family import Point, Said
from edgeseq.core.instants import LIMIT_NS, format_instant
from edgeseq.core.listeners import SKIPPED, Listener
from edgeseq.core.parsing import Fault, parse_number
from edgeseq.core.registry import Registry, place_of
from edgeseq.core.rows import BY_TIME, FUTURE_TOLERANCE_NS, Row, admit, event_time, identity, is_good
from edgeseq.core.types import Message, Options, Reason
from edgeseq.core.units import Conversion, canonical, conversion

MAX_NAME_CHARS = 256
"""Longer names are refused: they would stand in the journal, and in every answer about streams."""

_LARGEST = 1e308
"""Numbers beyond are rare enough to be looked at closely."""

_NUMBERS = frozenset({float, int})


class Hearing(NamedTuple):
    """A message as one rule hears it."""

    registry: Registry
    options: Options
    message: Message
    listener: Listener
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
    registry: Registry, options: Options, message: Message, listeners: Sequence[Listener]
) -> tuple[list[Row], list[Fault]]:
    """Read a message by the decoders of its topic. One without readings, as is normal for the family, is ignored."""
    rows: list[Row] = []
    faults: list[Fault] = []
    awake = [listener for listener in listeners if not listener.is_idle]
    heard = [one for one in awake if one.tells or one.rule.use_retained] if message.retained else awake
    if awake and not heard:
        return rows, [Fault(Reason.RETAINED)]
    size = len(message.payload)
    if heard and size > options.max_payload_bytes:
        return rows, [Fault(Reason.PAYLOAD_TOO_LARGE, f"{size} bytes, allowed {options.max_payload_bytes}")]
    for listener in heard:
        said = listener.family.read(listener.memory, message)
        faults += said.faults
        if listener.memory.is_changed:
            registry.forget_listeners()
            listener.memory.is_changed = False
        if said.points and not (message.retained and not listener.rule.use_retained):
            _hear(registry, options, message, listener, said, rows, faults)
    registry.ignored += not rows and not faults
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
    """Find what holds for all that a message says, and add it."""
    rule = listener.rule
    latest_ns, time_ns, is_bad = LIMIT_NS, message.received_ns, False
    if options.synchronised:
        latest_ns = time_ns + max(FUTURE_TOLERANCE_NS, rule.period_ns)
    document = said.document
    if listener.family.is_document:
        stamp = event_time(rule, options, message, document)
        if isinstance(stamp, Fault):
            is_wanted = any(
                type(value) in _NUMBERS and listener.is_free(name) for name, value, _ in said.points
            )
            faults += [stamp] if is_wanted else []
            return
        time_ns, is_bad = stamp, not is_good(rule, document)
    kind, seed = identity(rule, message, document, time_ns)
    hearing = Hearing(registry, options, message, listener, time_ns, kind, seed, latest_ns, is_bad)
    _add(hearing, said.points, rows, faults)


def _add(hearing: Hearing, points: Sequence[Point], rows: list[Row], faults: list[Fault]) -> None:
    """Add a row or a fault for what was said under each name that is wanted."""
    _, _, _, listener, time_ns, kind, seed, latest_ns, is_bad = hearing
    place_of_name = listener.places.get
    for point in points:
        name, value, own_ns = point
        place = place_of_name(name)
        if place == SKIPPED:
            continue
        is_usual = type(value) in _NUMBERS and -_LARGEST < value < _LARGEST and not is_bad
        number = value + 0.0 if is_usual else math.nan if is_bad else parse_number(value, name)
        if place is None:
            found = _look_up(hearing, point, number)
            if found is None:
                continue
            if isinstance(found, Fault):
                faults.append(found)
                continue
            place = found
        if isinstance(number, Fault):
            faults.append(number)
            continue
        if listener.conversions and name in listener.conversions:
            factor, offset = listener.conversions[name]
            number = factor * number + offset
        if own_ns is None:
            rows.append((place, time_ns, number, kind, seed))
        elif own_ns <= latest_ns:
            rows.append((place, own_ns, number, BY_TIME, own_ns))
        else:
            faults.append(_of_the_future(name, own_ns))


def _look_up(hearing: Hearing, point: Point, number: float | Fault) -> int | Fault | None:
    """Find the place of a name's readings; None where they are none. What has no stream yet may become one."""
    registry, options, message, listener = hearing[:4]
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
            return None
        if isinstance(number, Fault):
            return number
        if own_ns is not None and own_ns > hearing.latest_ns:
            return _of_the_future(name, own_ns)
    if rule.convert and told is None and not rule.unit:
        return Fault(
            Reason.UNKNOWN_UNIT, f"{name}: it may have to be converted, and nothing has told its unit yet"
        )
    at_ns = hearing.time_ns if own_ns is None else own_ns
    stream = admit(
        registry, options, message, rule, target, 0.0 if isinstance(number, Fault) else number, at_ns
    )
    if isinstance(stream, Fault):
        return stream
    if change is not None:
        listener.conversions[name] = change
    place = place_of(stream, 0)
    registry.remember_name(listener, name, place)
    return place


def _conversion(wanted: Sequence[str], unit: str) -> tuple[Conversion | None, str | None]:
    """Say how a unit becomes one of those that are wanted, and which one that is."""
    for one in wanted:
        if change := conversion(unit, one):
            return change, canonical(one)
    return None, canonical(unit) or None


def _of_the_future(name: str, time_ns: int) -> Fault:
    return Fault(Reason.TIME_IN_FUTURE, f"{name}: {format_instant(time_ns)}")
