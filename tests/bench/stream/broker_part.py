"""Through a real mosquitto, beside what mosquitto's own clients pass through it: mosquitto_pub -l | mosquitto_sub."""

from __future__ import annotations

import statistics
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench.stream import readings
from tests.bench.stream.clients import edgeseq, on_core, peer, real_broker, script
from tests.bench.stream.parts import Found, Setup, compare
from tests.bench.stream.rounds import PROBE, load_of, measure, row
from tests.support.broker import PATIENCE_S, wait_until

MOST = 80_000
"""Lines of one round: mosquitto drops what it must queue beyond max_queued_messages = 100,000."""


def broker(setup: Setup) -> Found:
    """Run edgeseq, the broker alone and a bare paho echo in turns; the echo has a broker of its own."""
    found = Found([], {})
    for qos in (0, 1):
        with ExitStack() as running:
            running.enter_context(on_core(None))
            place, other = (
                running.enter_context(real_broker(setup.scratch / name)) for name in ("here", "there")
            )
            daemon = running.enter_context(edgeseq(place, setup.warm, setup.scratch / "node", qos))
            bare = running.enter_context(peer(other, "paho echo", script(other, "echo", qos), qos))
            loads = [load_of(measure(c, PROBE, []).readings_per_s, setup.seconds) for c in (daemon, bare)]
            lines = min(MOST, round(pipe(setup.scratch, other.port, qos, 20_000) * setup.seconds))
            ours, echoed, alone = [], [], []
            for _ in range(setup.rounds):
                ours.append(measure(daemon, loads[0], []))
                alone.append(pipe(setup.scratch, other.port, qos, lines))
                echoed.append(measure(bare, loads[1], []))
            checked = compare(setup.warm, daemon)
        found.rows.append(row("broker", "edgeseq", qos, ours, **checked))
        found.rows.append(row("broker", "paho echo", qos, echoed))
        rate = statistics.median(alone)
        found.rows.append(
            {
                "part": "broker",
                "client": "pub|sub",
                "qos": qos,
                "readings_per_s": rate,
                "sent": lines,
                "rounds": alone,
            }
        )
        found.figures[f"ratio_broker_qos{qos}"] = statistics.median(
            r.readings_per_s / a for r, a in zip(ours, alone, strict=True)
        )
    return found


def pipe(folder: Path, port: int, qos: int, lines: int) -> float:
    """Pass lines of readings from mosquitto_pub to mosquitto_sub; give messages/s."""
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
            sink.wait(PATIENCE_S)
        finally:
            sink.kill()
            sink.wait()
    return lines / (time.perf_counter() - start_s)
