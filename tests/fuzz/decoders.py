"""What targets that fuzz a decoder share: a node of one family that is sent any bytes on its topics.

Laws: nothing raises; every message is a reading, a rejection or ignored, and counted as that; the account is even; what
the decoder remembers is bounded and can be kept; names and details are short and printable.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import numpy as np

from edgeseq.core import keeping, pipeline
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.families import MAX_NAME_CHARS
from edgeseq.core.rows import MAX_DETAIL_CHARS
from edgeseq.core.types import Message, Options, StreamRule
from tests.fuzz.payload import Books
from tests.support.families import EVERY_NS, HOUSEHOLDS, START_NS

S = 10**9
DECODERS = dict(FAMILIES)
"""Imported here, so that they are traced."""
OPTIONS = Options(max_streams=40, max_payload_bytes=1024)
MOST_FACTS_BYTES = 4_000_000
LOOK_EVERY = 500


def topics_of(decoder: str) -> tuple[str, ...]:
    """List the topics of a family's household, and one that is like them."""
    household = HOUSEHOLDS[decoder]
    sent = [*household.start(START_NS), *household.at(0, START_NS), *(s for s, _ in household.malformed)]
    return tuple(dict.fromkeys(sample.topic for sample in sent))


def seeds_of(decoder: str) -> list[bytes]:
    """Give inputs to begin with: choice of topic, flags, payload."""
    household, topics = HOUSEHOLDS[decoder], topics_of(decoder)
    sent = [
        *household.start(START_NS),
        *(s for step in range(3) for s in household.at(step, START_NS + step * S)),
    ]
    sent += [sample for sample, _ in household.malformed]
    return [bytes([topics.index(s.topic), 1 if s.retained else 0]) + s.payload for s in sent]


def checker(decoder: str) -> Callable[[bytes], None]:
    """Make a node; what is returned lets it take a message and checks the laws."""
    topics = topics_of(decoder)
    rule = StreamRule(
        decoder, 10 * S, topics=HOUSEHOLDS[decoder].topics, decoder=decoder, may_ask=True, horizon=4
    )
    state = pipeline.new_state((rule,), {}, OPTIONS)
    books = Books(state)
    taken = 0

    def check(data: bytes) -> None:
        nonlocal taken
        if len(data) < 2:
            return
        taken += 1
        topic = topics[data[0] % len(topics)]
        sent = Message(
            topic, data[2:], START_NS + taken * EVERY_NS, retained=bool(data[1] & 1), mid=data[1] >> 1
        )
        ignored = state.counts.ignored
        batch = pipeline.accept(state, [sent])
        told = len(batch.readings) + len(batch.rejections)
        assert (told == 0) is (state.counts.ignored > ignored), "a message is neither told of nor ignored"
        assert not np.isinf(batch.readings.value).any()
        for rejection in batch.rejections:
            assert rejection.detail.isprintable()
            assert len(rejection.detail) <= MAX_DETAIL_CHARS
        assert all(len(info.field or "") <= MAX_NAME_CHARS + 1 for info in batch.created)
        books.take(batch.readings, sent.received_ns)
        if taken % LOOK_EVERY == 0:
            header, _ = keeping.dump(state)
            assert len(msgspec.json.encode(header["decoders"])) < MOST_FACTS_BYTES

    return check
