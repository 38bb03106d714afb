"""What is measured while things fail: three kinds of streams, told apart by how a reading is recognised."""

from __future__ import annotations

import itertools
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path

from tests.support.sender import Reading

KINDS = ("id", "time", "packet")
"""Known by a configured id; by the payload's time and the value; by packet id and payload, on a redelivery only."""

T0_S = 1_760_000_000
"""A time in the past: nothing is refused as coming from the future."""

SENTINEL = "sentinel"
"""Its forecasts tell how far the daemon has come."""

_COMMON = 'field = "value"\nevery = "1s"\nhorizon = "4s"\npath = false\nlimits = { max = 9 }\n'


def rules(bundle: Path | None = None) -> str:
    """Write the [[streams]] tables; with a bundle it serves the streams known by id and those known by time."""
    served = f'bundle = "{bundle}"\n' if bundle else ""
    return (
        f'[[streams]]\ntopic = "id/+"\nid = "n"\ntime = "time"\n{served}{_COMMON}'
        f'[[streams]]\ntopic = "late/+"\nid = "n"\ntime = "time"\nlateness_steps = 2\n{_COMMON}'
        f'[[streams]]\ntopic = "time/+"\ntime = "time"\n{served}{_COMMON}'
        f'[[streams]]\ntopic = "packet/+"\n{_COMMON}'
        f'[[streams]]\ntopic = "{SENTINEL}"\nfield = "value"\nevery = "1s"\nalerts = false\npath = false\n'
    )


def readings(streams: int, rng: random.Random) -> Iterator[Reading]:
    """Make readings without end, a third of the streams of each kind, all in turn.

    Of those that carry their time one in twenty comes one or two steps later than it should, and one in a hundred
    is published twice.
    """
    topics = [_topic(k) for k in range(streams)]
    waiting: dict[int, list[Reading]] = {}
    for step in itertools.count():
        for k, topic in enumerate(topics):
            reading = _reading(topic, k, step, rng)
            is_known = not topic.startswith("packet/")
            if is_known and rng.random() < 0.05:
                waiting.setdefault(step + rng.choice((1, 2)), []).append(reading)
                continue
            yield reading
            if is_known and rng.random() < 0.01:
                waiting.setdefault(step + rng.choice((0, 1, 2)), []).append(reading)
        yield from waiting.pop(step, [])


def sentinel(number: int) -> Reading:
    """Make the reading that tells how far the daemon has come."""
    return Reading(SENTINEL, float(number), json.dumps({"value": float(number)}).encode())


def _topic(k: int) -> str:
    """Name the topic of a stream; of those with a configured id one in ten may come late by two steps."""
    kind, number = KINDS[k % 3], k // 3
    return f"{'late' if kind == 'id' and number % 10 == 0 else kind}/{number}"


def _reading(topic: str, k: int, step: int, rng: random.Random) -> Reading:
    """Make one; its value is a wave, out of range now and then, and its last digits are the step."""
    is_out = rng.random() < 0.004
    value = round(5 * math.sin(step / (3 + k % 7)) + k % 4 + 50 * is_out, 2) + step * 1e-7
    content: dict[str, object] = {"value": value}
    if not topic.startswith("packet/"):
        content["time"] = T0_S + step
    if topic.startswith(("id/", "late/")):
        content["n"] = step
    return Reading(topic, value, json.dumps(content).encode())
