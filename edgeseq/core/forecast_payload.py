"""What subscribers are told of forecasts: the payloads of forecasts made together, written at once.

`payloads.ForecastPayload` says what a payload looks like. It is encoded once for each rule, with marks where a
forecast's own texts and numbers come, and taken apart there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from edgeseq.core.decimals import CUT, write_rows
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import ForecastPayload, Path
from edgeseq.core.types import Forecast, ForecastColumns, Outgoing, Source, StreamRule

BASELINE = "baseline"

_PATH = 2
"""Place of the path among the pieces of a row, where it is published."""

_QUALITY = {False: b"ok", True: b"missing"}
_NULL = b"null"[0]

_MARK: Any = Raw(CUT)
_QUOTED_MARK: Any = Raw(b'"%b"' % CUT)

_encode = msgspec.json.Encoder().encode


class Around(NamedTuple):
    """What stands around the texts and numbers of one channel's forecasts, in order."""

    opening: bytes
    to_step: bytes
    to_name: bytes
    to_origin: bytes
    to_numbers: bytes
    """Up to observed … score."""
    to_skill: dict[bool, bytes]
    """Where the reading is missing and where it is not."""
    end: bytes
    """Without the brace."""


class Template(NamedTuple):
    """The payloads of a rule around what differs from forecast to forecast."""

    channels: dict[Source, list[Around]]
    path: bytes
    """From the scalars to the first number of the path, or the last brace where none is published."""
    labels: tuple[bytes, ...]
    """What stands around the numbers, for `write_rows`."""
    pieces: int
    """Pieces of a row: observed … score, skill, path."""


class Texts(NamedTuple):
    """Forecasts made together, as text."""

    template: Template
    pieces: list[bytes]
    """Of the numbers of all rows and channels."""


def make_template(rule: StreamRule, bundle: str | None, horizon: int) -> Template:
    """Take apart the payloads of a rule, which has a bundle with this label or none."""
    channels: dict[Source, list[Around]] = {"baseline": [], "model": []}
    labels: list[bytes] = []
    for source, arounds in channels.items():
        for name in rule.forecast_names:
            parts = _encode(_marked(rule, name, source, bundle)).removesuffix(b"}").split(CUT)
            labels = [b"", *parts[5:9], CUT]
            quality = {is_missing: parts[9] + word + parts[10] for is_missing, word in _QUALITY.items()}
            opening, to_step, to_name, to_origin, to_numbers = parts[:5]
            arounds.append(Around(opening, to_step, to_name, to_origin, to_numbers, quality, parts[11]))
    if not rule.publish_path:
        return Template(channels, b"}", (*labels, b""), pieces=2)
    path = Path(_leads(rule.period_ns, horizon), _MARK, _MARK, _MARK)
    lower, value, upper, end = _encode({"path": path}).split(CUT)
    rest = [b","] * (horizon - 1)
    labels += [CUT, *rest, b"]%b[" % value, *rest, b"]%b[" % upper, *rest, b"]%b" % end]
    return Template(channels, b",%b[" % lower[1:], tuple(labels), pieces=3)


def _marked(rule: StreamRule, name: str, source: Source, bundle: str | None) -> ForecastPayload:
    """Make the payload of a channel with marks for stream, step, stream, origin, seven numbers and the quality."""
    label = bundle if source == "model" else None
    digest = label.rpartition("@")[2] if label else BASELINE
    place = f"/{name}" if rule.channels else ""
    identity = b'"%b%b:%b:%b"' % (CUT, _encode(place)[1:-1], CUT, _encode(digest)[1:-1])
    return ForecastPayload(
        id=Raw(identity),  # type: ignore[arg-type]  # encoded as it stands
        stream=_QUOTED_MARK,
        channel=name if rule.channels else UNSET,
        origin=_QUOTED_MARK,
        period_s=seconds(rule.period_ns),
        unit=rule.unit_of(name),
        observed=_MARK,
        value=_MARK,
        lower=_MARK,
        upper=_MARK,
        coverage=rule.coverage,
        score=_MARK,
        quality=_QUOTED_MARK,
        source=source,
        skill=_MARK,
        bundle=label,
    )


def write_forecasts(template: Template, columns: ForecastColumns) -> Texts:
    """Write the numbers of forecasts made together."""
    n, C, H = columns.value.shape
    numbers = np.empty((n, C, len(template.labels) - 1))
    scalars = (columns.observed, *(c[..., 0] for c in (columns.value, columns.lower, columns.upper)))
    for place, column in enumerate((*scalars, columns.score, columns.skill)):
        numbers[..., place] = column
    if template.pieces > _PATH:
        for start, column in zip(
            range(6, 6 + 3 * H, H), (columns.lower, columns.value, columns.upper), strict=True
        ):
            numbers[..., start : start + H] = column
    return Texts(template, write_rows(numbers.reshape(n * C, -1), template.labels))


def tell_forecast(
    outgoing: list[Outgoing], texts: Texts, event: Forecast, stream: bytes, topics: tuple[str, ...]
) -> tuple[bytes, ...]:
    """Add the messages of the stream with this id, one for each channel.

    It is done for each reading: hence without calls, and what is kept of a stream is little and in one place.

    Returns:
        payloads without path and last brace, which are told again.
    """
    (channels, path, _, width), pieces = texts
    arounds = channels[event.source]
    at, filled = event.row * len(arounds) * width, event.leads_filled
    step, origin = _when(event.step, event.origin_ns)
    told: tuple[bytes, ...] = ()
    for place, (opening, to_step, to_name, to_origin, to_numbers, to_skill, end) in enumerate(arounds):
        numbers = pieces[at]
        scalars = b"".join((
            opening, stream, to_step, step, to_name, stream, to_origin, origin, to_numbers, numbers,
            to_skill[numbers[0] == _NULL], pieces[at + 1], b'%b,"leads_filled":%d' % (end, filled) if filled else end,
        ))  # fmt: skip
        told += (scalars,)
        last = pieces[at + _PATH] if width > _PATH else b""
        outgoing.append(Outgoing(topics[place], b"".join((scalars, path, last))))
        at += width
    return told


def seconds(time_ns: int) -> int | float:
    """Turn ns into seconds, an integer where whole."""
    return time_ns / 1e9 if time_ns % 10**9 else time_ns // 10**9


def _leads(period_ns: int, horizon: int) -> list[int | float]:
    """List the times from origin to each forecast step (s)."""
    return [seconds(period_ns * lead) for lead in range(1, horizon + 1)]


@lru_cache(maxsize=1024)
def _when(step: int, time_ns: int) -> tuple[bytes, bytes]:
    """Write step and origin; streams of one grid share them."""
    return b"%d" % step, format_instant(time_ns).encode()
