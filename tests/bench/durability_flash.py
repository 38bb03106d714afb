"""What a day writes to the flash: the daemon's state folder and the broker's database, each on an ext4 of its own.

A thousand sensors send 100 readings a second, each every 10 s; daemon and broker run as shipped, with the bundle of the
benches made for that grid. Counted are the sectors that reach two loop devices (/sys/block/…/stat), metadata and the
file systems' own journals included, over some minutes of steady state. A snapshot of the daemon and a save of the
broker are counted by themselves, and come as often in a day as the readings and the shipped configuration demand.
Needs root, for loop devices; without it there are no figures, and it says so.

    MINUTES=5 make bench-durability ONLY=flash
"""

from __future__ import annotations

import itertools
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from edgeseq.adapters import journal
from edgeseq.compose import open_node
from edgeseq.config import JournalConfig
from edgeseq.core.durations import parse_duration
from edgeseq.core.pipeline import accept, advance
from edgeseq.core.types import Message
from edgeseq.daemon import read_config
from edgeseq.replay import close
from edgeseq.snapshots import EARLY_BYTES, REPLAY_S, REPLAY_US
from tests.bench.bench_bundle import TRUSTED_KEYS, bench_bundle
from tests.bench.durability_rig import ROOT, SHIPPED_AUTOSAVE_S, ShippedBroker
from tests.support.broker import Broker
from tests.support.node import Node, node_in
from tests.support.sender import Reading, Sender

STREAMS, PERIOD_S = 1000, 10
PER_S = STREAMS / PERIOD_S
DAY_S = 86_400
SECTOR_BYTES = 512
SNAPSHOT_EVERY_S = (parse_duration(JournalConfig().snapshot_every) or 0) / 1e9
DEVICE_BYTES = 2**30
STEPS = 120
"""Readings of each stream before."""
SETTLE_S = 3 * PERIOD_S
"""Until streams are made and told."""

Found = tuple[list[dict[str, Any]], dict[str, float]]


def run() -> Found:
    """Measure; gives rows and figures."""
    if os.geteuid() != 0:
        return [{"what": "not measured: loop devices need root"}], {}
    minutes = float(os.environ.get("MINUTES", "5"))
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        state, database = (stack.enter_context(loop_ext4(scratch / name)) for name in ("state", "broker"))
        return _measure(scratch, state, database, 60 * minutes)


class Device:
    """A loop device with an ext4 on it."""

    def __init__(self, name: str, mount: Path) -> None:
        self.mount = mount
        self._stat = Path("/sys/block") / name / "stat"

    def written_bytes(self) -> int:
        """Count what has been written to it, all that waits included."""
        subprocess.run(["sync", "--file-system", self.mount], check=True)
        return int(self._stat.read_text().split()[6]) * SECTOR_BYTES


@contextmanager
def loop_ext4(place: Path) -> Iterator[Device]:
    """Make a file a device, with blocks of 4 KB as on any card, and mount it."""
    image = place.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(DEVICE_BYTES)
    # Nothing of the file system's own making comes later.
    options = ["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0"]
    subprocess.run(["mkfs.ext4", *options, str(image)], check=True)
    command = ["losetup", "--find", "--show", str(image)]
    device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    try:
        place.mkdir()
        subprocess.run(["mount", device, place], check=True)
        try:
            yield Device(Path(device).name, place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


class Written(NamedTuple):
    """Bytes that reached the devices."""

    duration_s: float
    journal: int
    broker: int
    """Between its saves."""
    snapshot: int
    """Of one, with all that comes with it."""
    save: int
    detail: str


def _measure(scratch: Path, state: Device, database: Device, duration_s: float) -> Found:
    bundle = _bundle()
    source = f'topic = "plant/+"\nfield = "value"\ntime = "time"\nevery = "{PERIOD_S}s"\n'
    rules = f'[[streams]]\n{source}bundle = "{bundle}"\n'
    folder = scratch / "node"
    folder.mkdir()
    (folder / "state").symlink_to(state.mount / "state")
    (state.mount / "state").mkdir(mode=0o700)
    broker = ShippedBroker(database.mount / "mosquitto", DAY_S)
    broker.start()
    keys = f'[bundles]\ntrusted_keys = "{bundle.parent / TRUSTED_KEYS}"\n'
    with node_in(folder, broker.port, rules, rest=keys) as node:
        _begin(node)
        written = _observe(node, broker, state, database, duration_s)
    return _judge(written)


def _begin(node: Node) -> None:
    """Start the daemon as it is after hours: streams with a history, and a journal over the file of an older one."""
    _warm(node.config)
    (node.state_dir / journal.SPARE).write_bytes(os.urandom(EARLY_BYTES))
    node.start(PYTHONPATH=str(ROOT), OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")
    node.wait_for_event("broker.connected")
    # A reload takes a snapshot.
    node.process.send_signal(signal.SIGHUP)
    node.wait_for_event("config.reloaded")


def _observe(node: Node, broker: Broker, state: Device, database: Device, duration_s: float) -> Written:
    """Let sensors report for a while, then take the last snapshot and the last save."""
    sender = Sender(broker.port, _readings(), PER_S)
    sender.start()
    time.sleep(SETTLE_S)
    begun_s, before, sent = time.monotonic(), _bytes(state, database), sender.sent.total()
    time.sleep(duration_s)
    spent_s, after, sent = time.monotonic() - begun_s, _bytes(state, database), sender.sent.total() - sent
    sender.stop()
    newest = max(node.state_dir.glob("journal-*.bin"), key=lambda path: path.stat().st_mtime)
    frames = journal.read(newest, int(newest.stem.split("-")[1])).frames
    detail = f"{sent:,} readings; {len(frames)} commits, {len(node.events('alert.changed'))} alerts in all"
    assert node.stop() == 0, node.text()[-2000:]
    stopped = _bytes(state, database)
    broker.stop()
    saved = _bytes(state, database)
    return Written(
        spent_s,
        after[0] - before[0],
        after[1] - before[1],
        stopped[0] - after[0],
        saved[1] - stopped[1],
        detail,
    )


def _bytes(*devices: Device) -> list[int]:
    return [device.written_bytes() for device in devices]


def _judge(written: Written) -> Found:
    """Scale to a day."""
    # By the clock, or when the replay would take too long.
    snapshots = max(DAY_S / SNAPSHOT_EVERY_S, PER_S * DAY_S * 1e-6 * REPLAY_US / REPLAY_S)
    saves = DAY_S / SHIPPED_AUTOSAVE_S
    scale = DAY_S / written.duration_s
    told = [
        ("journal", scale * written.journal, f"{written.duration_s / 60:.1f} minutes; {written.detail}"),
        ("snapshots", snapshots * written.snapshot, f"{snapshots:.1f} of {written.snapshot / 1e6:.1f} MB"),
        ("broker", scale * written.broker, "between its saves"),
        ("broker's saves", saves * written.save, f"{saves:.0f} of {written.save / 1e6:.2f} MB"),
    ]
    rows = [{"what": what, "gb_per_day": round(n / 1e9, 3), "detail": detail} for what, n, detail in told]
    journal_, snapshots_, *brokers = (n / 1e9 for _, n, _ in told)
    own = journal_ + snapshots_
    return rows, {
        "flash_gb_per_day": round(own, 3),
        "flash_gb_per_day_with_broker": round(own + sum(brokers), 3),
    }


def _warm(config: Path) -> None:
    """Let the streams have a history, so that the model serves them and a snapshot is as large as it gets."""
    resolved = read_config(config)
    node = open_node(resolved, state_dir=resolved.state_dir, log=lambda *_, **__: None)
    now_s = time.time()
    messages: list[Message] = []
    for number, reading in enumerate(itertools.islice(_readings(), STEPS * STREAMS)):
        if number % STREAMS == 0:
            messages = []
        at_s = round(now_s - (STEPS - number // STREAMS) * PERIOD_S, 3)
        payload = json.dumps({"value": reading.value, "time": at_s}).encode()
        messages.append(Message(reading.topic, payload, int(at_s * 1e9), mid=number % 60_000 + 1))
        if len(messages) == STREAMS:
            advance(node.state, accept(node.state, messages).readings)
    assert node.state.counts.applied == STEPS * STREAMS, node.state.counts
    node.keep([])
    close(node)


def _bundle() -> Path:
    """Give the bundle of the benches, made anew for a grid of 10 s."""
    usual = bench_bundle()
    path = usual.with_name(f"{PERIOD_S}s-{usual.name}")
    if not path.exists():
        code = f"from tests.bench import bench_bundle as b; b.PERIOD_S = {PERIOD_S}; b._build(b.Path({str(path)!r}))"
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    return path


def _readings() -> Iterator[Reading]:
    """Let the sensors report in turn, with the time of the day and three decimals."""
    for number in itertools.count():
        stream, step = number % STREAMS, number // STREAMS
        value = round(20 + 5 * math.sin(math.pi * (step + stream) / 12) + math.sin(7.7 * number), 3)
        payload = json.dumps({"value": value, "time": round(time.time(), 3)}).encode()
        yield Reading(f"plant/sensor {stream}", value, payload)
