"""What each decoder costs beside plain JSON, in the same run: `make bench-decoders`; build/bench/decoders.json.

Measured is `accept` alone (decode, dedupe, count), as CPU time of the thread, per message and reading: the least of the
rounds, which alternate. Plain JSON reads one field of a message; `json-10` ten fields, as many as large devices tell.
Each decoder is sent what its household says, from as many devices as make a thousand streams or so.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from edgeseq.core import pipeline
from edgeseq.core.types import Message, Options, StreamRule
from tests.support.families import EVERY_NS, HOUSEHOLDS, START_NS, Household, messages

S = 10**9
RESULT = Path("build/bench/decoders.json")
BATCH, STREAMS, STEPS = 512, 1000, 6


class Load(NamedTuple):
    """What is measured."""

    rule: StreamRule
    start: list[Message]
    step: Callable[[int], list[Message]]


def plain(fields: int) -> Load:
    """Give messages of plain JSON."""
    names = tuple(f"value{i}" for i in range(fields))
    rule = StreamRule("json", 10 * S, topics=("j/+",), fields=names)

    def step(number: int) -> list[Message]:
        time_ns = START_NS + number * EVERY_NS
        return [
            Message(
                f"j/{device}",
                json.dumps(
                    {name: round(20 + (number * 7 + i) % 13 / 10, 1) for i, name in enumerate(names)}
                ).encode(),
                time_ns,
                mid=1 + device,
            )
            for device in range(STREAMS // fields)
        ]

    return Load(rule, [], step)


def of(household: Household) -> Load:
    """Give what many households of a family say: each on topics of its own."""
    rule = StreamRule(household.decoder, 10 * S, topics=("#",), decoder=household.decoder)
    homes = max(1, STREAMS // len(household.streams))

    def renamed(sent: list[Message]) -> Iterator[Message]:
        for home in range(homes):
            for message in sent:
                topic = _renamed(message.topic, home)
                yield Message(topic, message.payload, message.received_ns, message.retained, mid=message.mid)

    def step(number: int) -> list[Message]:
        time_ns = START_NS + number * EVERY_NS
        return list(renamed(messages(household.at(number - 1, time_ns), time_ns, mid=1)))

    return Load(rule, list(renamed(messages(household.start(START_NS), START_NS))), step)


def _renamed(topic: str, home: int) -> str:
    """Give a device of another home a topic of its own, at a level that is a name in its family."""
    levels = topic.split("/")
    named = {"zigbee2mqtt": 1, "tele": 1, "shellies": 1, "homie": 2, "spBv1.0": 3, "statestream": 2}.get(
        levels[0], 0
    )
    if levels[1:2] == ["bridge"] or named >= len(levels):
        return topic
    levels[named] += f"-{home}"
    return "/".join(levels)


def measure(load: Load, steps: int = STEPS) -> dict[str, float]:
    """Send what a load says; the first steps make the streams and warm the look-ups."""
    state = pipeline.new_state((load.rule,), {}, Options(max_streams=4 * STREAMS))
    pipeline.accept(state, load.start)
    spent_s, readings, sent = 0.0, 0, 0
    for number in range(1, steps + 1):
        made = load.step(number)
        for start in range(0, len(made), BATCH):
            part = made[start : start + BATCH]
            begun_s = time.thread_time()
            batch = pipeline.accept(state, part)
            if number > 2:
                spent_s += time.thread_time() - begun_s
                readings += len(batch.readings)
                sent += len(part)
    rejected = sum(state.counts.rejected.values()) - state.counts.rejected.get("retained", 0)  # type: ignore[call-overload]  # a StrEnum
    return {
        "us_message": 1e6 * spent_s / sent,
        "us_reading": 1e6 * spent_s / readings,
        "readings_message": readings / sent,
        "streams": state.registry.streams,
        "rejected": rejected,
    }


def main() -> int:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    loads = {"json": plain(1), "json-10": plain(10)}
    loads |= {name: of(household) for name, household in HOUSEHOLDS.items()}
    found: dict[str, dict[str, float]] = {}
    for _ in range(options.rounds):
        for name, load in loads.items():
            row = measure(load)
            if name not in found or row["us_message"] < found[name]["us_message"]:
                found[name] = row
    rows = [{"decoder": name, **row, **_beside(row, found)} for name, row in found.items()]
    heads = ("us/message", "us/reading", "a message", "x json", "x json-10")
    print(f"{'decoder':<16}" + "".join(f"{head:>12}" for head in heads))
    for row in rows:
        keys = ("us_message", "us_reading", "readings_message", "message_times_json", "reading_times_json_10")
        print(f"{row['decoder']:<16}" + "".join(f"{row[key]:>12.2f}" for key in keys))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"rounds": options.rounds, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row["rejected"] for row in rows) else 0


def _beside(row: dict[str, float], found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Set the cost of a message beside plain JSON's of one field, and of a reading beside that of ten fields."""
    return {
        "message_times_json": row["us_message"] / found["json"]["us_message"],
        "reading_times_json_10": row["us_reading"] / found["json-10"]["us_reading"],
    }


if __name__ == "__main__":
    sys.exit(main())
