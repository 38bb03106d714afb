"""All families at once on a real broker: what `edgeseq scan` writes runs, forecasts every number and nothing else."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from edgeseq.core.topics import slug
from tests.support.broker import PATIENCE_S, Peer, running_broker, wait_until
from tests.support.families import EVERY_NS, HOUSEHOLDS, Sample
from tests.support.listening import listening
from tests.support.node import Node, node_in

pytestmark = pytest.mark.system

STEPS = 8
STEP_S = 0.25
"""Time between steps; their own times, where devices tell them, lie farther apart."""
FLOW, LAST = "plant/hall/flow", b"13.75"
PLAIN = {FLOW: None, "plant/hall/meter": "power", "plant/yard/meter": "power"}
"""Topics without a family → field; the rest of what they say is not to be forecast."""


def plain(step: int, time_ns: int) -> list[Sample]:
    """Say what devices without a family say."""
    document = {"power": 3.5 + step % 5, "rssi": -60 - step % 3, "state": "ok", "ts": time_ns // 10**6}
    return [
        Sample(FLOW, f"{12.5 + step % 4}".encode()),
        *(Sample(f"plant/{place}/meter", json.dumps(document).encode()) for place in ("hall", "yard")),
        Sample("plant/hall/mode", b"auto"),
        Sample("edgeseq/other/cellar/forecast", b'{"value":1.5}'),
    ]


def publish(devices: Peer, samples: list[Sample]) -> int:
    """Publish messages in their order → how many."""
    for sample in samples:
        devices.publish(sample.topic, sample.payload, retain=sample.retained)
    devices.flush()
    return len(samples)


def begin(devices: Peer, begun_ns: int) -> int:
    """Say what is said live before the first step → messages."""
    return publish(devices, [s for h in HOUSEHOLDS.values() for s in h.start(begun_ns) if not s.retained])


def speak(devices: Peer, step: int, begun_ns: int) -> int:
    """Say what is said in a step → messages."""
    at_ns = begun_ns + (step + 1) * EVERY_NS
    count = publish(devices, [s for h in HOUSEHOLDS.values() for s in h.at(step, at_ns)])
    return count + publish(devices, plain(step, time.time_ns()))


def forecasts(subscriber: Peer) -> set[str]:
    """List the streams that were forecast."""
    topics = {message.topic for message in list(subscriber.received)}
    return {topic.split("/")[2] for topic in topics if topic.endswith("/forecast")}


def scanned(folder: Path, port: int, devices: Peer, begun_ns: int) -> dict[str, object]:
    """Scan while devices speak; gives what it printed."""
    retained = [s for h in HOUSEHOLDS.values() for s in h.start(begun_ns) if s.retained]
    publish(devices, retained)
    scan = ("scan", "--seconds", "300", "--json", "-o", str(folder / "edgeseq.toml"))
    with listening(folder, port, *scan) as scanner:
        count = len({sample.topic for sample in retained}) + begin(devices, begun_ns)
        for step in range(STEPS):
            count += speak(devices, step, begun_ns)
            time.sleep(STEP_S)
        scanner.wait_for(count)
        found: dict[str, object] = json.loads(scanner.interrupt())
        assert "ended early" in scanner.told
    return found


def speak_until_forecast(devices: Peer, subscriber: Peer, slugs: set[str], begun_ns: int) -> None:
    """Devices go on until all streams are forecast: of counters a period must be over, as long as the scan found it."""
    begin(devices, begun_ns)
    until_s = time.monotonic() + PATIENCE_S
    for step in itertools.count():
        if forecasts(subscriber) >= slugs:
            return
        assert time.monotonic() < until_s, f"never forecast: {slugs - forecasts(subscriber)}"
        speak(devices, step, begun_ns)
        time.sleep(STEP_S)


def is_forecast_after(subscriber: Peer, reading: bytes) -> bool:
    """Tell whether a reading of the flow has been forecast from: then all that was published before it was taken."""
    told = subscriber.texts(f"edgeseq/n/{slug(FLOW)}/forecast")
    return any(json.loads(text)["observed"] == float(reading) for text in told)


def start(node: Node, subscriber: Peer, text: str) -> None:
    """Run the daemon with a scan's configuration; only name and folder of the state are the test's."""
    node.config.write_text(f'[node]\nname = "n"\nstate_dir = "state"\n\n{text}', encoding="utf-8")
    node.start()
    wait_until(lambda: '{"state":"online"}' in subscriber.texts("edgeseq/n/bridge/state"), "online")


def test_scan_of_all_families_runs_and_forecasts_every_number_and_no_other(tmp_path: Path) -> None:
    """The configuration passes its check; each malformed message is counted, and nothing crashes."""
    expected = {source for household in HOUSEHOLDS.values() for source in household.streams}
    expected |= set(PLAIN.items())
    begun_ns = time.time_ns() - 3600 * 10**9
    with (
        running_broker(tmp_path / "broker") as broker,
        node_in(tmp_path / "node", broker.port, "") as node,
        closing(Peer(broker.port)) as devices,
        closing(Peer(broker.port, "edgeseq/n/#")) as subscriber,
    ):
        found = scanned(tmp_path, broker.port, devices, begun_ns)
        tables = found["tables"]
        assert isinstance(tables, list)
        told = {(stream["topic"], stream["field"]) for table in tables for stream in table["streams"]}
        assert told == expected
        units = {(s["topic"], s["field"]): s["unit"] for table in tables for s in table["streams"]}
        for household in HOUSEHOLDS.values():
            assert household.units.items() <= units.items()

        text = (tmp_path / "edgeseq.toml").read_text(encoding="utf-8")
        check = [
            sys.executable,
            "-m",
            "edgeseq",
            "config",
            "check",
            "--config",
            str(tmp_path / "edgeseq.toml"),
        ]
        assert subprocess.run(check, capture_output=True, check=False).returncode == 0

        start(node, subscriber, text)
        slugs = {slug(topic, *([] if name is None else [name])) for topic, name in expected}
        speak_until_forecast(devices, subscriber, slugs, begun_ns + (STEPS + 1) * EVERY_NS)

        wrong = [pair for household in HOUSEHOLDS.values() for pair in household.malformed]
        publish(devices, [*(sample for sample, _ in wrong), Sample(FLOW, LAST)])
        wait_until(lambda: is_forecast_after(subscriber, LAST), "all before the last reading was taken")
        before = len(subscriber.texts("edgeseq/n/bridge/health"))
        assert node.stop() == 0, node.text()
        wait_until(lambda: len(subscriber.texts("edgeseq/n/bridge/health")) > before, "the last health")
        health = json.loads(subscriber.texts("edgeseq/n/bridge/health")[-1])
        assert health["streams"] == len(expected)
        assert forecasts(subscriber) == slugs
        least = Counter(str(reason) for _, reason in wrong)
        counted = {reason: health["rejected"].get(reason, 0) for reason in least}
        assert all(counted[reason] >= count for reason, count in least.items())
        settled = sum(int(health[name]) for name in ("applied", "late", "duplicate", "shed"))
        assert health["received"] == settled + sum(health["rejected"].values())
