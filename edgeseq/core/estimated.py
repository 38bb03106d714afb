"""What subscribers are told of an estimator: its number with an interval, or its classes with their probabilities."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from edgeseq.core.decimals import significant
from edgeseq.core.instants import format_instant
from edgeseq.core.payloads import ClassPayload, EstimatePayload
from edgeseq.core.types import COVERAGE, ClassChanged, Estimate, Target


class Estimated(NamedTuple):
    """What a rule's estimator tells of, and the label of its bundle."""

    target: Target
    bundle: str


def estimate_payload(event: Estimate, estimated: Estimated, stream: str) -> EstimatePayload:
    """Describe an estimate of the stream with this id."""
    target, label = estimated
    payload = EstimatePayload(
        id=f"{stream}:{event.step}:{label.rpartition('@')[2]}",
        stream=stream,
        target=target.name,
        time=format_instant(event.origin_ns),
        quality=event.quality,
        bundle=label,
    )
    numbers: list[float | None] = significant(event.numbers).tolist()  # NaN is written as null
    if not target.classes:
        lower, value, upper = numbers
        return msgspec.structs.replace(
            payload, unit=target.unit, value=value, lower=lower, upper=upper, coverage=COVERAGE
        )
    likely = int(event.numbers.argmax())
    is_known = event.quality != "missing" and bool((event.numbers >= 0).all())
    return msgspec.structs.replace(
        payload,
        state=target.classes[likely] if is_known else None,
        probability=numbers[likely],
        probabilities=dict(zip(target.classes, numbers, strict=True)),
    )


def class_payload(event: ClassChanged, estimated: Estimated) -> ClassPayload:
    """Describe the class that a stream is in now."""
    target, label = estimated
    since = format_instant(event.since_ns)
    return ClassPayload(state=target.classes[event.index], target=target.name, since=since, bundle=label)
