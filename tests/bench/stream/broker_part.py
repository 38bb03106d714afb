"""Through a real mosquitto, beside what mosquitto's own clients pass through it: mosquitto_pub -l | mosquitto_sub.

A reading passes the broker twice, and comes back ten times as long. What the ratio could be at most is told too:
`ratio_broker_limit_…` if the broker never waited, `ratio_cores_limit_…` if none of generator, broker and daemon did,
with as many cores as there are. Where less than is wanted is reached, a round of its own tells where the daemon's time
goes: µs for each reading, by what it does.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from tests.bench.stream import clocked, readings
from tests.bench.stream.clients import cpu_s, edgeseq, on_core, peer, real_broker, script
from tests.bench.stream.parts import Found, Setup, compare
from tests.bench.stream.rounds import PROBE, Round, load_of, measure, row
from tests.support.broker import wait_until

WANTED = (0.6, 0.8)
"""Share of what the broker passes alone, by QoS."""

MOST = 80_000
"""Lines of one round: mosquitto drops what it must queue beyond max_queued_messages = 100,000."""


def broker(setup: Setup) -> Found:
    """Run edgeseq, the broker alone and a bare paho echo in turns; the latter two have a broker of their own."""
    found = Found([], {})
    for qos in (0, 1):
        with ExitStack() as running:
            running.enter_context(on_core(None))
            _one_qos(setup, qos, running, found)
    return found


def _one_qos(setup: Setup, qos: int, running: ExitStack, found: Found) -> None:
    place, other = (running.enter_context(real_broker(setup.scratch / name)) for name in ("here", "there"))
    daemon = running.enter_context(edgeseq(place, setup.warm, setup.scratch / "node", qos))
    bare = running.enter_context(peer(other, "paho echo", script(other, "echo", qos), qos))
    loads = [load_of(measure(client, PROBE, []).readings_per_s, setup.seconds) for client in (daemon, bare)]
    lines = min(MOST, round(pipe(setup.scratch, other.port, qos, 20_000) * setup.seconds))
    pids = [broker.broker_pid for broker in (place, other) if broker.broker_pid is not None]
    turns: list[tuple[Round, float, Round]] = []
    spent: list[list[float]] = []
    for _ in range(setup.rounds):
        before = [_spent_s(pids)]
        ours = measure(daemon, loads[0], [])
        before.append(_spent_s(pids))
        alone = pipe(setup.scratch, other.port, qos, lines)
        before.append(_spent_s(pids))
        turns.append((ours, alone, measure(bare, loads[1], [])))
        passed = (ours.sent, lines, loads[1].readings)
        ends = [*before[1:], _spent_s(pids)]
        spent.append([1e6 * (b - a) / n for a, b, n in zip(before, ends, passed, strict=True)])
    own_us, alone_us, echo_us = (statistics.median(column) for column in zip(*spent, strict=True))
    rates = [alone for _, alone, _ in turns]
    checked = compare(setup.warm, daemon)
    found.rows.append(
        row("broker", "edgeseq", qos, [ours for ours, _, _ in turns], broker_us=own_us, **checked)
    )
    found.rows.append(row("broker", "paho echo", qos, [echo for _, _, echo in turns], broker_us=echo_us))
    found.rows.append(
        {
            "part": "broker", "client": "pub|sub", "qos": qos, "readings_per_s": statistics.median(rates),
            "broker_us": alone_us, "sent": lines * len(rates), "rounds": rates,
        }
    )  # fmt: skip
    ratios = [ours.readings_per_s / alone for ours, alone, _ in turns]
    found.figures[f"ratio_broker_qos{qos}"] = statistics.median(ratios)
    rate, mine = statistics.median(rates), found.rows[-3]
    all_us = own_us + mine["cpu_us"] + mine["generator_us"]
    found.figures[f"ratio_broker_limit_qos{qos}"] = 1e6 / own_us / rate
    found.figures[f"ratio_cores_limit_qos{qos}"] = (os.cpu_count() or 1) * 1e6 / all_us / rate
    if found.figures[f"ratio_broker_qos{qos}"] < WANTED[qos]:
        where = _profile(setup, qos)
        found.rows.extend({"part": "broker", "client": part, "qos": qos, "cpu_us": us} for part, us in where)


def _profile(setup: Setup, qos: int) -> list[tuple[str, float]]:
    """Spend a round on a daemon with a clock, at a broker of its own → its µs for each reading by part."""
    path = setup.scratch / "parts.json"
    with (
        real_broker(setup.scratch / "clocked-broker") as place,
        edgeseq(place, setup.warm, setup.scratch / "clocked", qos, parts=path) as daemon,
    ):
        load = load_of(measure(daemon, PROBE, []).readings_per_s, setup.seconds)
        before = clocked.spent_s(daemon.pid, path)
        sent = measure(daemon, load, []).sent
        after = clocked.spent_s(daemon.pid, path)
    spent = {part: 1e6 * (s - before.get(part, 0.0)) / sent for part, s in after.items()}
    return sorted(spent.items(), key=lambda item: -item[1])


def _spent_s(pids: Iterable[int]) -> float:
    return sum(map(cpu_s, pids))


PATIENCE_S = 2.0
"""So long without a message, and the rest is lost: mosquitto may drop QoS 0 that a subscriber reads too slowly."""


def pipe(folder: Path, port: int, qos: int, lines: int) -> float:
    """Pass lines of readings from mosquitto_pub to mosquitto_sub; give the messages/s that came, lost ones left out."""
    source, told = folder / "lines", folder / "received"
    source.write_bytes(b"\n".join(readings.payloads(0, lines)) + b"\n")
    at = ["-h", "127.0.0.1", "-p", str(port), "-q", str(qos)]
    # The retained message comes once both subscriptions stand.
    subprocess.run(["mosquitto_pub", *at, "-r", "-t", "alone/ready", "-m", "ready"], check=True)
    with told.open("wb") as file, source.open("rb") as given:
        command = ["stdbuf", "-oL", "mosquitto_sub", *at, "-C", str(lines + 1), "-F", "x"]
        sink = subprocess.Popen([*command, "-t", "alone/data", "-t", "alone/ready"], stdout=file)
        try:
            wait_until(lambda: told.stat().st_size, "mosquitto_sub subscribed")
            start_s = time.perf_counter()
            subprocess.run(["mosquitto_pub", *at, "-t", "alone/data", "-l"], stdin=given, check=True)
            end_s = _last_growth_s(told, sink)
        finally:
            sink.kill()
            sink.wait()
    # A line is two bytes; the first is the retained message.
    return (told.stat().st_size // 2 - 1) / (end_s - start_s)


def _last_growth_s(told: Path, sink: subprocess.Popen[bytes]) -> float:
    """Wait until the sink has all, or nothing more for PATIENCE_S; give when the last message came."""
    size, last_s = told.stat().st_size, time.perf_counter()
    while sink.poll() is None and time.perf_counter() - last_s < PATIENCE_S:
        time.sleep(0.005)
        if told.stat().st_size > size:
            size, last_s = told.stat().st_size, time.perf_counter()
    return time.perf_counter() if sink.poll() is not None else last_s
