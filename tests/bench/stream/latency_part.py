"""Latency at offered rates, from the reading's send to the forecast's receipt, beside a bare paho echo."""

from __future__ import annotations

from contextlib import ExitStack

from tests.bench.stream.clients import GENERATOR_CORE, on_core
from tests.bench.stream.parts import Found, Setup, beside_echo, compare
from tests.bench.stream.rounds import Round, median_ratio, row, take_turns

SLOW, FAST = 1_000, 10_000
HOLD_S = 60.0
SWEPT = (500, 2_000, 5_000, 20_000, 40_000)
SWEEP_S = 3.0


def latency(setup: Setup) -> Found:
    """Offer rates to edgeseq and an echo, in turns: 1,000/s in rounds, 10,000/s for a minute, and more for the plot."""
    found = Found([], {})
    with on_core(GENERATOR_CORE):
        for qos in (0, 1):
            with ExitStack() as running:
                clients = beside_echo(setup, running, qos)
                names = [client.name for client in clients]

                def note(
                    offered: int, rounds: list[list[Round]], qos: int = qos, names: list[str] = names
                ) -> None:
                    for name, of_client in zip(names, rounds, strict=True):
                        found.rows.append(row("latency", name, qos, of_client, offered=offered))

                slow = take_turns(clients, setup.rounds, setup.seconds, SLOW)
                note(SLOW, slow)
                found.figures[f"p50_over_echo_1k{suffix(qos)}"] = median_ratio(slow[0], slow[1], "p50_ms")
                if qos == 0:
                    fast = take_turns(clients, 1, setup.hold_s, FAST)
                    note(FAST, fast)
                    ours, echoed = fast[0][0], fast[1][0]
                    found.figures["p99_minus_echo_ms_10k"] = ours.p99_ms - echoed.p99_ms
                    found.figures["p50_growth_10k"] = ours.growth_p50
                    # A client that does not hold the rate has a queue, not a latency.
                    found.figures["held_10k"] = ours.readings_per_s / FAST
                    found.figures["held_10k_echo"] = echoed.readings_per_s / FAST
                    for rate in SWEPT:
                        note(rate, take_turns(clients, 1, min(SWEEP_S, setup.seconds), rate))
                found.rows[-2] |= compare(setup.warm, clients[0])
    return found


def suffix(qos: int) -> str:
    """Name a figure of a QoS; those of QoS 0 have the plain name."""
    return "_qos1" if qos else ""
