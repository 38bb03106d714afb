"""Cut a device's power again and again while it takes readings: nothing that it acknowledged may be gone.

    make powercut [CUTS=10] [DURABILITY=none]     # build/powercut.json

The broker and the rooms are on the host, as on a network, and go on: 50 readings a second with QoS 1, until 2,000 wait
for the device. After each cut a
copy of the disk is opened as the next start will find it; then the device starts by itself. At the end, when everything
has arrived, the last forecasts of all streams must be, byte by byte, those of `edgeseq replay`, run on the device
itself, for all readings ever published: what was lost, doubled or bent in any state would show. With DURABILITY=none,
which promises nothing, cuts lose readings: so the test can fail.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from edgeseq.core.types import Message
from tests.powercut.account import TOPICS, Acknowledged, Publisher, lost
from tests.powercut.device import HOST, Device, make_tree
from tests.support.broker import Peer, running_broker

ROOT = Path(__file__).parents[2]
BUILD = ROOT / "build/powercut"
STATE = "var/lib/private/edgeseq"
PATIENCE_S = 1800.0
"""For a start and the like: a busy host emulates slowly."""
TAKEN = 500
"""Readings that are acknowledged after a start, at least, before the next cut."""

REPLAY = (
    "/usr/bin/edgeseq replay --config /etc/edgeseq/edgeseq.toml --input /srv/in.jsonl --topics forecast "
    "-o /srv/out.jsonl"
)


def configuration(port: int, durability: str) -> str:
    """Write what the device is told: snapshots come often, so that cuts meet them, too."""
    return f"""[node]
name = "n"
clock = "readings"

[mqtt]
host = "{HOST}"
port = {port}

[journal]
durability = "{durability}"
snapshot_every = "10s"

[[streams]]
topic = "room/+"
field = "value"
time = "time"
every = "1s"
"""


@click.command()
@click.option("--cuts", default=10, show_default=True)
@click.option("--durability", default="batched", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=ROOT / "build/powercut.json")
def main(cuts: int, durability: str, seed: int, output: Path) -> None:
    """Cut and count."""
    begun_s = time.monotonic()
    packages = sorted((ROOT / "build/deb").glob("edgeseq_*_amd64.deb"))
    if not packages:
        raise click.ClickException("there is no package: do make deb")
    archive = make_tree(BUILD / "tree.tar")
    with (
        tempfile.TemporaryDirectory(prefix="edgeseq-powercut-") as scratch,
        running_broker(Path(scratch), "log_type all") as broker,
    ):
        device = Device(BUILD / "device", archive, packages[-1], configuration(broker.port, durability))
        config = Path(scratch) / "edgeseq.toml"
        config.write_text(configuration(broker.port, durability), encoding="utf-8")
        found: dict[str, object] = {"durability": durability, "seed": seed}
        try:
            found |= _cut(device, broker.port, Path(scratch), config, cuts, random.Random(seed))
        finally:
            device.close()
    found["wall_s"] = round(time.monotonic() - begun_s)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found, indent=1), encoding="utf-8")
    click.echo(json.dumps({key: value for key, value in found.items() if key != "cuts"}))
    if found["lost"] or found["differing_streams"]:
        raise click.ClickException("acknowledged readings are lost, or states differ")


def _cut(
    device: Device, port: int, scratch: Path, config: Path, cuts: int, rng: random.Random
) -> dict[str, object]:
    device_says = Peer(port, "edgeseq/n/+/forecast")
    acknowledged = Acknowledged(scratch / "mosquitto.log")
    rooms = Publisher(port, acknowledged)
    device.power_on()
    _wait(device, acknowledged.is_subscribed, "the first subscription")
    rooms.start()
    rows: list[dict[str, float]] = []
    _wait(device, partial(_has_taken, acknowledged, TAKEN), "the first acknowledgements")
    for number in range(cuts):
        time.sleep(rng.uniform(0.5, 8.0))
        device.cut()
        time.sleep(0.2)  # what the broker has read is in its log
        taken = acknowledged.count()
        with device.opened(is_copy=True) as disk:
            state = scratch / "state"
            shutil.copytree(disk / STATE, state)
        gone = lost(state, config, [rooms.readings[topic][k] for topic, k in acknowledged.readings])
        shutil.rmtree(state)
        restarted_s = time.monotonic()
        device.power_on()
        _wait(device, partial(_has_taken, acknowledged, taken + TAKEN), "acknowledgements after a cut")
        rows.append({"acknowledged": taken, "lost": gone, "back_s": round(time.monotonic() - restarted_s, 1)})
        click.echo(f"cut {number + 1}: {taken:,} acknowledged, {gone} lost, back in {rows[-1]['back_s']} s")
    rooms.end()
    published = rooms.all()
    _wait(device, lambda: acknowledged.count() == len(published), "all acknowledgements")
    newest = {topic: rooms.readings[topic][-1].payload for topic in TOPICS}
    _wait(device, lambda: len(_last(device_says, newest)) == len(TOPICS), "the last forecasts")
    said = _last(device_says, newest)
    device_says.close()
    acknowledged.close()
    device.cut()
    wanted = _replayed(device, published)
    return {
        "cuts_made": cuts,
        "published": len(published),
        "lost": sum(row["lost"] for row in rows),
        "differing_streams": sum(said[topic] != wanted[topic] for topic in said),
        "median_back_s": statistics.median(row["back_s"] for row in rows) if rows else None,
        "cuts": rows,
    }


def _has_taken(acknowledged: Acknowledged, least: int) -> bool:
    return acknowledged.count() > least


def _last(listener: Peer, newest: dict[str, bytes]) -> dict[str, str]:
    """Give the forecast of each stream that was made from its newest reading."""
    found = {}
    for topic, text in listener.last().items():
        room = topic.split("/")[2].removesuffix("-value").replace("-", "/")
        if room in newest and json.loads(text)["origin"] == json.loads(newest[room])["time"]:
            found[topic] = text
    return found


def _replayed(device: Device, published: list[Message]) -> dict[str, str]:
    """Let the device itself replay everything → its last forecast of each stream."""
    with device.opened(is_copy=False) as disk, (disk / "srv/in.jsonl").open("w", encoding="utf-8") as file:
        for message in published:
            body = json.loads(message.payload)
            told = {"topic": message.topic, "payload": body, "received": body["time"]}
            file.write(json.dumps(told) + "\n")
    device.power_on("systemd.mask=edgeseq.service", f'systemd.run="{REPLAY}"')
    device.wait_until_off(PATIENCE_S)
    with device.opened(is_copy=False) as disk:
        lines = (disk / "srv/out.jsonl").read_text(encoding="utf-8").splitlines()
    found = {}
    for line in lines:
        topic, _, payload = line.removeprefix('{"topic":"').partition('","payload":')
        found[topic] = payload.removesuffix("}")
    return found


def _wait(device: Device, condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise click.ClickException(f"waited in vain for {what}; the console ends:\n{device.console()}")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
