"""The process function: a bucket's records into keyed state, in micro-batches through the core."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ListStateDescriptor, ValueStateDescriptor

from edgeseq.replay import kind_of, to_line
from edgeseq_flink.bucket import MOST_TOGETHER, Bucket, decode, encode, settle

WAIT_MS = 50
"""A message waits so long for others of its bucket."""
LOOK_MS = 1000
"""How often a bucket that nothing reaches looks for streams that fell silent."""
SNAPSHOT_AFTER = 16 * MOST_TOGETHER
"""Records of the journal after which the state is written anew: a recovery repeats no more."""
AT_END_MS = 2**63 - 2
"""Time of the timer that fires when a bounded source has ended."""


class Core(KeyedProcessFunction):
    """edgeseq.core over the micro-batches of a bucket.

    Keyed state of a bucket: `snapshot`, the core as it was; `journal`, all records since; `taken`, how many of them the
    core has moved by and spoken of. The core itself lives in this process and is made of them where it does not.
    """

    def __init__(self, config: str, kinds: Sequence[str], *, is_live: bool) -> None:
        self._config = config
        self._kinds = frozenset(kinds)
        self._is_live = is_live

    def open(self, runtime_context: RuntimeContext) -> None:
        """Begin in a new process, with no core in it."""
        self._resolved = settle(Path(self._config))
        self._buckets: dict[int, Bucket] = {}
        self._waiting: dict[int, list[Any]] = {}
        self._length: dict[int, int] = {}
        self._snapshot = runtime_context.get_state(
            ValueStateDescriptor("snapshot", Types.PICKLED_BYTE_ARRAY())
        )
        self._journal = runtime_context.get_list_state(
            ListStateDescriptor("journal", Types.PICKLED_BYTE_ARRAY())
        )
        self._taken = runtime_context.get_state(ValueStateDescriptor("taken", Types.LONG()))

    def process_element(self, value: tuple[int, bytes], ctx: Any) -> Iterator[str]:
        """Keep a record; take all that wait when there are many."""
        key, record = value
        self._bucket(key, ctx)
        self._journal.add(record)
        self._length[key] += 1
        waiting = self._waiting[key]
        waiting.append(decode(record))
        if len(waiting) == 1:
            _remind(ctx)
        if len(waiting) >= MOST_TOGETHER:
            yield from self._take(key)

    def on_timer(self, timestamp: int, ctx: Any) -> Iterator[str]:
        """Take what waits; look for silent streams where readings come as they are made."""
        key = ctx.get_current_key()
        bucket = self._bucket(key, ctx)
        yield from self._take(key)
        if timestamp == AT_END_MS:
            yield from self.at_end(bucket)
            return
        if not self._is_live:
            return
        said, records = bucket.look(time.time_ns())
        for record in records:
            self._journal.add(encode(record))
            self._length[key] += 1
            self._taken.update(self._length[key])
        yield from self._told(said)
        timers = ctx.timer_service()
        timers.register_processing_time_timer(timers.current_processing_time() + LOOK_MS)

    def at_end(self, bucket: Bucket) -> Iterator[str]:
        """Say more when a bounded source has ended; nothing here."""
        yield from ()

    def _bucket(self, key: int, ctx: Any) -> Bucket:
        """Find the bucket's core, or make it again of what is kept: what was spoken of is not said again."""
        known = self._buckets.get(key)
        if known is not None:
            return known
        bucket = Bucket(self._resolved)
        if (state := self._snapshot.value()) is not None:
            bucket.load(state)
        records = [decode(record) for record in self._journal.get()]
        taken = self._taken.value() or 0
        bucket.take(records[:taken])
        self._buckets[key], self._waiting[key], self._length[key] = bucket, records[taken:], len(records)
        # What waited for a timer may have lost it with the process.
        _remind(ctx)
        self.restored(bucket, len(records))
        return bucket

    def restored(self, bucket: Bucket, records: int) -> None:
        """Note that a core was made of kept state and so many records."""

    def _take(self, key: int) -> Iterator[str]:
        waiting = self._waiting[key]
        if not waiting:
            return
        said = self._buckets[key].take(waiting)
        self._waiting[key] = []
        if self._length[key] >= SNAPSHOT_AFTER:
            self._snapshot.update(self._buckets[key].dump())
            self._journal.clear()
            self._length[key] = 0
        self._taken.update(self._length[key])
        yield from self._told(said)

    def _told(self, said: Sequence[Any]) -> Iterator[str]:
        for outgoing in said:
            if not self._kinds or kind_of(outgoing.topic) in self._kinds:
                yield to_line(outgoing).decode().rstrip("\n")


def _remind(ctx: Any) -> None:
    """Ask for a timer soon, and for one at the end of a bounded source."""
    timers = ctx.timer_service()
    timers.register_processing_time_timer(timers.current_processing_time() + WAIT_MS)
    timers.register_event_time_timer(AT_END_MS)
