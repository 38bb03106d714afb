"""A state of 1,000 streams that have learned, which every daemon starts from; and what its forecasts should be."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from edgeseq.core.types import Message
from edgeseq.replay import Tally, close, kind_of, open_for_replay, replay, save
from tests.bench.bench_bundle import TRUSTED_KEYS, bench_bundle
from tests.bench.stream import readings
from tests.bench.stream.readings import STREAMS
from tests.bench.stream.tally import SAMPLED
from tests.support.node import Node, node_in

STEPS = 370
"""Until the rings are full and every stream has had 336 outcomes, after which it is live."""


class Warm:
    """A folder with a configuration and the state of streams that have taken STEPS readings each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bundle = bench_bundle()
        self.next = STEPS * STREAMS
        with self._node(folder, 1883) as node:
            self.config = node.config
        opened = open_for_replay(self.config, None, save_state=True)
        for _ in replay(opened, messages(0, STEPS, range(STREAMS)), Tally()):
            pass
        save(opened)
        close(opened)

    @contextmanager
    def node(self, folder: Path, port: int, mqtt: str = "", rest: str = "") -> Iterator[Node]:
        """Configure a daemon with a copy of this state, as it is shipped but for what is given."""
        with self._node(folder, port, mqtt, rest) as made:
            shutil.copytree(self.folder / "state", made.state_dir)
            yield made

    @contextmanager
    def _node(self, folder: Path, port: int, mqtt: str = "", rest: str = "") -> Iterator[Node]:
        trusted = f'[bundles]\ntrusted_keys = "{self.bundle.parent / TRUSTED_KEYS}"\n'
        shutil.rmtree(folder, ignore_errors=True)
        with node_in(folder, port, stream_table(self.bundle), mqtt=mqtt, rest=trusted + rest) as made:
            yield made

    def expected(self, end: int) -> dict[tuple[int, int], bytes]:
        """Replay the readings from here to number `end` of the sampled streams: step and stream → payload.

        Streams know nothing of each other, so these forecasts are those of a replay of all of them.
        """
        state = self.folder / "replayed"
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(self.folder / "state", state)
        opened = open_for_replay(self.config, state, save_state=True)
        sampled = range(SAMPLED, STREAMS, 100)
        recording = messages(STEPS, end // STREAMS, sampled)
        forecasts = [o for o in replay(opened, recording, Tally()) if kind_of(o.topic) == "forecast"]
        close(opened)
        keys = [(step, stream) for step in range(STEPS, end // STREAMS) for stream in sampled]
        assert len(forecasts) == len(keys), "a forecast for each reading"
        return {key: out.payload for key, out in zip(keys, forecasts, strict=True)}


def stream_table(bundle: Path) -> str:
    """Configure the streams. Clients take turns: a daemon that hears nothing meanwhile shall not tell of silence."""
    return (
        f'[[streams]]\ntopic = "{readings.FILTER}"\nfields = ["temperature"]\nevery = "1s"\ntime = "ts"\n'
        f'silent_after = "1d"\nbundle = "{bundle}"\n'
    )


def messages(first: int, end: int, streams: Collection[int]) -> Iterator[Message]:
    """Make the readings of some streams from step `first` to before step `end`, as a broker delivers them."""
    for step in range(first, end):
        made = readings.payloads(step * STREAMS, STREAMS)
        received_ns = (readings.FIRST_S + step) * 10**9
        for stream in streams:
            yield Message(readings.TOPICS[stream].decode(), made[stream], received_ns)
