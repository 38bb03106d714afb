"""Payloads: whatever bytes come, on whatever topic, become readings or counted rejections.

Laws: nothing raises; every message is accounted for; the account is even after each batch; a message of which nothing
was taken leaves the whole state as it was, bit for bit; what logs are told of a rejection is short and printable.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np

from edgeseq.core import careful, keeping, pipeline
from edgeseq.core.decode import decode
from edgeseq.core.rows import MAX_DETAIL_CHARS
from edgeseq.core.topics import MAX_TOPIC_CHARS
from edgeseq.core.types import (
    ChannelSource,
    KnownSource,
    Limits,
    Message,
    Options,
    Readings,
    Reason,
    Rejection,
    StreamRule,
)
from edgeseq.core.usual import read_usual
from edgeseq.testing.fake_stepper import FakeStepper

S = 10**9
START_NS = 1_772_359_200 * S  # 2026-03-01T10:00:00Z
OPTIONS = Options(max_streams=12, max_payload_bytes=4096)
RULES = (
    StreamRule("plain", 10 * S, topics=("plc/#",), limits={"value": Limits(0, 9)}, horizon=4),
    StreamRule("json", 60 * S, topics=("z/+",), exclude=("z/x",), fields=("t", "h", "pm2.5"), horizon=4),
    StreamRule("time", S, topics=("line/+",), fields=("v",), time_field="ts", max_age_ns=9 * S, horizon=4),
    StreamRule("id", S, topics=("id/+",), fields=("v",), id_field="meta.id", kind="counter", horizon=4),
    StreamRule("late", S, topics=("l/+",), fields=("v",), time_field="ts", lateness_steps=2, horizon=4),
    StreamRule(
        "quality", S, topics=("q/+",), fields=("v",), quality_field="q", quality_good=(1, "ok"), horizon=4
    ),
    StreamRule("held", S, topics=("r/+",), use_retained=True, on_gap="hold", aggregate="mean", horizon=4),
    StreamRule(
        key="pump",
        name="pump",
        period_ns=S,
        channels={"flow": ChannelSource("p/flow"), "power": ChannelSource("p/elec", "power.total")},
        horizon=4,
    ),
    StreamRule(
        key="known",
        period_ns=S,
        topics=("m/+",),
        fields=("v",),
        bundle="fake",
        known={"outdoor": KnownSource("w", "hours"), "wind": KnownSource("w/+", value="wind")},
    ),
)
TOPICS = ("plc/1", "z/a", "z/x", "line/a", "id/a", "q/a", "r/a", "p/flow", "p/elec", "m/a", "w", "w/b", "l/a")
OWN_TOPIC = len(TOPICS)
"""Choice of a topic that stands in the input itself, before a line break."""

KEYS = (
    "t",
    "h",
    "v",
    "ts",
    "q",
    "meta",
    "id",
    "power",
    "total",
    "pm2.5",
    "pm2",
    "hours",
    "time",
    "value",
    "wind",
)
NOW_S = START_NS // S
VALUES: tuple[object, ...] = (
    *(
        1,
        2.5,
        -0.0,
        1e308,
        5e-324,
        2**53 + 1,
        2**64,
        10**400,
        float("nan"),
        float("-inf"),
        None,
        True,
        "1",
        "",
    ),
    *(
        NOW_S,
        NOW_S + 1,
        NOW_S * 1000,
        NOW_S - 9,
        NOW_S + 301,
        0,
        -1,
        2**63,
        "2026-03-01T10:00:00Z",
        "24:00",
        "ä\0",
    ),
    *(
        [],
        {},
        [NOW_S, 3],
        [1, 2],
        [{"time": NOW_S, "value": 1, "wind": None}],
        {"id": 7},
        {"total": 1},
        [[[[]]]],
    ),
)
"""What a document is made of where an input chooses it."""

STEPS_NS = (0, 1, 0, S, 12 * S)
BATCH = 256
"""Messages after which what was accepted is advanced."""

SHORT_TIME = "2026-03-01T10:00:00Z"
TEXTS: dict[int, tuple[str, ...]] = {
    0: ("1", "-0", "-0.0", "9007199254740993", "-2.5e3", " 7 ", "nan", "1e999", "ON"),
    1: ('{"t":1,"h":2.5,"pm2.5":8}', '{"t":null}', '{"pm2":{"5":1}}', '{"t":NaN,"h":Infinity}', '{"t":"1"}'),
    3: ('{"v":1,"ts":"' + SHORT_TIME + '"}', '{"v":1,"ts":1772359200}', '{"v":1,"ts":1772359200123456789}'),
    4: ('{"v":9,"meta":{"id":"a"}}', '{"v":10,"meta":{"id":7}}', '{"v":10,"meta":[]}', '{"v":[1]}'),
    5: ('{"v":9,"q":"ok"}', '{"v":9,"q":true}', '{"v":9,"q":{}}', '{"v":9}'),
    6: ("3", "4.5"),
    7: ("7.5",),
    8: ('{"power":{"total":900}}', '{"power.total":1}', '{"power":3}'),
    9: ('{"v":1}', "[" * 300, '{"v":' * 200, '{"v":"\\ud800"}', '{"v":18446744073709551616}'),
    10: ('{"hours":[{"time":"' + SHORT_TIME + '","value":3},{"time":1,"value":null},7]}', '{"hours":{}}'),
    11: ('{"time":["' + SHORT_TIME + '",5],"wind":[1,2]}', '{"time":[1],"wind":[]}', "[]"),
    12: ('{"v":1,"ts":1772359200}', '{"v":2,"ts":1772359199}', '{"v":3,"ts":1772359198}'),
    OWN_TOPIC: ("plc/a b/ä\n1", "z/" + "a" * 1100 + '\n{"t":1}', "$SYS/x\n1", "\n1", "plc\n2"),
}
"""Choice of a topic → payloads to begin with."""

TOKENS = (
    *('"t":', '"v":', '"ts":', '"q":', '"meta":', '"id":', '"time":', '"value":', '"wind":', '"hours":'),
    *("null", "true", "NaN", "-Infinity", "1e308", "1e-320", "99999999999999999999", "0.1", "{}", "[]"),
    *("2026-03-01", "T10:00:00", "+01:00", "Z", "24:00", "\\u0000", "\\ud800", "plc/", "z/", "pm2.5"),
)


def seeds() -> list[bytes]:
    """Give inputs to begin with: choice of topic, flags, step of time, payload."""
    texts = [(choice, text) for choice, some in TEXTS.items() for text in some]
    heads = [bytes([choice, flags, step]) for choice, flags, step in ((0, 0, 1), (0, 191, 2), (0, 4, 3))]
    chosen = [
        bytes([choice, 64, 2, key, key + choice, 3, 14]) for choice in TEXTS for key in range(len(KEYS))
    ]
    return [bytes([choice]) + head[1:] + text.encode() for choice, text in texts for head in heads] + chosen


def message(data: bytes, now_ns: int) -> Message:
    """Read an input as a message."""
    choice, flags, payload = data[0] % (OWN_TOPIC + 1), data[1], data[3:]
    topic = TOPICS[choice % OWN_TOPIC]
    if choice == OWN_TOPIC:
        before, _, payload = payload.partition(b"\n")
        topic = before.decode("utf-8", "replace")
    if flags & 64:
        payload = document(payload)
    mid = 1 + flags // 16 if flags & 4 else 0
    return Message(topic, payload, now_ns, retained=flags & 3 == 3, dup=bool(flags & 8) and mid > 0, mid=mid)


def document(choices: bytes) -> bytes:
    """Make a document of pairs of key and value; some are put into an object of their own."""
    made: dict[str, object] = {}
    for key, value in zip(choices[:24:2], choices[1:24:2], strict=False):
        chosen = VALUES[value % len(VALUES)]
        made[KEYS[key % len(KEYS)]] = {"id": chosen, "total": chosen} if key > 200 else chosen
    return json.dumps(made).encode()


def new(apply_every: int = 8, look_every: int = 400) -> Callable[[bytes], None]:
    """Make a node; what is returned lets it take a message and checks the laws.

    Every input is decoded on the node. To apply one costs five times as much, and to look at the whole state a
    millisecond, so these are for one in `apply_every` and `look_every`.
    """
    state = pipeline.new_state(RULES, {"fake": FakeStepper(known=0)}, OPTIONS)
    books = Books(state)
    now_ns = START_NS

    def check(data: bytes) -> None:
        nonlocal now_ns
        if len(data) < 3:
            return
        now_ns += STEPS_NS[data[2] % len(STEPS_NS)]
        sent, number = message(data, now_ns), crc32(data)
        assert_ways_agree(state, sent)
        if number % apply_every:
            streams = len(state.registry)
            readings, rejections, created = decode(state.registry, OPTIONS, [sent])
            assert_told(sent, readings, rejections)
            assert len(state.registry) == streams + len(created)
            assert len(readings) >= len(created)
            return
        pipeline.add_rows(state)
        look = fingerprint if number % look_every == 0 else sizes
        before = look(state)
        batch = pipeline.accept(state, [sent])
        assert_told(sent, batch.readings, batch.rejections)
        if len(batch.readings) == 0:
            assert not batch.created
            assert look(state) == before, "what was rejected moved the state"
        books.take(batch.readings, now_ns)

    return check


class Books:
    """Applies what was accepted, many readings at a time, and looks that the account is even."""

    def __init__(self, state: pipeline.State) -> None:
        self.state = state
        self.waiting: list[Readings] = []
        self.pending = 0

    def take(self, readings: Readings, now_ns: int) -> None:
        """Take the readings of a message."""
        if len(readings):
            self.waiting.append(readings)
            self.pending += len(readings)
        if len(self.waiting) >= BATCH:
            columns = ([getattr(r, name) for r in self.waiting] for name in Readings.__slots__)
            pipeline.advance(self.state, Readings(*map(np.concatenate, columns)))
            pipeline.tick(self.state, now_ns)
            self.waiting, self.pending = [], 0
        counts = self.state.counts
        settled = counts.applied + counts.late + counts.duplicate + sum(counts.rejected.values())
        assert counts.received == settled + self.pending, "the account is not even"


def assert_told(sent: Message, readings: Readings, rejections: Sequence[Rejection]) -> None:
    """Look at what became of a message: something, in numbers and in words that any log can take."""
    told = {*readings.message_index.tolist(), *(r.message_index for r in rejections)}
    assert told == {0} or is_empty_forecast(sent), "a message is neither a reading nor a rejection"
    for rejection in rejections:
        assert rejection.reason in Reason
        assert rejection.detail.isprintable()
        assert max(len(rejection.detail) - MAX_DETAIL_CHARS, len(rejection.topic) - MAX_TOPIC_CHARS) <= 0
    assert not np.isinf(readings.value).any()


def assert_ways_agree(state: pipeline.State, sent: Message) -> None:
    """Look that a topic that has streams is read the same in the quick way and in the way that looks at everything.

    What a node knows of a topic is forgotten with every start, so neither values nor identities may depend on it.
    """
    usual = state.registry.usual.get(sent.topic)
    if usual is not None and (quick := read_usual(usual, OPTIONS, sent)):
        assert repr(quick) == repr(list(careful.read(state.registry, OPTIONS, sent))), (
            "two ways, two readings"
        )


def is_empty_forecast(sent: Message) -> bool:
    """Tell whether a message says something of no time at all: an empty list is no fault."""
    return sent.topic.startswith("w")


def sizes(state: pipeline.State) -> tuple[str, int]:
    """Count what a rejected message could add to the state."""
    rows = [group.table.rows for group in state.groups]
    return f"{rows} {len(state.registry)} {len(state.row_of)}", len(state.recent)


def fingerprint(state: pipeline.State) -> tuple[str, int]:
    """Give the whole state, shortened."""
    header, arrays = keeping.dump(state)
    return json.dumps(header), hash(b"".join(array.tobytes() for array in arrays.values()))
