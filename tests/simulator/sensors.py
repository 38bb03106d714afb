"""What is measured in a simulated plant: rules of every kind, and the messages that their sensors will publish."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from edgeseq.core.types import ChannelSource, Limits, StreamRule
from tests.simulator.broker import Sent
from tests.simulator.clock import START_S
from tests.simulator.faults import Faults

PERIODS_S = (1, 10, 60, 600, 3600)
STREAMS = 4
LIMITS = {"value": Limits(max=9.0)}

KEYED_BY_ID = StreamRule("id", 0, topics=("id/+",), fields=("v",), id_field="n", horizon=2, limits=LIMITS)
KEYED_BY_TIME = StreamRule(
    "time", 0, topics=("time/+",), fields=("v",), time_field="t", horizon=2, limits=LIMITS
)
KEYED_BY_PACKET = StreamRule("packet", 0, topics=("packet/+",), horizon=2, limits=LIMITS)
MEANS = StreamRule(
    "mean",
    0,
    topics=("mean/+",),
    fields=("v",),
    time_field="t",
    id_field="n",
    aggregate="mean",
    horizon=2,
    limits=LIMITS,
)
MODELLED = StreamRule(
    "model", 0, topics=("model/+",), fields=("v",), time_field="t", id_field="n", bundle="fake", limits=LIMITS
)
TWO_FIELDS = StreamRule(
    "two", 0, topics=("two/+",), fields=("v", "w"), id_field="n", time_field="t", horizon=2, limits=LIMITS
)
TWO_CHANNELS = StreamRule(
    "pair",
    0,
    name="pair",
    channels={"left": ChannelSource("pair/0", "v"), "right": ChannelSource("pair/1", "v")},
    time_field="t",
    horizon=2,
    limits={"left": Limits(max=9.0)},
)
RULES = (KEYED_BY_ID, KEYED_BY_TIME, KEYED_BY_PACKET, MEANS, MODELLED, TWO_FIELDS, TWO_CHANNELS)


@dataclass(frozen=True, slots=True)
class Plant:
    """The rules of a seed and how long its sensors measure."""

    rules: tuple[StreamRule, ...]
    period_s: int
    steps: int

    @classmethod
    def draw(cls, rng: random.Random) -> Plant:
        """Draw one or two rules and a period."""
        period_s = rng.choice(PERIODS_S)
        chosen = rng.sample(RULES, rng.choice((1, 1, 2)))
        rules = tuple(
            msgspec.structs.replace(
                rule,
                period_ns=period_s * 10**9,
                silent_after_ns=0 if rng.random() < 0.5 else 4 * period_s * 10**9,
            )
            for rule in chosen
        )
        return cls(rules, period_s, rng.randint(6, 18))


def messages(plant: Plant, rng: random.Random, faults: Faults) -> Iterator[tuple[float, Sent]]:
    """Yield when (s from the start) each message is published; two of the same number are one published twice."""
    number = 0
    for rule in plant.rules:
        topics = [f"{rule.key}/{k}" for k in range(2 if rule.channels else rng.randint(1, STREAMS))]
        for topic in topics:
            silent = range(0)
            if faults.has("silence") and rng.random() < 0.3:
                start = rng.randint(1, plant.steps)
                silent = range(start, start + rng.randint(3, 9))
            for step in range(plant.steps):
                if step in silent:
                    faults.seen["silence"] += 1
                    continue
                number += 1
                yield from _one(rule, topic, number, step * plant.period_s, plant, rng, faults)
    if faults.has("burst"):
        rule = rng.choice(plant.rules)
        topic, start = f"{rule.key}/0", rng.randint(1, plant.steps) * plant.period_s
        faults.seen["burst"] += 1
        for k in range(rng.randint(20, 60)):
            number += 1
            sent = Sent(number, topic, _payload(rule, number, start + (k + 0.5) * plant.period_s / 128, rng))
            yield start + 0.5 + k * 0.0001, sent


def _one(
    rule: StreamRule,
    topic: str,
    number: int,
    at_s: float,
    plant: Plant,
    rng: random.Random,
    faults: Faults,
) -> Iterator[tuple[float, Sent]]:
    """Publish one reading: mostly at once and once."""
    when_s = at_s + rng.choice((0.0, 0.0, 0.001, 0.3 * plant.period_s * rng.random()))
    qos = 0 if faults.has("QoS 0") and rng.random() < 0.2 else 1
    sent = Sent(number, topic, _payload(rule, number, at_s, rng), qos=qos)
    faults.seen["QoS 0"] += 1 - qos
    if faults.has("bad payload") and rng.random() < 0.03:
        faults.seen["bad payload"] += 1
        yield when_s, Sent(number, topic, b'{"v": "broken', is_readable=False)
        return
    if faults.has("reordering") and rng.random() < 0.1:
        faults.seen["reordering"] += 1
        when_s += rng.uniform(0.1, 3.0) * plant.period_s
    yield when_s, sent
    if faults.has("published twice") and rule.key != "packet" and rng.random() < 0.1:
        faults.seen["published twice"] += 1
        yield when_s + rng.choice((0.001, rng.uniform(0.0, 2.0) * plant.period_s)), sent


def _payload(rule: StreamRule, number: int, at_s: float, rng: random.Random) -> bytes:
    value = rng.choice((1.0, 2.0, 5.0, round(rng.uniform(0, 8), 2), round(rng.uniform(9.5, 30), 2)))
    if rule.key == "packet":  # as a switch: mostly what was said before
        return str(1.0 if rng.random() < 0.5 else value).encode()
    document = {"v": value, "w": value + 1, "n": number, "t": round(START_S + at_s, 6)}
    return json.dumps(document).encode()
