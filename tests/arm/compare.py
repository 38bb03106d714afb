"""How far two machines' results for one job are apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgeseq.core.types import F32

RELATIVE = 1e-5
"""Of the scale of a stream: what results of two machines may differ by."""


class Replayed(NamedTuple):
    """How two replays compare."""

    messages: int
    numbers: int
    not_equal: int
    """Numbers whose text differs."""
    worst: float
    """Largest difference beyond a unit of the last printed place, as a share of the stream's standard deviation."""
    sources: frozenset[str]


def rolled(path: Path) -> dict[str, F32]:
    """Load what a machine computed."""
    with np.load(path.with_suffix(".npz")) as arrays:
        return dict(arrays)


def share(found: F32, wanted: F32, scale: F32) -> float:
    """Give the largest difference of quantiles (T, B, C, H, Q) as a share of each stream's scale (B, C)."""
    return float(np.max(np.abs(found - wanted) / scale[..., None, None]))


def replays(found: Path, wanted: Path) -> Replayed:
    """Compare what two machines publish, message by message: topics and words equal, numbers within a bound."""
    here, there = (_messages(path.with_suffix(".jsonl")) for path in (found, wanted))
    assert [m["topic"] for m in here] == [m["topic"] for m in there]
    scales = _scales(there)
    numbers = not_equal = 0
    worst = 0.0
    for ours, theirs in zip(here, there, strict=True):
        scale = scales.get(theirs["topic"], 1.0)
        for a, b in _pairs(ours["payload"], theirs["payload"]):
            numbers += 1
            not_equal += a != b
            allowed = max(_last_place(a), _last_place(b))
            worst = max(worst, float(max(abs(a - b) - allowed, Decimal(0))) / scale)
    sources = {m["payload"]["source"] for m in there if m["topic"].endswith("/forecast")}
    return Replayed(len(here), numbers, not_equal, worst, frozenset(sources))


def _messages(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    return [json.loads(line, parse_float=Decimal, parse_int=Decimal) for line in text.splitlines()]


def _scales(messages: list[dict[str, Any]]) -> dict[str, float]:
    """Give the standard deviation of each stream's readings by topic of its forecasts."""
    seen: dict[str, list[float]] = {}
    for message in messages:
        if message["topic"].endswith("/forecast") and message["payload"]["observed"] is not None:
            seen.setdefault(message["topic"], []).append(float(message["payload"]["observed"]))
    return {topic: float(np.std(values)) for topic, values in seen.items()}


def _pairs(ours: Any, theirs: Any) -> Iterator[tuple[Decimal, Decimal]]:
    """Walk two payloads of one shape; whatever is no number must be equal."""
    if isinstance(theirs, Decimal) and isinstance(ours, Decimal):
        yield ours, theirs
    elif isinstance(theirs, dict):
        assert list(ours) == list(theirs)
        for key in theirs:
            if key != "text":  # a sentence, which holds the same numbers rounded further
                yield from _pairs(ours[key], theirs[key])
    elif isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs, strict=True):
            yield from _pairs(a, b)
    else:
        assert ours == theirs


def _last_place(number: Decimal) -> Decimal:
    """Give one unit of the last printed place.

    >>> _last_place(Decimal("40.3")), _last_place(Decimal("0.010068"))
    (Decimal('0.1'), Decimal('0.000001'))
    """
    exponent = number.as_tuple().exponent
    return Decimal(1).scaleb(exponent) if isinstance(exponent, int) else Decimal(0)
