"""Other ways to forecast from MQTT, the broker being ours: River, a window run again, Node-RED where npm is present."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench.stream import nodered
from tests.bench.stream.clients import (
    GENERATOR_CORE,
    ROOT,
    Client,
    edgeseq,
    fake_broker,
    on_core,
    peer,
    script,
)
from tests.bench.stream.drive import Load, drive
from tests.bench.stream.parts import Found, Setup, compare
from tests.bench.stream.readings import SEASON, STREAMS
from tests.bench.stream.rounds import median_ratio, row, take_turns

PYTHON = ROOT / "build" / "peers" / "bin" / "python"
"""River's environment; the other scripts run in ours."""


def peers(setup: Setup) -> Found:
    """Run edgeseq and all peers in turns, QoS 0."""
    found = Found([], {})
    why = nodered.fault()  # may take minutes, in which a client that runs already would not be attended to
    with ExitStack() as running:
        running.enter_context(on_core(GENERATOR_CORE))

        def start(name: str, module: str, **more: str) -> Client:
            place = running.enter_context(fake_broker())
            return running.enter_context(peer(place, name, script(place, module, 0, **more), 0))

        ours = running.enter_context(fake_broker())
        clients = {"edgeseq": running.enter_context(edgeseq(ours, setup.warm, setup.scratch / "node", 0))}
        clients["river"] = start("River Holt-Winters", "holt_winters", python=str(PYTHON))
        clients["naive"] = start("window of 64", "window")
        if not why:
            place = running.enter_context(fake_broker())
            command = nodered.command(place.port, setup.scratch / "nodered")
            clients["nodered"] = running.enter_context(peer(place, "Node-RED", command, 0))
        # River forecasts from its second season on.
        drive(clients["river"].ends, Load((SEASON + 1) * STREAMS), clients["edgeseq"].ends.connections)
        rounds = dict(zip(clients, take_turns([*clients.values()], setup.rounds, setup.seconds), strict=True))
        checked = compare(setup.warm, clients["edgeseq"])
    for key, client in clients.items():
        found.rows.append(row("peers", client.name, 0, rounds[key], **(checked if key == "edgeseq" else {})))
        if key != "edgeseq":
            found.figures[f"ratio_{key}"] = median_ratio(rounds["edgeseq"], rounds[key])
            found.figures[f"cpu_ratio_{key}"] = 1 / median_ratio(rounds["edgeseq"], rounds[key], "cpu_us")
    if why:
        found.rows.append({"part": "peers", "client": "Node-RED", "qos": 0, "not_available": why})
    return found
